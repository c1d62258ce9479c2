"""What a call needs from the world: a store, a line, tools and a clock, as Protocols; each has a fake and a real part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from runtime.errors import StoreUnreachable
from runtime.session.fleet_ports import Fleet
from runtime.session.outbox_ports import Outbox

if TYPE_CHECKING:  # the rules take half a second to import, and a command that only reads rows needs none of them
    from runtime.conversation.commands import Command
    from runtime.conversation.events import Usage
    from runtime.workflow.graph import CompiledTool, Workflow

__all__ = [
    "CallRow",
    "Clock",
    "DirectorySnapshot",
    "EventRow",
    "Limits",
    "Line",
    "NotNotified",
    "NumberRow",
    "OrganizationLoad",
    "OrganizationRow",
    "PublishedRow",
    "RunnerOrder",
    "SessionStatus",
    "Store",
    "Telephone",
    "TenantRow",
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
    """A `call_session` row. Times are aware UTC datetimes; `cost` is in the price table's currency or null.

    `analysis` is what `stored_analysis` makes (`runtime.session.analysis`), None before the call was analysed. `epoch`
    counts the call's owners (`runtime.session.fleet_ports.Lease`): who writes the row names its own.
    """

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
    analysis: Mapping[str, Json] | None = None
    epoch: int = 1


@dataclass(slots=True)
class EventRow:
    """A `session_event` row as it leaves the call; not to be changed.

    `payload` holds `•••` where a value is sensitive; `secret` is the Fernet token (str) of a JSON object
    `{payload key: real value}` that goes to `call_secret` while the call runs, or None. `epoch` is that of the call's
    owner who wrote it.
    """

    # `Final` in place of `frozen=True`: the type checker refuses what changes one, and making one takes a fifth of the time.
    session_id: Final[str]
    organization_id: Final[str]
    seq: Final[int]
    event_type: Final[str]
    payload: Final[Mapping[str, Json]]
    agent_id: Final[str | None]
    occurred_at: Final[datetime]
    secret: Final[str | None] = None
    epoch: Final[int] = 1


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


@dataclass(frozen=True, slots=True)
class NumberRow:
    """A `phone_number` row: `number` is E.164, `is_default` marks the caller's number of calls that go out.

    Both fields of the workflow are None where the number leads nowhere, which is what its workflow's removal leaves.
    """

    number: str
    organization_id: str
    workflow_id: str | None
    workflow_name: str | None
    is_default: bool
    description: str | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What an organization may use up; None is no limit, and so are no prefixes (each `+` and digits; `runtime.numbers.may_dial`)."""

    max_concurrent_calls: int | None = None
    max_minutes_a_day: int | None = None
    dial_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrganizationLoad:
    """What an organization uses: its real calls that run (begun within 24 h), and its minutes since midnight, UTC."""

    active_calls: int
    minutes_today: float


@dataclass(frozen=True, slots=True)
class TenantRow:
    """An organization as a worker sees it; the default workflow answers for any number without a row."""

    id: str
    name: str
    default_workflow_id: str | None
    default_workflow_name: str | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A workflow's published version; `version` is its number."""

    workflow_id: str
    workflow_name: str
    organization_id: str
    version_id: str
    version: int


@dataclass(frozen=True, slots=True)
class DirectorySnapshot:
    """Who answers what, of all organizations, as it stood at one moment.

    `organizations` are by id, `numbers` by number (each organization may map the same one), `published` by workflow id.
    """

    organizations: Mapping[str, TenantRow]
    numbers: Mapping[str, Sequence[NumberRow]]
    published: Mapping[str, PublishedRow]


class NotNotified(StoreUnreachable):
    """The store answers, but what it has to tell by itself does not arrive: changes have to be asked for."""


class Store(Outbox, Fleet, Protocol):
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

    async def replace_secret(self, organization_id: str, name: str, old: str, new: str) -> bool:
        """Put the token `new` in the place of `old`; False, and nothing changed, where the secret holds another by now."""
        ...

    async def variables(self, organization_id: str) -> list[WorkspaceVariableRow]: ...

    async def numbers(self, organization_id: str) -> list[NumberRow]:
        """Return the organization's numbers in order."""
        ...

    async def set_number(
        self, organization_id: str, number: str, workflow: str, *, description: str | None = None
    ) -> NumberRow:
        """Have the workflow of this name or id answer `number` (E.164); a description is kept unless one is given."""
        ...

    async def remove_number(self, organization_id: str, number: str) -> None: ...

    async def set_default_workflow(self, organization_id: str, workflow: str | None) -> None:
        """Have the workflow of this name or id answer every number without a row; None: nobody does."""
        ...

    async def set_limits(self, organization_id: str, limits: Limits) -> None: ...

    async def load(self, organization_id: str) -> OrganizationLoad: ...

    async def directory(self) -> DirectorySnapshot: ...

    def listen(self, on_change: Callable[[str, str], None]) -> AbstractAsyncContextManager[None]:
        """Tell of changes from anywhere for as long as the block lasts, by `on_change(what, id)` on this event loop.

        `workflow_version` with the id of the version that was published; `workflow`, `phone_number`, `organization`
        and `workspace_variable` with the organization's id; `lost` with the reason once nothing is heard any more, and
        `everything` with no id once it is again, as much may have been missed. `on_change` must not raise.
        Entering raises `StoreUnreachable`, and `NotNotified` where notifications do not get through.
        """
        ...

    async def open_call(self, row: CallRow) -> None:
        """Insert the `call_session` row, with its first lease where it names a worker; one that is there stays as it is."""
        ...

    async def append(self, events: Sequence[EventRow]) -> None:
        """Insert one batch, of any number of sessions, in one statement; rows that are there already are left alone.

        The `call_session` rows exist. Secrets go to `call_secret`; the batch is atomic. Events of an earlier owner than
        the session's go to `late_event`, unless they were stored before the next owner took the call.
        """
        ...

    async def close_call(self, row: CallRow) -> bool:
        """Write ended_at, status, end_reason, variables, answered_at and cost; the call's secrets, lease and checkpoint go.

        Idempotent. False, and nothing changed, where a later owner than `row.epoch` has the call: there is nothing to do.
        """
        ...

    async def save_analysis(self, session_id: str, analysis: Mapping[str, Json]) -> None:
        """Write `call_session.analysis`, over what stood there; nothing else of the row changes."""
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

    @property
    def speaking(self) -> bool:
        """Whether anything is being said, thought about or about to be; its end is reported as `AnswerEnded`."""
        ...

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

    async def send_keys(self, keys: str) -> str | None:
        """Send DTMF (0-9, *, #, A-D) to the other side; `w` waits half a second. Return why not, where it failed."""
        ...


@dataclass(frozen=True, slots=True)
class RunnerOrder:
    """Whose tools are to be run. `secrets` are plain; `mocks` is the content of a test's mocks, empty where there are none."""

    organization_id: str
    workflow: Workflow
    workflow_id: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    workspace: Mapping[str, str] = field(default_factory=dict)
    telephone: Telephone | None = field(default=None, repr=False)
    mocks: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, by the name of one of its functions; `tool_call_id` serves as idempotency key.

    `variables` are the known values by name; `caller` has `number` and `dialled`; `workspace` the plain workspace
    variables. Secrets are not here: the runner has its own way to them.
    """

    tool: CompiledTool
    function: str
    tool_call_id: str
    arguments: Mapping[str, Json]
    variables: Mapping[str, Json]
    caller: Mapping[str, str]
    call: Mapping[str, str]
    workspace: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What a tool brought: `text` is for the model to read, `preview` for the event, `assigned` for variables.

    `error_code` is empty where it succeeded. What the telephone is to do after what is being said: `hang_up`, put the
    caller through to `transfer_to`, or let everything rest for `hold_s` seconds; `say` is heard first.
    """

    text: str
    preview: str = ""
    error_code: str = ""
    assigned: Mapping[str, Json] = field(default_factory=dict)
    mocked: bool = False
    hang_up: bool = False
    transfer_to: str = ""
    hold_s: float = 0.0
    say: str = ""
    sources: Sequence[Mapping[str, Json]] = ()


class ToolRunner(Protocol):
    """Runs the tools of a workflow. It never raises into the call."""

    async def prepare(self, tools: Sequence[CompiledTool]) -> Sequence[tuple[CompiledTool, str]]:
        """Get tools ready, bounded in time; return those that could not, each with an error code. Asked twice it repeats only those."""
        ...

    def schemas(self, tool: CompiledTool) -> Sequence[dict[str, Json]]:
        """Return the functions as a model is offered them: `name`, `description`, `parameters` (JSON Schema).

        Most tools are one function; one that is not ready is none.
        """
        ...

    def is_mocked(self, tool: CompiledTool, function: str | None = None) -> bool:
        """Whether results of a test stand in for the tool, or for this function of it."""
        ...

    def is_repeatable(self, tool: CompiledTool, arguments: Mapping[str, Json]) -> bool:
        """Whether a run of which nobody knows the end may be made once more."""
        ...

    def faults(self, tool: CompiledTool, function: str, arguments: Mapping[str, Json]) -> str:
        """Return what is wrong with the arguments, in words a model can act on; empty when nothing is."""
        ...

    async def run(self, call: ToolCall) -> ToolOutcome: ...
