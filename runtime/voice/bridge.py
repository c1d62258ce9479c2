"""LiveKit's events as ours: maps and notifies, nothing else (a callback that raises would silence the agent)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from livekit.agents import (
    AgentSession,
    ConversationItemAddedEvent,
    ErrorEvent,
    SpeechCreatedEvent,
    UserInputTranscribedEvent,
    llm,
    stt,
)

from runtime.conversation import events as ev
from runtime.conversation import masking
from runtime.conversation.state import CallState
from runtime.session.call_session import CallSession
from runtime.voice.agent import CallAgent
from runtime.voice.described import describe
from runtime.voice.dictation import Dictation
from runtime.voice.interruptions import TRANSCRIPTS, Overlaps
from runtime.voice.line import SessionLine
from runtime.voice.rescue import Rescue
from runtime.voice.watchdog import Limits, Watchdog
from runtime.workflow.graph import Agent as Node

__all__ = ["Bridge"]

GRACE_S = 0.5
LATE_S = 0.3
"""What LiveKit gets to hand over a turn by itself, once what kept it waiting is over."""


class Bridge:
    """Reports what happens on an AgentSession to the call."""

    def __init__(self, call: CallSession, session: AgentSession[None], line: SessionLine) -> None:
        self._call = call
        self._session = session
        self._line = line
        self._heard: list[str] = []
        self._last_turn: tuple[str, float | None] | None = None
        self._taken_up: tuple[str, float] = ("", 0.0)
        self._heard_at = 0.0
        self._dictation = Dictation(call, session)
        self._answered = 0
        self._rescue = Rescue(call, session, line)
        self._overlaps = Overlaps(session, self._answered_along)
        self.watchdog = Watchdog(call, session, self._rescue, Limits())
        self.agent: CallAgent | None = None
        line.on_idle = self._idle
        session.on("speech_created", self._speech_created)
        session.on("conversation_item_added", self._item_added)
        session.on("user_input_transcribed", self._transcribed)
        session.on("error", self._error)
        call.watch(self._changed)

    @property
    def limits(self) -> Limits:
        """How long the caller may be left without a sound."""
        return self.watchdog.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self.watchdog.limits = limits

    @property
    def ending(self) -> bool:
        return self._call.state.ending

    def _changed(self, state: CallState) -> None:
        """Watch over a call by voice while it runs."""
        if state.ending and self.agent is not None:
            self.agent.early.drop()
        if state.ended:
            self.watchdog.stop()
        elif self._rescue.hold_sink():
            self.watchdog.start()

    # ------------------------------------------------------------ the caller

    def passes(self, event: stt.SpeechEvent) -> bool:
        """Whether LiveKit is to know of what was recognised."""
        self.watchdog.heard(event.alternatives[0].text if event.alternatives else "")
        if self._call.state.closing is not None and event.type in TRANSCRIPTS:
            self._said_in_goodbye(event)
            return False
        if self.agent is not None:
            self._overlaps.manners = self.agent.manners
        return self._overlaps.passes(event)

    def _said_in_goodbye(self, event: stt.SpeechEvent) -> None:
        """LiveKit drops what is said into a sentence that cannot be interrupted; the rules may reopen the call for it."""
        text = event.alternatives[0].text.strip() if event.alternatives else ""
        listening = self.agent is not None and self.agent.manners.is_backchannel(text)
        if text and not listening and event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            message = llm.ChatMessage(role="user", content=[text])
            asyncio.get_running_loop().call_soon(self._line.hear_text, message, self.turn_heard)

    def _answered_along(self, text: str) -> None:
        """Take up words that went along with a sentence and turn out to answer it."""
        self._heard.append(text)
        self._heard_at = time.time()
        delay = self._node().turn.endpointing.min_delay_s
        asyncio.get_running_loop().call_later(delay, self._take_up, tuple(self._heard))

    def turn_lost(self, error: BaseException) -> None:
        """Report a turn that the rules could not take, and apologise."""
        self._rescue.turn_lost(error)

    def turn_heard(self, message: llm.ChatMessage) -> bool:
        """Report the caller's turn; True where the rules want the model to answer it."""
        text = (message.text_content or "").strip()
        self._heard.clear()
        self._dictation.over()
        if not text:
            return False
        line, metrics = self._line, message.metrics
        stopped_at = metrics.get("stopped_speaking_at")
        turn = (text, stopped_at)
        if stopped_at is not None and (turn == self._last_turn or self._was_taken_up(text, stopped_at)):
            return line.reply_wanted  # LiveKit tells it again, or late, where a tool kept it waiting for five seconds
        self._last_turn = turn
        if self.agent is not None:
            self.agent.early.turn_over()
        if self.agent is not None and masking.awaited(self._call.workflow, self._call.state):
            self.agent.secret_turns.add(message.id)
        line.turn_in_hand, line.reply_wanted = True, False
        try:
            self._call.submit(
                ev.TurnHeard(
                    at=self._call.instant(),
                    text=text,
                    language=self._call.view().language,
                    stt_confidence=message.transcript_confidence,
                    start_ms=self._ms(metrics.get("started_speaking_at")),
                    end_ms=self._ms(metrics.get("stopped_speaking_at")),
                    eou_delay_ms=_ms(metrics.get("end_of_turn_delay")),
                    stt_delay_ms=_ms(metrics.get("transcription_delay")),
                )
            )
        finally:
            line.turn_in_hand = False
        if line.reply_wanted:
            self.watchdog.owe()
        elif self.agent is not None:
            self.agent.early.drop()
        return line.reply_wanted

    def _was_taken_up(self, text: str, stopped_at: float) -> bool:
        """Whether these words were taken up here; LiveKit has cut that answer off by now, and is to give one."""
        return text == self._taken_up[0] and stopped_at <= self._taken_up[1]

    def _transcribed(self, event: UserInputTranscribedEvent) -> None:
        if not event.transcript.strip():
            return
        if event.is_final:
            self._heard.append(event.transcript)
            self._heard_at = time.time()
            if self.agent is None or not self.agent.manners.is_backchannel(event.transcript):
                self._call.interrupt_tools()  # the turn itself comes only once LiveKit has waited for them
        self._call.submit(ev.CallerSpeaking(at=self._call.instant()))
        self._dictation.follow(" ".join(self._heard if event.is_final else [*self._heard, event.transcript]))
        # Not here and now: a callback of LiveKit's only maps and notifies.
        asyncio.get_running_loop().call_soon(self._think_ahead, event.is_final)

    def _think_ahead(self, final: bool) -> None:
        """Begin the answer to what was understood for good; a caller who goes on has made the one under way worthless."""
        if self.agent is None:
            return
        if final and self._heard and not self._dictation.under_way and not self._line.speaking:
            self.agent.think_ahead(" ".join(self._heard))
        else:
            self.agent.early.drop()

    def answer_discarded(self, model: llm.LLM[Any]) -> None:
        """Count an answer that was begun in vain."""
        self._line.answer_discarded(model)

    def _node(self) -> Node:
        return self._call.workflow.agents[self._call.state.agent_id or ""]

    def _idle(self) -> None:
        """What was said while the agent could not be interrupted is dropped by LiveKit, and taken up here."""
        if self.agent is not None:
            self._call.checkpoint(self.agent.saved)
        if self._heard and self._call.state.agent_id is not None:
            delays = self._node().turn.endpointing
            longest = max(delays.max_delay_s, delays.dictation_delay_s) + GRACE_S
            passed = time.time() - self._heard_at
            asyncio.get_running_loop().call_later(max(LATE_S, longest - passed), self._take_up, tuple(self._heard))

    def _take_up(self, heard: tuple[str, ...]) -> None:
        quiet = not self._line.speaking and self._session.user_state != "speaking"
        if heard == tuple(self._heard) and quiet and not self._call.state.ending:
            text = " ".join(heard)
            self._taken_up = (text, self._heard_at)
            self._line.hear_text(llm.ChatMessage(role="user", content=[text]), self.turn_heard)

    # ------------------------------------------------------------ the agent

    def _speech_created(self, event: SpeechCreatedEvent) -> None:
        self.watchdog.pay()
        self._line.speech_created(event.speech_handle)

    def _item_added(self, event: ConversationItemAddedEvent) -> None:
        item = event.item
        if not isinstance(item, llm.ChatMessage) or item.role != "assistant":
            return
        handle = self._session.current_speech
        unsaid = self.agent.unsaid.pop(handle.id, None) if self.agent is not None and handle is not None else None
        if unsaid is not None:  # the history too is to have what was heard
            item.content = [unsaid]
        spoken, metrics = (item.text_content or "").strip(), item.metrics
        metadata = metrics.get("llm_metadata") or {}
        planned = self._line.planned(handle)
        if item.interrupted:
            began = metrics.get("started_speaking_at")
            ended = metrics.get("stopped_speaking_at")
            cut = round((ended - began) * 1000) if began and ended else 0
            self._call.submit(ev.SpeechCutOff(at=self._call.instant(), at_ms=cut))
        self._call.submit(
            ev.AgentSpoke(
                at=self._call.instant(),
                agent_id=self._line.speaker(handle),
                text=self._whole(planned.text if planned else None, spoken, interrupted=item.interrupted),
                spoken_text=spoken,
                interrupted=item.interrupted,
                start_ms=self._ms(metrics.get("started_speaking_at")),
                end_ms=self._ms(metrics.get("stopped_speaking_at")),
                llm_ttft_ms=_ms(metrics.get("llm_node_ttft")),
                tts_ttfb_ms=_ms(metrics.get("tts_node_ttfb")),
                response_ms=_ms(metrics.get("e2e_latency")) or self._response_ms(metrics.get("started_speaking_at")),
                model=None if planned is not None else metadata.get("model_name"),
                reads_back=planned.reads_back if planned is not None else None,
            )
        )
        self._answered = self._call.state.turn

    def _response_ms(self, started_at: float | None) -> int | None:
        """Return the caller's stop to first sound of a text that no model was asked for; null for all but the first."""
        state, start = self._call.state, self._ms(started_at)
        if start is None or state.turn in {0, self._answered} or start < state.turn_ms:
            return None
        return start - state.turn_ms

    def _whole(self, planned: str | None, spoken: str, *, interrupted: bool) -> str:
        if planned is not None or not interrupted or self.agent is None:
            return planned or spoken
        meant = self.agent.completion.text.strip()
        return meant if meant.startswith(spoken[:40]) else spoken

    # ------------------------------------------------------------ what goes wrong

    def model_failed(self, code: str, error: BaseException | None) -> None:
        """Report a completion that failed, stalled or was empty; the agent apologises for it."""
        self.report("llm", f"llm_{code}", describe(error) if error else f"The model's answer was {code}.", "apology")

    def answer_retried(self, code: str, error: BaseException | None) -> None:
        """Report an answer begun early that failed or was empty; the model is asked anew."""
        self.report("llm", f"llm_{code}", describe(error) if error else f"The model's answer was {code}.", "retry")

    def voice_failed(self, code: str, error: BaseException | None, *, recovered_by: str) -> bool:
        """Report a text that could not be spoken; False where nothing is to be said in its place."""
        return self._rescue.voice_failed(code, error, recovered_by=recovered_by)

    def report(self, component: str, code: str, message: str, recovered_by: str | None) -> None:
        """Report a fault and what came of it."""
        self._rescue.report(component, code, message, recovered_by)

    def silent_for(self) -> float:
        """Return for how many seconds neither side has made a sound."""
        return self.watchdog.silent_for()

    def _error(self, event: ErrorEvent) -> None:
        error = event.error
        kind = str(getattr(error, "type", "error")).removesuffix("_error")
        recoverable = bool(getattr(error, "recoverable", False))
        if kind in {"llm", "tts"} and not recoverable:
            return  # the agent reports it, with what it said
        by = "retry" if recoverable else ("reconnect" if kind == "stt" else None)
        self.report(kind, f"{kind}_error", describe(getattr(error, "error", None)), by)

    def _ms(self, epoch_s: float | None) -> int | None:
        """Return a wall-clock time of LiveKit's (seconds) as milliseconds since the call started."""
        if epoch_s is None:
            return None
        # Not the call's wall clock: a test may have moved that on, and LiveKit's has not.
        return max(0, self._call.elapsed_ms() - round((time.time() - epoch_s) * 1000))


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
