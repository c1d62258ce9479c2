"""Signals: what the line, a tool or a timer reports; each is turned into facts and commands and then forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from runtime.conversation.facts import Instant, Reason, Status, Usage

__all__ = [
    "AgentSpoke",
    "AnswerEnded",
    "CallAnswered",
    "CallBegan",
    "CallStopped",
    "CallTakenOver",
    "CallerSpeaking",
    "FaultNoticed",
    "GoodbyeAsked",
    "HangUpAsked",
    "HoldAsked",
    "KeyPressed",
    "PathAsked",
    "Signal",
    "SpeechCutOff",
    "Timer",
    "TimerFired",
    "ToolAsked",
    "ToolReturned",
    "TransferAsked",
    "TransferEnded",
    "TurnHeard",
    "UsageCounted",
    "ValuesGiven",
]

Json = Any
Timer = Literal["keypad", "silence", "max_duration", "hello", "hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signal:
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBegan(_Signal):
    """The caller is there. `presets` are values given from outside, by name; `request_id` names the API's request, if any.

    A call that goes out begins when it is dialled, with `answered` false; `CallAnswered` follows, or `CallStopped`.
    """

    session_id: str
    channel: str
    direction: str = "inbound"
    caller: str | None = None
    dialled: str | None = None
    workflow_id: str | None = None
    workflow_version_id: str | None = None
    runtime_version: str = ""
    presets: Mapping[str, Json] = field(default_factory=dict)
    answered: bool = True
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(_Signal):
    """The call has been answered: by us, or by the other side where it goes out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnHeard(_Signal):
    """The caller's turn is final. Times are milliseconds since the call started."""

    text: str
    language: str | None = None
    stt_confidence: float | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    eou_delay_ms: int | None = None
    stt_delay_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpoke(_Signal):
    """The agent's turn was spoken, or as far as it got. `agent_id` is who spoke, where it is no longer the current one."""

    agent_id: str | None = None
    text: str
    spoken_text: str
    interrupted: bool = False
    start_ms: int | None = None
    end_ms: int | None = None
    llm_ttft_ms: int | None = None
    tts_ttfb_ms: int | None = None
    response_ms: int | None = None
    model: str | None = None
    reads_back: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerEnded(_Signal):
    """Nothing more will be said in answer to the caller's turn; the agent waits, or was cut off by the caller."""

    interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSpeaking(_Signal):
    """The caller has begun to say words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuesGiven(_Signal):
    """The model records values (`remember`). `stay` is the stay at which it was asked."""

    stay: int
    values: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathAsked(_Signal):
    """The model calls a path. `values` are its arguments, as they came."""

    stay: int
    path_id: str
    values: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAsked(_Signal):
    """The model calls a tool; or, `at_start`, the session does before there is an agent."""

    stay: int
    at_start: bool = False
    tool_call_id: str
    tool_type: str
    name: str
    arguments: Mapping[str, Json]
    mocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturned(_Signal):
    """A tool has ended. `assigned` are values of its answer for variables, by name."""

    tool_call_id: str
    ok: bool
    duration_ms: int
    result_preview: str = ""
    error_code: str = ""
    sources: Sequence[Mapping[str, Json]] = ()
    assigned: Mapping[str, Json] = field(default_factory=dict)
    request_path_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPressed(_Signal):
    """The caller pressed one key: 0-9, *, # or A-D."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired(_Signal):
    """A timer that a command started has run out."""

    name: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechCutOff(_Signal):
    """The caller's speech stopped the agent `at_ms` into its sentence."""

    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultNoticed(_Signal):
    """Something went wrong outside the rules."""

    component: str
    code: str
    message: str
    retryable: bool = False
    recovered_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageCounted(_Signal):
    """What the providers used since the last report."""

    agent_id: str | None
    scope: Literal["stay", "call"]
    usage: tuple[Usage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferEnded(_Signal):
    """The telephone's answer to a transfer."""

    ok: bool
    sip_status: int | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUpAsked(_Signal):
    """A tool, or the model through it, ends the call after what is being said."""

    stay: int
    say: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferAsked(_Signal):
    """A tool hands the caller to another telephone after what is being said. `to` is a number or a SIP address."""

    stay: int
    to: str
    say: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldAsked(_Signal):
    """The caller wants a moment: answers and prompts rest for at most `seconds`."""

    stay: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodbyeAsked(_Signal):
    """The runtime ends the call, whatever the agent is at: what is being said stops, `say` is said, then it hangs up."""

    reason: Reason
    say: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTakenOver(_Signal):
    """The call goes on at another worker, after `lost_ms` in which nobody ran it; `forgotten` as in `CallResumed`."""

    worker_id: str
    lost_ms: int
    forgotten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStopped(_Signal):
    """The call is over: somebody hung up, or it broke."""

    reason: Reason
    status: Status = "completed"


Signal = (
    CallBegan
    | CallAnswered
    | TurnHeard
    | AgentSpoke
    | AnswerEnded
    | CallerSpeaking
    | ValuesGiven
    | PathAsked
    | ToolAsked
    | ToolReturned
    | KeyPressed
    | TimerFired
    | SpeechCutOff
    | FaultNoticed
    | UsageCounted
    | TransferEnded
    | HangUpAsked
    | TransferAsked
    | HoldAsked
    | GoodbyeAsked
    | CallTakenOver
    | CallStopped
)
