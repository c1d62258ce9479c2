"""A test call spoken over a WebSocket: PCM both ways, and JSON beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, assert_never

import structlog
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from api.testing.sessions import TestCall
from api.testing.voice_ears import Ears
from api.testing.voice_pace import Pace
from runtime.conversation.events import Reason, Status
from runtime.harness.outbox import Outbox
from runtime.harness.phone import ClearableOutput, Standing, standing_of, watch_standing
from runtime.harness.wire import (
    BadMessage,
    DtmfControl,
    HangupControl,
    InterruptControl,
    MuteControl,
    read_control,
    told,
    told_event,
    told_standing,
)
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["OUTPUT_RATE", "speak_over"]

Json = Any
OUTPUT_RATE: Final = 24000
"""Of what the agent says, in Hz."""
_LEAD_S: Final = 0.1
"""How far ahead of being heard audio is sent, so that a network that is late at times leaves no gaps."""
_BACKLOG_S: Final = 2.0
_SETTLED_S: Final = 0.01
"""A caller's turn and the answer that follows from it are told as one state."""
_SENT_WITHIN_S: Final = 20.0
_LAST_WORDS_S: Final = 5.0
_MOST_CONTROLS, _MOST_ERRORS, _SPAN_S = 200, 200, 10.0
_ENDED, _TOO_SLOW = 1000, 4408
_log = structlog.get_logger("tests")


async def speak_over(socket: WebSocket, call: TestCall, rate: int) -> None:
    """Run a call that has not begun over a socket that is not accepted yet, to the end of either; `rate` in Hz.

    However the client leaves, the call ends. Raises the problem 409 where somebody uses the call already.
    """
    with call.in_use():
        await socket.accept()
        line = _SocketLine(socket, call, rate)
        try:
            await line.run()
        finally:
            await line.aclose()


class _SocketLine:
    """A call's ears, mouth and events on a socket."""

    def __init__(self, socket: WebSocket, call: TestCall, rate: int) -> None:
        self._socket = socket
        self._call = call
        self._rate = rate
        self._ears = Ears(rate)
        self._outbox = Outbox(int(2 * OUTPUT_RATE * _BACKLOG_S))
        self._mouth = ClearableOutput(self._spoken, self._cleared, lead_s=_LEAD_S)
        clock = asyncio.get_running_loop().time
        self._controls = Pace(_MOST_CONTROLS, _SPAN_S, clock)
        self._errors = Pace(_MOST_ERRORS, _SPAN_S, clock)
        self._keys = 0
        self._told: Standing | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._unsubscribe = call.subscribe(lambda event: self._outbox.put(told_event(event)))

    async def run(self) -> None:
        """Let both sides speak until the call is over, the client has gone, or nothing can be sent any more."""
        call = self._call
        self._outbox.put(
            told(
                "ready",
                session_id=call.session_id,
                test_session_id=call.test_session_id,
                input_rate=self._rate,
                output_rate=OUTPUT_RATE,
            )
        )
        watch_standing(call.live, self._stand)
        call.live.connect(self._ears.audio, self._mouth)
        sending = spawn(self._send(), name="voice test sends", on_error=_nothing)
        beside = (
            spawn(self._receive(), name="voice test receives"),
            spawn(self._ears.listen(), name="voice test listens"),
            spawn(call.live.begin(), name="voice test begins", on_error=self._did_not_begin),
            spawn(call.live.call.ended(), name="voice test ends"),
        )
        receiving, _, _, ended = beside
        try:
            await asyncio.wait({receiving, ended, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not ended.done():
                call.end("connection_lost", "dropped")
            await self._last_words(sending)
        finally:
            await cancel_and_wait(sending, *beside)

    async def aclose(self) -> None:
        """Leave the call's sound; a call that still runs ends as one whose caller was lost."""
        self._call.end("connection_lost", "dropped")
        self._unsubscribe()
        if self._settling is not None:
            self._settling.cancel()
        self._ears.close()
        await self._mouth.aclose()

    # ------------------------------------------------------------ to the client

    def _spoken(self, frame: Any, _at: float) -> None:
        self._outbox.put(bytes(frame.data))

    def _cleared(self) -> None:
        self._outbox.clear_audio()
        self._outbox.put(told("clear"))

    def _stand(self) -> None:
        if self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(_SETTLED_S, self._settled)

    def _settled(self) -> None:
        self._settling = None
        standing = standing_of(self._call.live, self._keys)
        if self._told is None and self._call.live.call.state.agent_id is None and not standing.ending:
            return  # nobody has had the word yet: it is not the caller's turn
        if standing != self._told:
            self._told = standing
            self._outbox.put(told_standing(standing))

    async def _send(self) -> None:
        while (message := await self._outbox.next()) is not None:
            async with asyncio.timeout(_SENT_WITHIN_S):
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_text(message)

    async def _last_words(self, sending: asyncio.Task[None]) -> None:
        """Tell how the call ended to a client that is still there, and close the socket."""
        ended = next((e.payload for e in reversed(self._call.events) if e.event_type == "call_ended"), {})
        self._outbox.put(told("ended", reason=ended.get("reason"), status=ended.get("status")))
        self._outbox.close()
        await asyncio.wait({sending}, timeout=_LAST_WORDS_S)
        sent = sending.done() and not sending.cancelled() and sending.exception() is None
        if self._socket.client_state is WebSocketState.CONNECTED:
            with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):  # it went away meanwhile, or takes nothing
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._socket.close(_ENDED if sent else _TOO_SLOW)

    # ------------------------------------------------------------ from the client

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                self._call.end(*_departure(message))
                return
            try:
                self._take(message)
            except BadMessage as bad:
                # Each waits in memory until the client takes it, and this one may take nothing for a while.
                if self._errors.allows():
                    self._outbox.put(told("error", code=bad.code, message=bad.message))

    def _take(self, message: Mapping[str, Json]) -> None:
        if (pcm := message.get("bytes")) is not None:
            self._ears.hear(pcm)
            return
        live, control = self._call.live, read_control(message.get("text") or "")
        if not self._controls.allows() and not isinstance(control, HangupControl):
            raise BadMessage("too_fast", f"More than {_MOST_CONTROLS} messages in {_SPAN_S:g} s; this one is left out.")
        match control:
            case DtmfControl():
                self._keys += len(control.digits)
                live.press(control.digits.upper())
            case MuteControl():
                self._ears.mute(muted=control.muted)
            case InterruptControl():
                if live.line.speaking:
                    live.session.interrupt(force=True)
            case HangupControl():
                self._call.end("caller_hangup")
            case _:
                assert_never(control)

    def _did_not_begin(self, error: BaseException) -> None:
        _log.error("voice_test_did_not_begin", session_id=self._call.session_id, exc_info=error)
        self._call.end("error", "dropped")


def _departure(message: Mapping[str, Json]) -> tuple[Reason, Status]:
    """Return how a client left: only one that said goodbye (a close frame has a reason, be it empty) has hung up."""
    if message.get("code") == 1012:
        return "drained", "dropped"
    if "reason" in message and message.get("code") in {1000, 1001, 1005}:
        return "caller_hangup", "completed"
    return "connection_lost", "dropped"


def _nothing(_error: BaseException) -> None:
    """Whoever waits for the task looks at what became of it."""
