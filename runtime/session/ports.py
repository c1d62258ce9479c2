"""What a call needs from the world: a store, a line, tools and a clock, as Protocols; each has a fake and a real part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:  # the rules take half a second to import, and a command that only reads rows needs none of them
    from runtime.conversation.commands import Command
    from runtime.conversation.events import Usage
    from runtime.workflow.graph import CompiledTool

__all__ = [
    "CallRow",
    "Clock",
    "EventRow",
    "Line",
    "OrganizationRow",
    "SessionStatus",
    "Store",
    "Telephone",
    "TestSessionRow",
    "TimerHandle",
    "ToolCall",
    "ToolOutcome",
    "ToolRunner",
    "TransferOutcome",
    "VersionRow",
    "VersionStatus",
    "WorkflowRow",
    "WorkspaceVariableRow",
]

Json = Any
SessionStatus = Literal["active", "completed", "dropped"]
VersionStatus = Literal["draft", "published", "archived"]


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """A tenant."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    """A workflow with the numbers of its newest and its published version."""

    id: str
    organization_id: str
    name: str
    description: str | None
    latest_version: int | None
    published_version: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of a workflow; `config` is the payload as it was given (any schema version)."""

    id: str
    workflow_id: str
    workflow_name: str
    organization_id: str
    version: int
    status: VersionStatus
    config: Mapping[str, Json]
    created_at: datetime
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class WorkspaceVariableRow:
    """`value` is plain text, or for a secret the Fernet token that holds it (str); nobody but the keyring reads it."""

    name: str
    value: str
    is_secret: bool
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CallRow:
    """A `call_session` row. Times are aware UTC datetimes; `cost` is in the price table's currency or null."""

    id: str
    organization_id: str
    workflow_version_id: str | None
    channel: str
    direction: str
    is_test: bool
    started_at: datetime
    external_session_id: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    worker_id: str | None = None
    runtime_version: str | None = None
    room: str | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    status: SessionStatus = "active"
    end_reason: str | None = None
    cost: float | None = None
    variables: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventRow:
    """A `session_event` row as it leaves the call.

    `payload` holds `•••` where a value is sensitive; `secret` is the Fernet token (str) of a JSON object
    `{payload key: real value}` that goes to `call_secret` while the call runs, or None.
    """

    session_id: str
    organization_id: str
    seq: int
    event_type: str
    payload: Mapping[str, Json]
    agent_id: str | None
    occurred_at: datetime
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class TestSessionRow:
    """A simulated chat or voice test: the transcript is a list of `{"role", "agent", "text", "turn"}`."""

    __test__ = False  # not a test class, whatever its name

    id: str
    organization_id: str
    workflow_version_id: str
    session_id: str | None
    transcript: Sequence[Mapping[str, Json]]
    created_at: datetime


class Store(Protocol):
    """Where workflows are read from and events go to. Every method raises `StoreUnreachable` when the store is away.

    A method that reads one thing by name or id raises `NotFound` (naming what there is) where it does not exist.
    """

    async def ensure_organization(self, name: str) -> OrganizationRow:
        """Return the organization of this name (or this id), making it when there is none."""
        ...

    async def save_draft(self, organization_id: str, workflow_name: str, config: Mapping[str, Json]) -> VersionRow:
        """Return the version of this workflow with just this config, or make it as a new draft (and the workflow)."""
        ...

    async def publish(self, version_id: str) -> VersionRow:
        """Mark the version published and its predecessor archived, in one transaction; publishing twice is once."""
        ...

    async def version(self, version_id: str) -> VersionRow: ...

    async def published_version(self, organization_id: str, workflow: str) -> VersionRow:
        """Return the published version of the workflow of this name or id."""
        ...

    async def workflows(self, organization_id: str) -> list[WorkflowRow]: ...

    async def versions(self, organization_id: str, workflow: str) -> list[VersionRow]:
        """Return the versions of the workflow of this name or id, newest first."""
        ...

    async def set_variable(self, organization_id: str, name: str, value: str, *, is_secret: bool) -> None: ...

    async def remove_variable(self, organization_id: str, name: str) -> None: ...

    async def variables(self, organization_id: str) -> list[WorkspaceVariableRow]: ...

    async def open_call(self, row: CallRow) -> None:
        """Insert the `call_session` row; a row that is there already stays as it is."""
        ...

    async def append(self, events: Sequence[EventRow]) -> None:
        """Insert one batch, of any number of sessions, in one statement; rows that are there already are left alone.

        The `call_session` rows exist. Secrets go to `call_secret`; the batch is atomic.
        """
        ...

    async def close_call(self, row: CallRow) -> None:
        """Write ended_at, status, end_reason, variables, answered_at and cost, and delete the call's secrets. Idempotent."""
        ...

    async def call(self, session_id: str) -> CallRow: ...

    async def calls(self, organization_id: str, *, limit: int = 20, tests: bool = True) -> list[CallRow]:
        """Return the newest calls first."""
        ...

    async def events(self, session_id: str) -> list[EventRow]:
        """Return the session's events by seq, with `secret` where the call still runs."""
        ...

    async def save_test(self, row: TestSessionRow) -> None:
        """Insert or replace the `test_session` row."""
        ...

    async def tests(self, organization_id: str, *, limit: int = 20) -> list[TestSessionRow]: ...

    async def aclose(self) -> None: ...


class TimerHandle(Protocol):
    """A timer that can still be stopped."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The call's time: the wall's for people, a monotonic one for durations, and timers on the latter."""

    def wall(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> TimerHandle: ...


class Line(Protocol):
    """What the caller hears: performs the commands of a call. Never blocks and never raises; faults are signals."""

    def perform(self, command: Command) -> None: ...

    def usage(self) -> tuple[Usage, ...]:
        """Return what the providers used since the last time this was asked."""
        ...


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """The telephone's answer to a transfer: `sip_status` is the last SIP status heard of it, `why` a reason in words."""

    ok: bool
    sip_status: int | None = None
    why: str | None = None


class Telephone(Protocol):
    """What a caller's telephone can do beyond sound. None of it raises: what fails is an outcome or is logged."""

    async def transfer(self, to: str) -> TransferOutcome:
        """Hand the caller to `to` (E.164 or `sip:…`) and wait for the result; where it failed the caller is still here."""
        ...

    async def send_keys(self, keys: str) -> None:
        """Send DTMF (0-9, *, #, A-D) to the other side; `w` waits half a second."""
        ...


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool. `deadline_s` is its timeout; `tool_call_id` serves as idempotency key.

    `variables` are the known values by name; `caller` has `number` and `dialled`; `workspace` the plain workspace
    variables. Secrets are not here: the runner has its own way to them.
    """

    tool: CompiledTool
    tool_call_id: str
    arguments: Mapping[str, Json]
    variables: Mapping[str, Json]
    caller: Mapping[str, str]
    call: Mapping[str, str]
    workspace: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a tool brought: `text` is for the model to read, `preview` for the event, `assigned` for variables.

    `error_code` is empty where it succeeded. `hang_up` asks for the end of the call after what is being said.
    """

    text: str
    preview: str = ""
    error_code: str = ""
    assigned: Mapping[str, Json] = field(default_factory=dict)
    mocked: bool = False
    hang_up: bool = False


class ToolRunner(Protocol):
    """Runs the tools of a workflow. It never raises into the call."""

    def schema(self, tool: CompiledTool) -> dict[str, Json]:
        """Return the function as a model is offered it: `name`, `description`, `parameters` (JSON Schema)."""
        ...

    def faults(self, tool: CompiledTool, arguments: Mapping[str, Json]) -> str:
        """Return what is wrong with the arguments, in words a model can act on; empty when nothing is."""
        ...

    async def run(self, call: ToolCall) -> ToolOutcome: ...
