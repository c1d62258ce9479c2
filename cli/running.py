"""Composes a test call out of its parts: store, log, tools, providers and the compiled workflow."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import typer

from cli.afterwards import follow_up
from cli.context import CliStore, open_cli_store
from cli.output import hint, plain, print_json
from cli.source import WorkflowSource, read_mocks, read_workflow
from runtime.errors import NotFound, UsageFault
from runtime.harness.transcript import save_test
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import EventRow, VersionRow
from runtime.settings import Settings
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.live_call import LiveCall
from runtime.workflow.graph import Workflow
from tools.calls import TestChannel, TestPlan, open_test, open_workshop, runnable
from tools.mocks import parse_mocks

__all__ = [
    "JSON",
    "MOCK",
    "OFFLINE",
    "VERSION",
    "WORKFLOW",
    "Choice",
    "Run",
    "open_run",
    "outcome",
    "print_event",
    "while_somebody_reads",
]

Json = Any

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
    channel: TestChannel,
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
        workflow = runnable(version, offline=offline)
        parse_mocks(mocks, workflow, choice.mocks or "")
        _note_what_is_missing(workflow)
        workshop = await _workshop(stack, store, offline=offline)
        plan = TestPlan(channel, stored=source is None, mocks=mocks)
        workspace = await store.store.variables(store.organization.id)
        test = await stack.enter_async_context(open_test(workshop, version, workflow, workspace, plan))
        if watch is not None:
            test.live.plan.log.subscribe(while_somebody_reads(watch))
        run = Run(test.live, test.clock, workflow, version, store, test.events, workshop, test.ordered)
        try:
            yield run
        finally:
            await run.live.call.aclose()
            await save_test(store.store, run.live.plan.log.row, run.events)
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


def _note_what_is_missing(workflow: Workflow) -> None:
    if any(path.transfer_call is not None for path in workflow.paths.values()):
        hint("There is no telephone here: a transfer of the call fails, and the call goes on.")


async def _workshop(stack: AsyncExitStack, store: CliStore, *, offline: bool) -> Workshop:
    log = await EventLog.open(store.settings.events_folder, store.store, max_bytes=store.settings.events_bytes)
    stack.push_async_callback(log.aclose)
    return await stack.enter_async_context(
        open_workshop(store.settings, store.store, log, store.keyring, offline=offline)
    )


def while_somebody_reads(watch: Callable[[EventRow], None]) -> Callable[[EventRow], None]:
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
