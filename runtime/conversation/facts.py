"""Facts: what happened, in the past tense; each is one row of `session_event`, made by `advance` and folded by `state.apply`."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "FACTS",
    "AgentEntered",
    "AgentExited",
    "AgentFact",
    "AgentInterrupted",
    "AgentTurn",
    "By",
    "CallEnded",
    "CallResumed",
    "CallStarted",
    "Cause",
    "DtmfReceived",
    "Fact",
    "FaultRaised",
    "GuardRead",
    "HoldEnded",
    "HoldStarted",
    "Instant",
    "InvalidValue",
    "PathRefused",
    "PathRequested",
    "PathTaken",
    "Reason",
    "RefusalReason",
    "SilenceElapsed",
    "Source",
    "Status",
    "TakenVariable",
    "ToolFact",
    "ToolFailed",
    "ToolStarted",
    "ToolSucceeded",
    "TransferFact",
    "TransferFailed",
    "TransferStarted",
    "TransferSucceeded",
    "Usage",
    "UsageReported",
    "UserTurn",
    "VariableCollected",
    "VariableConfirmed",
    "VariableCorrected",
    "VariableFact",
    "VariableRejected",
    "VoicemailDetected",
    "fact_from_row",
]

Json = Any
By = Literal["model", "rule", "dtmf", "tool"]
Source = Literal["speech", "dtmf", "tool", "preset"]
Status = Literal["completed", "dropped"]
Reason = Literal[
    "caller_hangup",
    "agent_hangup",
    "transferred",
    "voicemail",
    "inactivity",
    "max_duration",
    "no_answer",
    "busy",
    "not_connected",
    "connection_lost",
    "limit_reached",
    "no_workflow",
    "drained",
    "error",
    "worker_lost",
]
Cause = Literal["entry", "path", "global_path", "resume"]
RefusalReason = Literal[
    "missing",
    "invalid",
    "unconfirmed",
    "guard",
    "guard_fault",
    "path_already_taken",
    "moved_on",
    "not_offered",
    "cooldown",
    "call_ending",
]


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment of a call: wall clock (aware) and milliseconds since `call_started` on a monotonic clock."""

    wall: datetime
    elapsed_ms: int


class Fact(BaseModel):
    """What all payloads have in common (events.md); `at` becomes the row's `occurred_at`.

    `hidden` holds, for each key of the payload that is sensitive, what the public payload shows in its place.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    event_type: ClassVar[str]

    v: int = 1
    turn: int = 0
    elapsed_ms: int = 0
    caused_by: int | None = None
    at: datetime = Field(exclude=True)
    hidden: Mapping[str, Json] = Field(default_factory=dict, exclude=True)

    def payload(self) -> dict[str, Json]:
        """Return the payload as it is stored, `•••` in place of what is sensitive."""
        return {**self.model_dump(mode="json"), **self.hidden}

    def secret(self) -> dict[str, Json] | None:
        """Return the real values of the hidden keys, for `call_secret`; None where nothing is hidden."""
        if not self.hidden:
            return None
        real = self.model_dump(mode="json", include=set(self.hidden))
        return {key: real[key] for key in self.hidden}


class AgentFact(Fact):
    """A fact that belongs to an agent's stay; both are null before the first agent."""

    agent_id: str | None = None
    agent_name: str | None = None


class CallStarted(Fact):
    event_type = "call_started"
    channel: str
    direction: str
    caller: str | None = None
    dialled: str | None = None
    workflow_id: str | None = None
    workflow_version_id: str | None = None
    runtime_version: str
    session_id: str
    request_id: str | None = None


class CallResumed(Fact):
    """`forgotten` are sensitive variables whose values no key opened: they count as not given."""

    event_type = "call_resumed"
    worker_id: str
    lost_ms: int
    forgotten: tuple[str, ...] = ()


class AgentEntered(AgentFact):
    event_type = "agent_entered"
    cause: Cause
    path_id: str | None = None


class AgentExited(AgentFact):
    event_type = "agent_exited"
    cause: Literal["path", "global_path", "transfer", "call_ended"]
    path_id: str | None = None
    dwell_ms: int
    turns: int
    reason: Reason | None = None
    """Why the call is about to end, where it is: what `call_ended` will say unless the caller reopens it."""


class PathRequested(AgentFact):
    event_type = "path_requested"
    path_id: str
    path_name: str
    by: By
    values: Mapping[str, Json] = Field(default_factory=dict)


class TakenVariable(BaseModel):
    """A value a path was taken with."""

    model_config = ConfigDict(frozen=True)
    name: str
    value: Json
    source: Source


class GuardRead(BaseModel):
    """A guard as it was evaluated: its text, the values it read, and what came out (null where it was not evaluated)."""

    model_config = ConfigDict(frozen=True)
    text: str
    values: Mapping[str, Json] = Field(default_factory=dict)
    result: bool | None = None
    fault: str | None = None


class PathTaken(AgentFact):
    event_type = "path_taken"
    path_id: str
    path_name: str
    by: By
    from_agent_id: str
    to_agent_id: str | None
    variables: tuple[TakenVariable, ...] = ()
    guard: GuardRead | None = None
    latency_ms: int = 0


class InvalidValue(BaseModel):
    """A value that was refused, with a reason that can be acted on."""

    model_config = ConfigDict(frozen=True)
    name: str
    value: Json
    why: str


class PathRefused(AgentFact):
    event_type = "path_refused"
    path_id: str
    path_name: str
    by: By
    missing: tuple[str, ...] = ()
    invalid: tuple[InvalidValue, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    guard: GuardRead | None = None
    reason: RefusalReason


class VariableFact(AgentFact):
    """What became of a value; `attempt` counts the failed answers so far, this one included."""

    name: str
    value: Json = None
    raw: Json = None
    data_type: str
    source: Source
    attempt: int = 0
    why: str | None = None


class VariableCollected(VariableFact):
    """`confirmed` is false while the value waits for the caller's own yes: it is not acted on until then."""

    event_type = "variable_collected"
    confirmed: bool = True


class VariableCorrected(VariableFact):
    event_type = "variable_corrected"
    confirmed: bool = True


class VariableRejected(VariableFact):
    event_type = "variable_rejected"
    withdrawn: bool = False


class VariableConfirmed(VariableFact):
    event_type = "variable_confirmed"


class UserTurn(AgentFact):
    event_type = "user_turn"
    text: str
    by: Literal["speech", "dtmf"] = "speech"
    partial: bool = False
    language: str | None = None
    stt_confidence: float | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    eou_delay_ms: int | None = None
    stt_delay_ms: int | None = None


class AgentTurn(AgentFact):
    event_type = "agent_turn"
    text: str
    interrupted: bool = False
    spoken_text: str
    start_ms: int | None = None
    end_ms: int | None = None
    llm_ttft_ms: int | None = None
    tts_ttfb_ms: int | None = None
    response_ms: int | None = None
    model: str | None = None
    read_back: tuple[str, ...] = ()


class DtmfReceived(AgentFact):
    """`entry` is the keypad entry after this key, null where no entry is open."""

    event_type = "dtmf_received"
    digits: str
    entry: str | None = None
    ended_by: Literal["hash", "length", "pause"] | None = None


class SilenceElapsed(AgentFact):
    event_type = "silence_elapsed"
    seconds: float
    prompt: int


class AgentInterrupted(AgentFact):
    event_type = "agent_interrupted"
    at_ms: int


class VoicemailDetected(AgentFact):
    event_type = "voicemail_detected"


class HoldStarted(AgentFact):
    event_type = "hold_started"
    seconds: float


class HoldEnded(AgentFact):
    event_type = "hold_ended"
    seconds: float


class ToolFact(AgentFact):
    tool_call_id: str
    tool_type: str
    name: str
    mocked: bool = False


class ToolStarted(ToolFact):
    event_type = "tool_started"
    arguments: Mapping[str, Json] = Field(default_factory=dict)


class ToolSucceeded(ToolFact):
    """`assigned` are values for variables as the tool brought them: what becomes of each is a fact of its own."""

    event_type = "tool_succeeded"
    duration_ms: int
    result_preview: str = ""
    assigned: Mapping[str, Json] = Field(default_factory=dict)
    path_id: str | None = None
    """The path that is asked for next, because the tool ended so."""
    sources: tuple[Mapping[str, Json], ...] = ()
    """Where the answer comes from: a document of a knowledge base each, with its passage and score."""


class ToolFailed(ToolFact):
    event_type = "tool_failed"
    duration_ms: int
    error_code: str
    result_preview: str = ""
    path_id: str | None = None


class TransferFact(AgentFact):
    path_id: str | None = None
    to: str
    mode: str = "cold"
    sip_status: int | None = None


class TransferStarted(TransferFact):
    event_type = "transfer_started"


class TransferSucceeded(TransferFact):
    event_type = "transfer_succeeded"


class TransferFailed(TransferFact):
    event_type = "transfer_failed"
    why: str | None = None


class Usage(BaseModel):
    """What one provider's model used: tokens, characters, audio seconds; `cost` is null where it has no price.

    `discarded` answers were begun before the caller's turn was over and thrown away. What one of them took is counted
    where its provider had told it by then; a provider may charge for the others, too.
    """

    model_config = ConfigDict(frozen=True)
    provider: str
    model: str
    kind: Literal["llm", "stt", "tts"]
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0
    audio_seconds: float = 0.0
    discarded: int = Field(default=0, exclude_if=operator.not_)
    cost: float | None = None


class UsageReported(AgentFact):
    event_type = "usage_reported"
    scope: Literal["stay", "call"]
    usage: tuple[Usage, ...] = ()


class FaultRaised(AgentFact):
    event_type = "fault_raised"
    component: str
    code: str
    message: str
    retryable: bool = False
    recovered_by: str | None = None


class CallEnded(Fact):
    event_type = "call_ended"
    status: Status
    reason: Reason
    duration_ms: int
    turns: int
    variables: Mapping[str, Json] = Field(default_factory=dict)


FACTS: Mapping[str, type[Fact]] = {
    kind.event_type: kind
    for kind in (
        CallStarted,
        CallResumed,
        AgentEntered,
        AgentExited,
        PathRequested,
        PathTaken,
        PathRefused,
        VariableCollected,
        VariableRejected,
        VariableCorrected,
        VariableConfirmed,
        UserTurn,
        AgentTurn,
        DtmfReceived,
        SilenceElapsed,
        AgentInterrupted,
        VoicemailDetected,
        HoldStarted,
        HoldEnded,
        ToolStarted,
        ToolSucceeded,
        ToolFailed,
        TransferStarted,
        TransferSucceeded,
        TransferFailed,
        UsageReported,
        FaultRaised,
        CallEnded,
    )
}


def fact_from_row(
    event_type: str, payload: Mapping[str, Json], occurred_at: datetime, secret: Mapping[str, Json] | None = None
) -> Fact:
    """Return the fact a stored row tells of; `secret` are the decrypted real values of its hidden keys."""
    real = secret or {}
    return FACTS[event_type].model_validate(
        {**payload, **real, "at": occurred_at, "hidden": {key: payload.get(key) for key in real}}
    )
