"""What the calls of a version came to, as the API shows it."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from pydantic import BaseModel, Field

__all__ = ["Analytics"]

Milliseconds = float | None


class CallFigures(BaseModel):
    """All calls together. Shares are 0 to 1; what cannot be said without calls is null."""

    calls: int
    completed: int
    dropped: int
    completed_share: float | None
    duration_avg_ms: Milliseconds
    turns: int
    turns_per_call: float | None
    paths_taken: int
    refusals: int
    tool_runs: int
    tool_failures: int
    response_p50_ms: Milliseconds = Field(description="From the caller's last word to the agent's first sound.")
    response_p95_ms: Milliseconds
    priced_calls: int = Field(description="Calls whose cost is known.")
    cost: float | None
    cost_per_call: float | None = Field(description="Of the calls whose cost is known.")


class VersionFigures(CallFigures):
    """The same for one of two versions that are compared."""

    workflow_version_id: UUID
    version: int


class AgentFigures(BaseModel):
    """One agent of the funnel."""

    agent_id: str | None
    agent_name: str | None
    entered: int = Field(description="Stays that began there.")
    left_by_path: int
    transferred: int
    hung_up: int
    ended_there: int
    dropped_there: int
    turns: int
    dwell_p50_ms: Milliseconds
    dwell_p90_ms: Milliseconds


class RefusalFigures(BaseModel):
    """Why a path was refused: as a whole, and of which variable."""

    reason: str | None = None
    problem: str | None = None
    variable: str | None = None
    why: str | None = None
    refusals: int


class PathFigures(BaseModel):
    """One path: how often it was asked for, taken and refused."""

    agent_id: str | None
    agent_name: str | None
    path_id: str | None
    path_name: str | None
    requested: int
    taken: int
    refused: int
    taken_share: float | None
    refusals: list[RefusalFigures]


class VariableFigures(BaseModel):
    """One variable: how often it was asked for, and how long it took."""

    variable: str
    data_type: str | None
    calls: int
    collected: int
    asks: int
    asks_per_call: float | None
    attempts: int
    rejected: int
    withdrawn: int
    corrected: int
    confirmed: int
    collect_p50_ms: Milliseconds
    collect_p90_ms: Milliseconds


class ToolFigures(BaseModel):
    """One tool at one agent."""

    tool_type: str | None = None
    name: str | None = None
    mocked: bool | None = None
    agent_id: str | None
    agent_name: str | None
    runs: int
    succeeded: int
    failed: int
    timed_out: int
    success_share: float | None
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    p95_ms: Milliseconds
    p99_ms: Milliseconds


class LatencyFigures(BaseModel):
    """One component of one agent's turns."""

    agent_id: str | None
    agent_name: str | None
    component: str | None
    turns: int
    interrupted: int | None
    p50_ms: Milliseconds
    p90_ms: Milliseconds
    p95_ms: Milliseconds
    p99_ms: Milliseconds


class CostFigures(BaseModel):
    """What one provider's model was used for, and what it took."""

    provider: str | None = None
    model: str | None = None
    kind: str | None = None
    currency: str | None = None
    calls: int
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    characters: int | None
    audio_seconds: float | None
    priced_calls: int
    cost: float | None = Field(description="null where no price is known, never 0.")
    cost_per_call: float | None


class Analytics(BaseModel):
    """What the calls of a version came to. Days are in UTC and included."""

    workflow_version_id: UUID
    version: int
    from_: date | None = Field(alias="from")
    to: date | None
    channel: str | None
    include_tests: bool
    calls: CallFigures
    agents: list[AgentFigures] = Field(description="The funnel, the busiest agent first.")
    paths: list[PathFigures]
    variables: list[VariableFigures]
    tools: list[ToolFigures]
    latency: list[LatencyFigures]
    cost: list[CostFigures]
    comparison: list[VersionFigures] | None = Field(description="This version and the one of `compare`; null without.")
