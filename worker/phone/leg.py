"""One caller on the worker's own SIP line."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

import structlog

from runtime.conversation.events import Reason
from runtime.errors import UsageFault
from runtime.session.ports import TransferOutcome
from runtime.voice.audio import PcmInput, PcmOutput
from runtime.voice.live_call import LiveCall
from runtime.voice.vad import WINDOW_S
from worker.legs import CallRequest, Departure, NotAnswered
from worker.phone.config import LineConfig
from worker.phone.messages import (
    Answer,
    CallReport,
    Closed,
    Established,
    Flush,
    HangUp,
    KeyPressed,
    Refuse,
    Ringing,
    SendKeys,
    Transfer,
)
from worker.phone.numbers import target_uri
from worker.phone.process import HostLost, HostProcess
from worker.phone.wire import RATE

__all__ = ["SipLeg"]

FRAME_MS: Final = 40  # half the work of 20
LEAD_S: Final = 0.06  # and the frame that is handed on then: 60 to 100 ms in the stack's queue
_PICKS_UP_WITHIN_S: Final = 10.0  # from our 200 to the caller's ACK
_HANGS_UP_WITHIN_S: Final = 2.0
_KEYS: Final = re.compile(r"[0-9*#A-DwW]{1,64}", re.IGNORECASE)
_MAX_KEYS: Final = 64
_KEY_S: Final = 0.7
# The stack's words. A BYE or CANCEL reaches us as the errno that its library makes of one, with its number behind it.
_GOODBYE: Final = "Connection reset by peer"
_TRANSFERRED: Final = "Call transfered"
_UNANSWERED: Final[Mapping[int, Reason]] = {
    486: "busy",
    600: "busy",
    408: "no_answer",
    480: "no_answer",
    487: "no_answer",
}
_TRANSFER_FAULTS: Final = {
    404: "there is no such number",
    408: "nobody answered",
    480: "nobody answered",
    486: "the line is busy",
    487: "nobody answered",
    600: "the line is busy",
    603: "the call was refused",
}

_log = structlog.get_logger("phone")


class _Mouth(PcmOutput):
    """The agent's voice a little ahead of time; cleared, what lies in the stack's queue goes too."""

    def __init__(self, play: Callable[[bytes], None], flush: Callable[[], None]) -> None:
        super().__init__(lambda frame, _at: play(bytes(frame.data)), rate=RATE, frame_ms=FRAME_MS, lead_s=LEAD_S)
        self._flush = flush

    def clear_buffer(self) -> None:
        super().clear_buffer()
        self._flush()


class SipLeg:
    """One call of a `PhoneLine`, as a worker's `Leg`."""

    def __init__(self, host: HostProcess, number: int, request: CallRequest, config: LineConfig) -> None:
        self._host = host
        self._number = number
        self._request = request
        self._config = config
        self._answered = asyncio.get_running_loop().create_future()
        self._departed: asyncio.Future[Departure] = asyncio.get_running_loop().create_future()
        self._why = ""
        self._ours = False  # we hung up
        self._rang = False
        self._input = PcmInput(rate=RATE, gather_s=WINDOW_S)
        self._output: _Mouth | None = None
        self._live: LiveCall | None = None
        self._early_keys: list[str] = []

    @property
    def request(self) -> CallRequest:
        return self._request

    def want(self, workflow_version_id: str, variables: Mapping[str, Any]) -> None:
        """Say which version speaks in a call that goes out, and its presets; before it is answered."""
        self._request = replace(self._request, workflow_version_id=workflow_version_id, variables=variables)

    @property
    def over(self) -> bool:
        """Whether one side has left."""
        return self._departed.done()

    async def answer(self) -> None:
        """Pick up; for a call that goes out: wait until the other side has. Raises `NotAnswered`."""
        patience_s = self._config.answer_timeout_s
        if self._request.direction == "inbound":
            self._host.send(Answer(self._number))
            patience_s = _PICKS_UP_WITHIN_S
        await asyncio.wait({self._answered, self._departed}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        if self._departed.done():
            raise self._not_answered()
        if not self._answered.done():
            await self.aclose()
            reason: Reason = "no_answer" if self._rang else "not_connected"
            raise NotAnswered(reason, f"{self._other} did not answer within {patience_s:g} s.")

    def refuse(self) -> None:
        """Turn the caller away as busy (486)."""
        self._ours = True
        self._host.send(Refuse(self._number))

    async def connect(self, live: LiveCall) -> None:
        """Give the session its ears and its mouth; keys that came before are pressed now."""
        self._output = _Mouth(
            lambda pcm: self._host.send_sound(self._number, pcm), lambda: self._host.send(Flush(self._number))
        )
        live.connect(self._input, self._output)
        self._live = live
        for key in self._early_keys:
            live.press(key)
        self._early_keys.clear()

    async def gone(self) -> Departure:
        """Wait until the other side has left, and say how."""
        return await asyncio.shield(self._departed)

    def abandon(self) -> None:
        """Nobody can go on with a call on this line: whoever took it over has ended it, and `aclose` hangs up."""

    async def aclose(self) -> None:
        """Hang up where the call is still up, and let go of everything. Idempotent."""
        if not self.over:
            self._ours = True
            self._host.send(HangUp(self._number))
            await asyncio.wait({self._departed}, timeout=_HANGS_UP_WITHIN_S)
            self._depart(Departure("agent_hangup"))
        if self._output is not None:
            await self._output.aclose()

    # ------------------------------------------------------------ telephone

    async def transfer(self, to: str) -> TransferOutcome:
        """Ask the caller's telephone to call `to` (REFER) and wait for its NOTIFY; where it failed the caller is here."""
        try:
            uri = target_uri(to, self._config.via)
        except UsageFault as fault:
            return TransferOutcome(ok=False, why=fault.message)
        timeout_s = self._config.transfer_timeout_s
        try:
            done = await self._host.ask(Transfer(0, self._number, uri, timeout_s), timeout_s=timeout_s + 5)
        except HostLost as error:
            return TransferOutcome(ok=False, why=str(error))
        why = None if done.ok else _TRANSFER_FAULTS.get(done.status or 0, done.why)
        return TransferOutcome(done.ok, done.status, why)

    async def send_keys(self, keys: str) -> str | None:
        """Send DTMF (RFC 2833): 0-9, *, #, A-D; `w` waits half a second. Return why not, where it failed."""
        if not _KEYS.fullmatch(keys):
            return "these are no keys of a telephone, or more than 64"
        try:
            done = await self._host.ask(SendKeys(0, self._number, keys), timeout_s=5 + _KEY_S * len(keys))
        except HostLost as error:
            return str(error)
        return None if done.ok else done.why or "the line refused"

    # ------------------------------------------------------------ what the line reports

    def heard(self, pcm: bytes) -> None:
        """The other side said this."""
        self._input.push(pcm)

    def reported(self, report: CallReport) -> None:
        """Something happened in this call."""
        match report:
            case Ringing():
                self._rang = True
            case Established(call_id=call_id):
                self._established(call_id)
            case KeyPressed(key=key):
                self._pressed(key)
            case Closed(why=why):
                self._why = why
                self._depart(self._departure(why))
            case never:
                assert_never(never)

    def _established(self, call_id: str) -> None:
        if self._request.external_session_id is None and call_id:
            self._request = replace(self._request, external_session_id=call_id)
        if not self._answered.done():
            self._answered.set_result(None)

    def _pressed(self, key: str) -> None:
        if self._live is not None:
            self._live.press(key)
        elif len(self._early_keys) < _MAX_KEYS:
            self._early_keys.append(key)

    def _departure(self, why: str) -> Departure:
        if self._ours:
            return Departure("agent_hangup")
        if why == _TRANSFERRED:
            return Departure("transferred")
        return Departure() if why.startswith(_GOODBYE) else Departure("connection_lost", "dropped")

    def line_lost(self) -> None:
        """The process of the line died, and the call with it."""
        self._why = "the SIP host has ended"
        self._depart(Departure("connection_lost", "dropped"))

    def _depart(self, departure: Departure) -> None:
        if not self._departed.done():
            self._departed.set_result(departure)
        self._input.close()

    # ------------------------------------------------------------ words

    @property
    def _other(self) -> str:
        number = self._request.caller if self._request.direction == "inbound" else self._request.dialled
        return number or "The other side"

    def _not_answered(self) -> NotAnswered:
        if self._request.direction == "inbound":
            return NotAnswered("caller_hangup", f"{self._other} left before the call was answered.")
        return NotAnswered(
            _unanswered(self._why), f"{self._other} did not take the call: {self._why or 'no reason given'}."
        )


def _unanswered(why: str) -> Reason:
    status = why[:3]
    return _UNANSWERED.get(int(status), "not_connected") if re.fullmatch("[0-9]{3}", status) else "not_connected"
