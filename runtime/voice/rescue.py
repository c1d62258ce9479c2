"""Faults of a call's providers told to the rules, and something said in place of what failed."""

from __future__ import annotations

import asyncio
from typing import Final

from livekit import rtc
from livekit.agents import AgentSession, CloseEvent, CloseReason
from livekit.agents.voice import io

from runtime.conversation import commands as do
from runtime.conversation import events as ev
from runtime.session.call_session import CallSession
from runtime.tasks import spawn
from runtime.voice.apologies import recording
from runtime.voice.described import describe
from runtime.voice.line import SessionLine
from runtime.voice.phrases import Phrase, phrase
from runtime.voice.wav import frame_of, resample

__all__ = ["Rescue"]

_GOODBYE_FRAME_S: Final = 0.1


class Rescue:
    """Reports and speaks for a call's watchdog, voice and bridge."""

    def __init__(self, call: CallSession, session: AgentSession[None], line: SessionLine) -> None:
        self._call = call
        self._session = session
        self._line = line
        self._sink: io.AudioOutput | None = None
        session.on("close", self._closed)

    @property
    def speaking(self) -> bool:
        return self._line.speaking

    @property
    def ending(self) -> bool:
        return self._call.state.ending

    def hold_sink(self) -> bool:
        """Remember where sound goes to, for the time when the session has let go of it; False where there is none."""
        self._sink = self._session.output.audio or self._sink
        return self._sink is not None

    def report(self, component: str, code: str, message: str, recovered_by: str | None) -> None:
        """Submit a fault; by `apology` means that the caller gets one in place of an answer."""
        self._call.submit(
            ev.FaultNoticed(
                at=self._call.instant(),
                component=component,
                code=code,
                message=message,
                retryable=recovered_by in {"retry", "reconnect"},
                recovered_by=recovered_by,
            )
        )

    def rescue(self, name: Phrase, *, cut: bool) -> None:
        """Say a phrase, unless the fault has just ended the call; `cut` drops what was to be said before."""
        if cut:  # also in a goodbye or before a transfer, which wait for the end of what is being said
            self._line.perform(do.StopSpeaking())
        if self.ending:
            return
        self._line.perform(do.Say(phrase(name, self._call.view().language)))

    def voice_failed(self, code: str, error: BaseException | None, *, recovered_by: str) -> bool:
        """Report a text that could not be spoken; False where the rules have ended the call for it."""
        was_ending = self.ending
        self.report("tts", f"tts_{code}", describe(error) if error else f"The voice was {code}.", recovered_by)
        return was_ending or not self.ending

    def turn_lost(self, error: BaseException) -> None:
        """Report a turn that the rules could not take, and apologise."""
        self.report("rules", "turn_failed", describe(error), "apology")
        self.rescue("again", cut=False)

    # ------------------------------------------------------------ a session that is gone

    def _closed(self, event: CloseEvent) -> None:
        if self._call.state.ended or event.reason is not CloseReason.ERROR:
            return
        self.report("session", "session_closed", f"The session closed: {event.reason.value}.", "goodbye")
        spawn(self._say_goodbye(), name="goodbye")

    async def _say_goodbye(self) -> None:
        """Say goodbye without the session, and end the call."""
        try:
            if self._sink is not None:
                await self._play(self._sink)
        finally:
            self._call.stop("error", "dropped")

    async def _play(self, sink: io.AudioOutput) -> None:
        goodbye = recording("give_up", self._call.view().language)
        rate = sink.sample_rate or goodbye.rate
        samples = resample(goodbye.samples, goodbye.rate, rate)
        size = int(rate * _GOODBYE_FRAME_S)
        frames: list[rtc.AudioFrame] = [frame_of(samples[at : at + size], rate) for at in range(0, samples.size, size)]
        for frame in frames:
            await sink.capture_frame(frame)
        sink.flush()
        try:
            async with asyncio.timeout(goodbye.seconds + 2):
                await sink.wait_for_playout()
        except TimeoutError:  # the caller may be gone as well
            return
