"""Who is told what a call's agent hears, and what fails."""

from __future__ import annotations

from typing import Any, Protocol

from livekit.agents import llm, stt

from runtime.voice.mouth import Spokesman
from runtime.voice.watchdog import Limits

__all__ = ["TurnListener"]


class TurnListener(Spokesman, Protocol):
    """`turn_heard` answers whether the model is to reply to the turn; `passes`, whether LiveKit is to know of an event."""

    limits: Limits

    def turn_heard(self, message: llm.ChatMessage) -> bool: ...

    def turn_lost(self, error: BaseException) -> None: ...

    def passes(self, event: stt.SpeechEvent) -> bool: ...

    def model_failed(self, code: str, error: BaseException | None) -> None: ...

    def report(self, component: str, code: str, message: str, recovered_by: str | None) -> None: ...

    def silent_for(self) -> float: ...

    def answer_discarded(self, model: llm.LLM[Any]) -> None:
        """An answer that was begun before the caller's turn was over is thrown away."""
        ...

    def answer_retried(self, code: str, error: BaseException | None) -> None:
        """An answer that was begun so has failed by the end of the turn, and the model is asked anew."""
        ...
