"""No state of a call lasts longer than its limit without a sound or an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from livekit.agents import AgentSession, AgentStateChangedEvent, UserStateChangedEvent

from runtime.session.call_session import CallSession
from runtime.session.ports import TimerHandle
from runtime.voice.phrases import Phrase
from runtime.workflow.graph import Agent as Node

__all__ = ["Limits", "Rescuer", "Watchdog", "answer_s"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the caller may be left without a sound, in seconds."""

    filler_s: float = 1.5
    """From the beginning of an answer to the first filler."""
    answer_margin_s: float = 1.0
    """What an answer's first words may take beyond the patience of the node's models."""
    first_audio_s: float = 4.0
    """From the end of a text to its first sound."""
    stalled_audio_s: float = 3.0
    """What a voice may be silent in the middle of a sentence."""
    transcript_s: float = 4.0
    """From the end of the caller's speech to its words."""
    speech_s: float = 0.6
    """Shorter sounds of the caller's need not have been words."""
    tool_s: float = 4.0
    """A tool's silence until the first filler; a further one follows after each `tool_again_s`."""
    tool_again_s: float = 8.0
    turn_s: float = 2.0
    """From the caller's turn to the beginning of its answer."""
    loop_s: float = 1.0
    """By how much the process may be late before that is a fault of its own."""


class Rescuer(Protocol):
    """Who tells of a fault and says something in place of what failed."""

    def report(self, component: str, code: str, message: str, recovered_by: str | None) -> None: ...

    def rescue(self, name: Phrase, *, cut: bool) -> None:
        """Say a phrase; `cut` drops what was to be said before."""
        ...

    @property
    def speaking(self) -> bool:
        """Whether anything is being said or about to be."""
        ...


_LOOKS: Final = 4
"""How often it looks within the shortest limit."""
_LONGEST_LOOK_S: Final = 0.25


def answer_s(node: Node, limits: Limits) -> float:
    """Return how long a node's models may take for the first words of an answer, each of them in turn."""
    return node.llm.timeout_s * (1 + len(node.llm.fallbacks)) + limits.answer_margin_s


class Watchdog:
    """Looks after one call by voice, from its first sound to its end; times are those of the call's clock."""

    def __init__(self, call: CallSession, session: AgentSession[None], rescuer: Rescuer, limits: Limits) -> None:
        self._call = call
        self._session = session
        self._rescuer = rescuer
        self.limits = limits
        self._timer: TimerHandle | None = None
        self._expected = 0.0
        self._quiet_since = call.clock.monotonic()
        self._filled_tool = False
        self._owed_since: float | None = None
        self._caller_since: float | None = None
        self._unheard_since: float | None = None
        self._deaf_to_voice = True
        session.on("agent_state_changed", self._agent_changed)
        session.on("user_state_changed", self._user_changed)

    def start(self) -> None:
        """Begin to look. Idempotent."""
        if self._timer is None:
            self._quiet_since = self._now()
            self._look_later()

    def stop(self) -> None:
        """Look no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ------------------------------------------------------------ what happens

    def silent_for(self) -> float:
        """Return for how many seconds neither side has made a sound."""
        if self._sounding():
            return 0.0
        return self._now() - self._quiet_since

    def owe(self) -> None:
        """The caller has said something that is to be answered."""
        self._owed_since = self._now()

    def pay(self) -> None:
        """An answer has begun, or none is wanted any more."""
        self._owed_since = None

    def heard(self, text: str) -> None:
        """The recogniser has understood something."""
        if not text.strip():
            return
        self._unheard_since = None
        if self._caller_since is not None:
            self._caller_since = self._now()
        if self._deaf_to_voice and self._session.user_state != "speaking":
            self._deaf_to_voice = False  # once is enough
            self._rescuer.report("vad", "vad_silent", "Words came without any voice activity before them.", "stt")

    def _agent_changed(self, event: AgentStateChangedEvent) -> None:
        if event.old_state == "speaking":
            self._quiet_since = self._now()
        if event.new_state == "speaking":
            self._filled_tool = bool(self._call.state.tools)
            self._owed_since = self._unheard_since = None

    def _user_changed(self, event: UserStateChangedEvent) -> None:
        now = self._now()
        if event.new_state == "speaking":
            self._deaf_to_voice = False
            self._caller_since = None if self._session.agent_state == "speaking" else now
            return
        if event.old_state != "speaking":
            return
        self._quiet_since = now
        since, self._caller_since = self._caller_since, None
        if since is not None and now - since >= self.limits.speech_s:
            self._unheard_since = now

    # ------------------------------------------------------------ looking

    def _now(self) -> float:
        return self._call.clock.monotonic()

    def _sounding(self) -> bool:
        return "speaking" in {self._session.agent_state, self._session.user_state}

    def _look_later(self) -> None:
        limits = self.limits
        shortest = min(limits.filler_s, limits.transcript_s, limits.tool_s, limits.turn_s, limits.loop_s)
        seconds = min(shortest / _LOOKS, _LONGEST_LOOK_S)
        # The loop's own time: the call's may be moved on by a test.
        self._expected = asyncio.get_running_loop().time() + seconds
        self._timer = self._call.clock.call_later(seconds, self._look)

    def _look(self) -> None:
        late = asyncio.get_running_loop().time() - self._expected
        self._timer = None
        if self._call.state.ended:
            return
        self._look_later()
        if late > self.limits.loop_s:
            self._was_late(late)
            return
        checks: tuple[Callable[[], None], ...] = (self._unheard, self._tool, self._unanswered, self._stuck)
        for check in checks:
            check()

    def _was_late(self, seconds: float) -> None:
        """The process stood still: whoever had no time to speak is given it."""
        now = self._now()
        self._quiet_since = now
        self._owed_since = now if self._owed_since is not None else None
        self._unheard_since = now if self._unheard_since is not None else None
        self._rescuer.report("loop", "loop_blocked", f"The process stood still for {seconds:.1f} s.", "resumed")

    def _unheard(self) -> None:
        """The caller has spoken, and no word has come of it."""
        since, state = self._unheard_since, self._call.state
        if since is None or self._sounding() or self._rescuer.speaking or state.ending or state.hold:
            return
        if self._now() - since < self.limits.transcript_s:
            return
        self._unheard_since = None
        self._rescuer.report("stt", "stt_silent", "The caller spoke and no transcript came.", "apology")
        self._rescuer.rescue("not_heard", cut=False)

    def _tool(self) -> None:
        """A tool takes its time."""
        state, limits = self._call.state, self.limits
        if not state.tools:
            self._filled_tool = False
            return
        if state.ending or state.hold:
            return
        started = min(running.fact.elapsed_ms for running in state.tools.values()) / 1000
        silent = min(self.silent_for(), self._call.instant().elapsed_ms / 1000 - started)
        if silent < (limits.tool_again_s if self._filled_tool else limits.tool_s):
            return
        self._filled_tool = True
        self._quiet_since = self._now()
        self._rescuer.rescue("filler", cut=False)

    def _unanswered(self) -> None:
        """The caller's turn was taken, and nothing came of it."""
        since, state = self._owed_since, self._call.state
        if since is None or state.ending or state.tools or self._rescuer.speaking:
            return
        if self._now() - since < self.limits.turn_s:
            return
        self._owed_since = None
        self._rescuer.report("line", "no_answer", "The caller's turn was followed by no answer.", "apology")
        self._rescuer.rescue("again", cut=False)

    def _stuck(self) -> None:
        """Something was to be said, and neither the model nor the voice has noticed that nothing is."""
        state = self._call.state
        if not self._rescuer.speaking or state.tools or state.agent_id is None:
            return
        limits, node = self.limits, self._call.workflow.agents[state.agent_id]
        if self.silent_for() < answer_s(node, limits) + limits.first_audio_s + 2 * limits.turn_s:
            return
        self._quiet_since = self._now()
        self._rescuer.report("line", "speech_stuck", "What was to be said was never heard.", "apology")
        self._rescuer.rescue("again", cut=True)
