"""Composes a test call out of its parts: store, log, tools, providers and the compiled workflow."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Any, Literal

import typer

from cli.afterwards import follow_up
from cli.context import CliStore, open_cli_store
from cli.output import hint, plain, print_json
from cli.source import WorkflowSource, read_mocks, read_workflow
from runtime.errors import ConfigRefused, NotFound, UsageFault
from runtime.harness.transcript import transcript
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow, EventRow, TestSessionRow, VersionRow
from runtime.settings import Settings
from runtime.voice.catalogue import provider_catalogue
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.live_call import LiveCall, open_call
from runtime.voice.pipeline import Providers
from runtime.workflow.graph import Workflow, compile_workflow
from runtime.workflow.upgrade import upgrade
from runtime.workflow.validation import validate
from tools.mocks import parse_mocks
from tools.opening import open_tools
from tools.registry import default_registry

__all__ = ["JSON", "MOCK", "OFFLINE", "VERSION", "WORKFLOW", "Choice", "Run", "open_run", "outcome", "print_event"]

Json = Any
Channel = Literal["chat_test", "voice_test"]

VERSION = typer.Option(None, "--version", metavar="ID", help="A stored version, by its id.")
WORKFLOW = typer.Option(None, "--workflow", metavar="NAME", help="The published version of this workflow.")
OFFLINE = typer.Option(
    False, "--offline", help="Put the local providers in place of those the workflow names: no key, no network."
)
MOCK = typer.Option(
    None, "--mock", metavar="FILE", help="Put the results of this file, JSON or YAML, in the place of tools."
)
JSON = typer.Option(False, "--json", help="Print the stored events, one JSON object a line.")


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be run: exactly one of a file, a version's id and a published workflow's name; and a file of mocks."""

    file: str | None = None
    version: str | None = None
    workflow: str | None = None
    mocks: str | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.file, self.version, self.workflow)) != 1:
            raise UsageFault(
                "Name one workflow: FILE, --version ID or --workflow NAME.",
                remedy="For example: patchbay chat workflow.yaml",
            )


@dataclass(frozen=True, slots=True)
class _Kind:
    channel: Channel
    offline: bool
    stored: bool
    mocks: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Run:
    """A test call that is open, and what it stands on."""

    live: LiveCall
    clock: SystemClock
    workflow: Workflow
    version: VersionRow
    store: CliStore
    events: list[EventRow]
    workshop: Workshop
    ordered: Ordered

    @property
    def session_id(self) -> str:
        return self.live.plan.log.row.id


def print_event(event: EventRow) -> None:
    """Print one event as programs read it, as soon as it is in the local log."""
    print_json(
        {
            "session_id": event.session_id,
            "seq": event.seq,
            "event_type": event.event_type,
            "occurred_at": event.occurred_at,
            "payload": event.payload,
        }
    )


def outcome(run: Run) -> int:
    """Return the exit code of a call that is over: 1 where it ended in error."""
    return 1 if run.live.plan.log.row.end_reason == "error" else 0


@asynccontextmanager
async def open_run(
    choice: Choice,
    *,
    channel: Channel,
    offline: bool,
    settings: Settings,
    watch: Callable[[EventRow], None] | None = None,
) -> AsyncIterator[Run]:
    """Yield a test call of the chosen workflow, not begun yet; afterwards it is closed and its test session saved."""
    settings.export_provider_environment()
    source = read_workflow(choice.file) if choice.file is not None else None
    if source is not None:
        source.accepted()
    mocks = read_mocks(choice.mocks)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_cli_store(settings))
        version = await _version(store, choice, source)
        workflow = _compiled(version, offline=offline)
        parse_mocks(mocks, workflow, choice.mocks or "")
        _note_what_is_missing(workflow)
        kind = _Kind(channel, offline=offline, stored=source is None, mocks=mocks)
        run = await _open(stack, store, version, workflow, kind, watch)
        try:
            yield run
        finally:
            await run.live.call.aclose()
            await _save(run)
            await follow_up(store.store, store.keyring, settings, run.workshop, run.ordered)


async def _version(store: CliStore, choice: Choice, source: WorkflowSource | None) -> VersionRow:
    if source is not None:
        return await store.store.save_draft(store.organization.id, source.name, source.accepted())
    if choice.version is not None:
        return await _by_id(store, choice.version)
    return await store.store.published_version(store.organization.id, choice.workflow or "")


async def _by_id(store: CliStore, version_id: str) -> VersionRow:
    version = await store.store.version(version_id)
    if version.organization_id != store.organization.id:
        raise NotFound(f"There is no workflow version '{plain(version_id)}'.", remedy="See: patchbay workflow list")
    return version


def _compiled(version: VersionRow, *, offline: bool) -> Workflow:
    raw = upgrade(version.config)
    catalogue = None if offline else provider_catalogue()
    checked = validate(raw, providers=catalogue, tools=default_registry(), stage="save" if offline else "start")
    if not checked.valid or checked.config is None:
        raise ConfigRefused(
            f"Version {version.version} of '{version.workflow_name}' cannot run:",
            faults=tuple(checked.faults),
            remedy="Correct what is listed, or try --offline.",
        )
    return compile_workflow(checked.config, version_id=version.id)


def _note_what_is_missing(workflow: Workflow) -> None:
    if any(path.transfer_call is not None for path in workflow.paths.values()):
        hint("There is no telephone here: a transfer of the call fails, and the call goes on.")


async def _open(
    stack: AsyncExitStack,
    store: CliStore,
    version: VersionRow,
    workflow: Workflow,
    kind: _Kind,
    watch: Callable[[EventRow], None] | None,
) -> Run:
    settings, keyring = store.settings, store.keyring
    log = await EventLog.open(settings.events_folder, store.store)
    stack.push_async_callback(log.aclose)
    tools = await stack.enter_async_context(open_tools(settings, store.store))
    workshop = Workshop(
        log=log,
        encrypt=keyring.encrypt,
        decrypt=keyring.decrypt,
        runner=tools.runner,
        allowed=settings.allow_private_hosts.allows,
        runtime_version=installed_version("patchbay"),
        offline=kind.offline,
    )
    text = kind.channel == "chat_test"
    clock = SystemClock(scripted=text)
    ordered = Ordered(
        workflow=workflow,
        row=_row(version, kind.channel),
        clock=clock,
        workspace=await store.store.variables(store.organization.id),
        workflow_id=version.workflow_id,
        stored=kind.stored,
        mocks=kind.mocks,
    )
    providers = workshop.providers(ordered)
    stack.push_async_callback(providers.aclose)
    _make_all(providers, workflow, text=text)
    plan = workshop.plan(ordered, providers)
    events: list[EventRow] = []
    plan.log.subscribe(events.append)
    if watch is not None:
        plan.log.subscribe(_while_somebody_reads(watch))
    live = await stack.enter_async_context(open_call(plan, text=text))
    return Run(live, clock, workflow, version, store, events, workshop, ordered)


def _row(version: VersionRow, channel: Channel) -> CallRow:
    return CallRow(
        id=str(uuid.uuid4()),
        organization_id=version.organization_id,
        workflow_version_id=version.id,
        channel=channel,
        direction="inbound",
        is_test=True,
        started_at=datetime.now(UTC),
        runtime_version=installed_version("patchbay"),
    )


def _make_all(providers: Providers, workflow: Workflow, *, text: bool) -> None:
    """Make what every agent needs: what is missing is told before there is a call that it would end."""
    for agent in workflow.agents.values():
        providers.llm(agent)
        if not text:
            providers.stt(agent)
            providers.tts(agent)
            providers.vad(agent)


def _while_somebody_reads(watch: Callable[[EventRow], None]) -> Callable[[EventRow], None]:
    """Return `watch`, silenced once nobody reads stdout any more (`| head`): the call goes on and is recorded."""
    closed = False

    def tell(event: EventRow) -> None:
        nonlocal closed
        if closed:
            return
        try:
            watch(event)
        except (BrokenPipeError, SystemExit):  # Rich makes the one into the other
            closed = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return tell


async def _save(run: Run) -> None:
    await run.store.store.save_test(
        TestSessionRow(
            id=str(uuid.uuid4()),
            organization_id=run.version.organization_id,
            workflow_version_id=run.version.id,
            session_id=run.session_id,
            transcript=transcript(run.events),
            created_at=datetime.now(UTC),
        )
    )
