"""The calls of a SIP stack by their numbers: orders performed on them, events of theirs reported."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from baresip import (
    AudioNotActive,
    AudioRestarted,
    BaresipError,
    Call,
    Event,
    Runtime,
    StackEvent,
    StaleHandleError,
    TransferFailed,
    UserAgent,
)

from runtime.tasks import spawn
from worker.phone import messages as to_line
from worker.phone.messages import Answer, Dial, Flush, HangUp, Ping, Refuse, SendKeys, Transfer
from worker.phone.numbers import cleaned

__all__ = ["Calls"]

_READ_BYTES: Final = 3200  # 200 ms at 8 kHz: more than a tick's worth, so that a late tick catches up
_FLUSH_S: Final = 0.03  # the stack flushes at its next packet, and takes what was written until then along
_STRAYS: Final = 256
_KEY_GAP_MS: Final = 80
_WAIT_KEY_S: Final = 0.5


@dataclass(slots=True)
class _Cleared:
    """A call whose queue is being flushed, and what came since."""

    until: float
    held: bytearray = field(default_factory=bytearray)


class Calls:
    """Every call of one stack, from its first event to its last."""

    def __init__(self, runtime: Runtime, report: Callable[[to_line.Report], None]) -> None:
        self._runtime = runtime
        self._report = report
        self._numbers = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._by_handle: dict[int, int] = {}
        self._talking: set[int] = set()
        self._cleared: dict[int, _Cleared] = {}
        self._dialling = 0
        # A call that is dialled may be over before `dial` has said which one it is.
        self._strays: deque[StackEvent] = deque(maxlen=_STRAYS)
        runtime.subscribe(self._happened)

    # ------------------------------------------------------------ sound

    def heard(self) -> Iterator[tuple[int, bytes]]:
        """Yield what came in of each call since the last time."""
        for number in self._talking:
            try:
                pcm = self._calls[number].audio.read(_READ_BYTES)
            except (AudioNotActive, AudioRestarted):  # between a close and its event, and around a hold
                continue
            if pcm:
                yield number, pcm

    def play(self, number: int, pcm: bytes) -> None:
        """Queue sound for the other side; what a call without audio gets is dropped."""
        if (cleared := self._cleared.get(number)) is not None:
            cleared.held += pcm
        elif (call := self._calls.get(number)) is not None:
            with suppress(AudioNotActive, AudioRestarted):
                call.audio.write(pcm)

    def release(self, now: float) -> None:
        """Queue what was held back behind a flush, once the stack has done with that; `now` is the loop's time."""
        for number, cleared in list(self._cleared.items()):
            if now >= cleared.until:
                del self._cleared[number]
                self.play(number, bytes(cleared.held))

    # ------------------------------------------------------------ orders

    def perform(self, order: Answer | Refuse | HangUp | Flush | SendKeys | Transfer | Ping) -> None:
        match order:
            case Answer(number):
                self._later(number, "answer", Call.answer)
            case Refuse(number):
                self._later(number, "refuse", Call.reject)
            case HangUp(number):
                self._later(number, "hang up", Call.hangup)
            case Flush(number):
                self._flush(number)
            case SendKeys():
                spawn(self._send_keys(order), name="send keys")
            case Transfer():
                spawn(self._transfer(order), name="transfer")
            case Ping(ask):
                spawn(self._ping(ask), name="ping")
            case never:
                assert_never(never)

    def _later(self, number: int, what: str, act: Callable[[Call], Coroutine[Any, Any, None]]) -> None:
        if (call := self._calls.get(number)) is None:
            return
        spawn(self._do(number, what, act(call)), name=what)

    async def _do(self, number: int, what: str, doing: Coroutine[Any, Any, None]) -> None:
        try:
            await doing
        except StaleHandleError:
            self._forget(number, "gone")
        except BaresipError as error:
            self._report(to_line.Logged("warning", cleaned(f"{what}: {error}")))

    def _flush(self, number: int) -> None:
        if (call := self._calls.get(number)) is None:
            return
        with suppress(AudioNotActive, AudioRestarted):
            call.audio.flush_tx()
            self._cleared[number] = _Cleared(asyncio.get_running_loop().time() + _FLUSH_S)

    async def _send_keys(self, order: SendKeys) -> None:
        if (call := self._calls.get(order.call)) is None:
            self._report(to_line.Done(order.ask, ok=False, why="the call is over"))
            return
        try:
            for key in order.keys:
                if key in "wW":
                    await asyncio.sleep(_WAIT_KEY_S)
                else:
                    await call.send_dtmf(key)
                    await asyncio.sleep(_KEY_GAP_MS / 1000)
        except (BaresipError, ValueError) as error:
            self.refused(order.ask, error)
        else:
            self._report(to_line.Done(order.ask))

    async def _transfer(self, order: Transfer) -> None:
        if (call := self._calls.get(order.call)) is None:
            self._report(to_line.Done(order.ask, ok=False, why="the call is over"))
            return
        try:
            await call.transfer(order.uri, timeout=order.timeout_s)
        except TransferFailed as error:
            why = cleaned(error.reason or str(error))
            self._report(to_line.Done(order.ask, ok=False, status=error.status, why=why))
        except (BaresipError, ValueError) as error:
            self.refused(order.ask, error)
        else:
            self._report(to_line.Done(order.ask, status=200))

    async def _ping(self, ask: int) -> None:
        try:
            await self._runtime.set_native_log_level("warning")  # the least that makes its thread answer
        except BaresipError as error:
            self.refused(ask, error)
        else:
            self._report(to_line.Done(ask))

    async def dial(self, order: Dial, agent: UserAgent) -> None:
        """Send the INVITE, and report what happened in the call until the stack had said which one it is."""
        self._dialling += 1
        try:
            call = await agent.dial(order.uri)
        except (BaresipError, ValueError) as error:
            self.refused(order.ask, error)
        else:
            self._adopt(order.call, call)
            self._report(to_line.Done(order.ask))
            for event in [event for event in self._strays if event.call == call.handle]:
                self._report_event(order.call, event)
        finally:
            self._dialling -= 1
            if not self._dialling:
                self._strays.clear()

    def refused(self, ask: int, error: Exception) -> None:
        """Report that what was asked cannot be done."""
        self._report(to_line.Done(ask, ok=False, why=cleaned(str(error))))

    async def hang_up_all(self) -> None:
        """Say goodbye to everybody who is still there."""
        await asyncio.gather(*(self._do(number, "hang up", call.hangup()) for number, call in self._calls.items()))

    # ------------------------------------------------------------ events

    def invited(self, call: Call) -> None:
        """Take a call that comes in; it rings at the other side already."""
        number = next(self._numbers)
        self._adopt(number, call)
        self._report(
            to_line.Invited(
                number,
                call_id=cleaned(call.call_id or ""),
                sender=cleaned(call.headers.get("From") or call.peer or "", 1024),
                recipient=cleaned(call.headers.get("To") or "", 1024),
                asserted=cleaned(call.headers.get("P-Asserted-Identity") or "", 1024),
            )
        )

    def _adopt(self, number: int, call: Call) -> None:
        self._calls[number] = call
        self._by_handle[call.handle] = number

    def _happened(self, event: StackEvent) -> None:
        number = self._by_handle.get(event.call)
        if number is not None:
            self._report_event(number, event)
        elif event.call and self._dialling:
            self._strays.append(event)

    def _report_event(self, number: int, event: StackEvent) -> None:
        match event.event:
            case Event.CALL_ESTABLISHED:
                self._talking.add(number)
                self._report(to_line.Established(number, cleaned(event.call_id or "")))
            case Event.CALL_RINGING | Event.CALL_PROGRESS:
                self._report(to_line.Ringing(number))
            case Event.CALL_CLOSED:
                self._forget(number, event.text or "")
            case Event.CALL_DTMF_START if event.text:
                # At the press: the release is lost with its packets, and is then reported by nobody.
                self._report(to_line.KeyPressed(number, event.text[:1]))
            case _:
                pass

    def _forget(self, number: int, why: str) -> None:
        if (call := self._calls.pop(number, None)) is None:
            return
        self._talking.discard(number)
        self._cleared.pop(number, None)
        self._by_handle.pop(call.handle, None)
        self._report(to_line.Closed(number, cleaned(why)))
