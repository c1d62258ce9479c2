"""A SIP line of the worker's own: real telephones ring here and are rung from here, without a LiveKit server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from runtime.tasks import cancel_and_wait, spawn
from worker.legs import CallRequest, NotAnswered
from worker.phone.config import LineConfig
from worker.phone.leg import SipLeg
from worker.phone.messages import Closed, Dial, Established, HangUp, Invited, KeyPressed, Ping, Report, Ringing
from worker.phone.numbers import host_of, target_uri, user_of
from worker.phone.ports import free_listen
from worker.phone.process import HostLost, HostProcess

__all__ = ["LineConfig", "PhoneLine", "open_line"]

_FIRST_OUTBOUND: Final = 1 << 30  # the host counts the calls that come in from 1
_PING_S: Final = 5.0
_RESTART_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)  # waits before each try; the last one again and again

_log = structlog.get_logger("phone")

OnIncoming = Callable[[SipLeg], None]


class PhoneLine:
    """A listening SIP address and the legs of its calls; all of it on one event loop.

    Its SIP stack lives in a process of its own. Dies that process, its calls end as lost and another one takes over.
    """

    def __init__(self, config: LineConfig, on_incoming: OnIncoming) -> None:
        self._config = replace(config, listen=free_listen(config))
        self._on_incoming = on_incoming
        self._legs: dict[int, SipLeg] = {}
        self._outbound = itertools.count(_FIRST_OUTBOUND)
        self._host = self._new_host()
        self._keeper: asyncio.Task[None] | None = None
        self._listens = False

    @property
    def config(self) -> LineConfig:
        """How the line is set up, with the port that it really has."""
        return self._config

    @property
    def alive(self) -> bool:
        """Whether callers are answered now."""
        return self._listens and not self._host.lost.is_set()

    @property
    def calls(self) -> int:
        """How many calls there are, ringing ones too."""
        return len(self._legs)

    @property
    def host_pid(self) -> int | None:
        """The id of the process that holds the SIP stack."""
        return self._host.pid

    async def dial(
        self,
        to: str,
        *,
        caller: str | None = None,
        via: str | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> SipLeg:
        """Call `to` (a number, at `via` or the line's own; or `sip:…`) as `caller`, with digest where it is asked for.

        The leg that is returned rings; its `answer` waits. Raises UsageFault for what is no number or address, NotAnswered
        (not_connected) where nothing could be sent.
        """
        via = via or self._config.via
        uri = target_uri(to, via)
        order = Dial(
            ask=0,
            call=next(self._outbound),
            uri=uri,
            caller=caller or username or "patchbay",
            domain=via.partition(";")[0] if via else self._config.interface or "patchbay.invalid",
            proxy=via,
            username=username,
            password=password or "",
        )
        request = CallRequest("phone", "outbound", caller=caller, dialled=user_of(uri) or to)
        leg = self._new_leg(order.call, request, via or host_of(uri))
        try:
            done = await self._host.ask(order)
            why = done.why if not done.ok else ""
        except HostLost as error:
            why = str(error)
        if why:
            self._legs.pop(order.call, None)
            leg.line_lost()
            raise NotAnswered("not_connected", f"{to} could not be called: {why}.")
        return leg

    async def aclose(self) -> None:
        """Hang up every call and end the process. Idempotent."""
        if self._keeper is not None:
            await cancel_and_wait(self._keeper)
            self._keeper = None
        self._listens = False
        await asyncio.gather(*(leg.aclose() for leg in list(self._legs.values())))
        await self._host.aclose()
        self._lose_legs()

    # ------------------------------------------------------------ the host

    async def open(self) -> None:
        """Listen; raises Unreachable naming the address and the remedy, ProviderMissing without the package."""
        await self._host.start(self._config)
        self._listens = True
        self._keeper = spawn(self._keep(), name="phone line")

    def _new_host(self) -> HostProcess:
        return HostProcess(self._reported, self._heard)

    async def _keep(self) -> None:
        """See to it that there is a host, and that it is well."""
        while True:
            await self._until_lost()
            self._listens = False
            _log.error("sip_host_lost", listen=self._config.listen, calls=len(self._legs))
            self._lose_legs()
            self._host.kill()
            await self._host.aclose()
            await self._restart()

    async def _until_lost(self) -> None:
        while not self._host.lost.is_set():
            try:
                async with asyncio.timeout(_PING_S):
                    await self._host.lost.wait()
            except TimeoutError:
                if not await self._well():
                    return

    async def _well(self) -> bool:
        try:
            return (await self._host.ask(Ping(0))).ok
        except HostLost:
            return False

    async def _restart(self) -> None:
        tries = 0
        while True:
            await asyncio.sleep(_RESTART_S[min(tries, len(_RESTART_S) - 1)])
            self._host = self._new_host()
            try:
                await self._host.start(self._config)
            except Exception as error:  # noqa: BLE001 - an edge: whatever keeps it from starting now, it is tried again
                _log.error("sip_host_not_started", listen=self._config.listen, error=str(error))
                tries += 1
            else:
                self._listens = True
                _log.warning("sip_host_restarted", listen=self._config.listen)
                return

    def _lose_legs(self) -> None:
        for leg in list(self._legs.values()):
            leg.line_lost()
        self._legs.clear()

    # ------------------------------------------------------------ its calls

    def _reported(self, report: Report) -> None:
        match report:
            case Invited() as invited:
                self._invited(invited)
            case Ringing() | Established() | KeyPressed():
                if leg := self._legs.get(report.call):
                    self._guarded(report.call, partial(leg.reported, report))
            case Closed() as closed:
                if leg := self._legs.pop(report.call, None):
                    leg.reported(closed)
            case _:  # the host's own affairs are dealt with where the process is
                pass

    def _heard(self, number: int, pcm: bytes) -> None:
        if leg := self._legs.get(number):
            leg.heard(pcm)

    def _invited(self, invited: Invited) -> None:
        request = CallRequest(
            "phone",
            "inbound",
            caller=user_of(invited.asserted) or user_of(invited.sender),
            dialled=user_of(invited.recipient),
            external_session_id=invited.call_id or None,
        )
        host = self._config.via or host_of(invited.sender)
        leg = self._new_leg(invited.call, request, host)
        self._guarded(invited.call, partial(self._on_incoming, leg))

    def _guarded(self, number: int, act: Callable[[], None]) -> None:
        """Let the worker's own code see to a call; what it raises ends this call and no other."""
        try:
            act()
        except Exception:  # noqa: BLE001 - in the stream's callback it would end the line with every call on it
            _log.exception("call_not_taken", call=number)
            self._host.send(HangUp(number))

    def _new_leg(self, number: int, request: CallRequest, via: str | None) -> SipLeg:
        leg = SipLeg(self._host, number, request, replace(self._config, via=via))
        self._legs[number] = leg
        return leg


@asynccontextmanager
async def open_line(config: LineConfig, *, on_incoming: OnIncoming) -> AsyncIterator[PhoneLine]:
    """Listen for calls; `on_incoming` gets each leg while it rings. On the way out every call is hung up.

    Raises Unreachable where the address cannot be listened on, ProviderMissing without the package.
    """
    line = PhoneLine(config, on_incoming)
    try:
        await line.open()
        yield line
    finally:
        await line.aclose()
