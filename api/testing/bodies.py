"""What a chat test is asked with and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from runtime.workflow.faults import UNSTORABLE

__all__ = ["ChatAnswer", "ChatRequest", "TestSessionBody", "TestSessionList", "storable_map"]

Json = Any
_DEEPEST = 32


def _storable(value: Json, depth: int = 0) -> Json:
    """Refuse what Postgres cannot store, in a text or in any key or text of a JSON value."""
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if isinstance(value, str) and UNSTORABLE.search(value):
        raise ValueError("it has NUL or half of a character, which cannot be stored")
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for each in value:
            _storable(each, depth + 1)
    return value


def storable_map(value: dict[str, Json]) -> dict[str, Json]:
    """Return the map; raises ValueError where it holds what Postgres cannot store."""
    _storable(value)
    return value


_Line = Annotated[str, Field(max_length=4000), AfterValidator(_storable)]
_Map = Annotated[dict[str, Json], AfterValidator(storable_map)]
_START_ONLY = ("mocks", "variables", "offline")


class ChatRequest(BaseModel):
    """One turn, a whole script, or neither, which begins a session and brings its greeting alone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"message": "I have a question about my invoice", "offline": True},
                {"messages": ["I have a question about my invoice", "[dtmf 4271#]", "[silence 8]"], "offline": True},
            ]
        },
    )

    message: Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_storable)] | None = Field(
        None,
        description="What the caller says; or one step of a script in brackets: `[dtmf 12#]`, `[silence 8]`, "
        "`[interrupt 0.6] stop please`, `[hangup]`. The session stays open.",
    )
    messages: Annotated[list[_Line], Field(min_length=1, max_length=500)] | None = Field(
        None,
        description="A whole script, a line an item: each is said once the agent has answered the one before. "
        "`#` begins a comment. After the last answer the caller hangs up.",
    )
    test_session_id: UUID | None = Field(None, description="The session that goes on; without it one begins.")
    mocks: _Map = Field(
        default_factory=dict,
        description="Results in the place of tools, as the content of `--mock FILE`: "
        '`{"tools": {"check_order": [{"result": {"status": "shipped"}}]}}`. Where a session begins.',
    )
    variables: _Map = Field(
        default_factory=dict, description="Values given from outside, by name. Where a session begins."
    )
    offline: bool = Field(
        default=False,
        description="Put the local providers in place of the workflow's: no key, no network. Where a session begins.",
    )

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        if self.message is not None and self.messages is not None:
            raise ValueError("send `message` or `messages`, not both")
        if self.message is not None and not self.message.strip():
            raise ValueError("`message` is empty")
        if self.test_session_id is None:
            return self
        if late := [name for name in _START_ONLY if name in self.model_fields_set]:
            raise ValueError(f"`{late[0]}` is said where a session begins, without `test_session_id`")
        if self.message is None and self.messages is None:
            raise ValueError("a session that goes on needs `message` or `messages`")
        return self


class AgentBody(BaseModel):
    """An agent, by the config's id."""

    id: str
    name: str


class TurnBody(BaseModel):
    """One turn as it was said or heard."""

    role: Literal["user", "agent"]
    agent: str | None = Field(description="The agent's name.")
    text: str = Field(description="`•••` where it is sensitive.")
    turn: int = Field(description="The caller's turn it belongs to; 0 before the first.")
    interrupted: bool = Field(
        default=False, description="Whether the agent was cut off; `text` is what was heard of it."
    )
    llm_ttft_ms: int | None = Field(None, description="An agent's: the model's time to its first token.")
    response_ms: int | None = Field(None, description="An agent's: from the caller's stop to the answer's beginning.")


class EventBody(BaseModel):
    """One stored event."""

    session_id: UUID
    seq: int = Field(description="From 1, without gaps.")
    event_type: str
    occurred_at: datetime
    payload: dict[str, Json] = Field(description="As docs/events.md says.")


class LatenciesBody(BaseModel):
    """The slowest answer of the request, in milliseconds; null where nothing was measured."""

    llm_ttft_ms: int | None = Field(None, description="The model's time to its first token.")
    response_ms: int | None = Field(None, description="From the caller's stop to the answer's beginning.")


class ChatAnswer(BaseModel):
    """What a request to a chat test came to."""

    test_session_id: UUID
    session_id: UUID = Field(description="The call, as in /api/sessions.")
    workflow_version_id: UUID
    status: Literal["active", "ended"]
    end_reason: str | None = Field(description="Why it has ended, as docs/events.md says; null while it runs.")
    turns: list[TurnBody] = Field(description="The turns of this request, in order.")
    events: list[EventBody] = Field(description="The stored events of this request, in order.")
    variables: dict[str, Json] = Field(description="What is known so far; `•••` where it is sensitive.")
    current_agent: AgentBody | None = Field(
        description="Who speaks now; null before the first agent and after the end."
    )
    latencies: LatenciesBody


class TestSessionBody(BaseModel):
    """A test session with how its call stands."""

    __test__ = False  # not a test class, whatever its name

    id: UUID
    organization_id: UUID
    workflow_version_id: UUID
    session_id: UUID | None = Field(description="The call; null once it has been erased.")
    created_at: datetime
    channel: str | None = Field(description="`chat_test` or `voice_test`; null without the call.")
    status: Literal["active", "completed", "dropped"] | None = Field(description="How the call stands.")
    end_reason: str | None
    transcript: list[dict[str, Json]] = Field(
        description="`{role, agent, text, turn}` a turn, as far as it was saved; empty in lists."
    )


class TestSessionList(BaseModel):
    """One page of test sessions, newest first."""

    __test__ = False  # not a test class, whatever its name

    items: list[TestSessionBody]
    next: str | None = Field(description="What to send as `after` for the next page; null on the last.")
