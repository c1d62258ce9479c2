"""What every process that runs calls puts together: its workshop, versions that can run, test calls and what follows them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Any, Literal

from runtime.addresses import is_loopback
from runtime.errors import ConfigRefused
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.outbox_ports import DeliveryRow
from runtime.session.ports import CallRow, EventRow, Store, VersionRow, WorkspaceVariableRow
from runtime.settings import Settings
from runtime.store.secrets import Keyring
from runtime.voice.analyst import ModelAnalyst, workshop_providers
from runtime.voice.catalogue import provider_catalogue
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.live_call import LiveCall, open_call
from runtime.voice.pipeline import Providers
from runtime.voice.speech_files import speech_files
from runtime.voice.spoken import SpokenCache
from runtime.workflow.graph import Workflow, compile_workflow
from runtime.workflow.upgrade import upgrade
from runtime.workflow.validation import validate
from tools.after_call import open_reader
from tools.opening import open_tools
from tools.registry import default_registry

__all__ = ["OpenTest", "TestChannel", "TestPlan", "after_call", "open_test", "open_workshop", "runnable"]

Json = Any
TestChannel = Literal["chat_test", "voice_test"]

_PATIENCE_S = 60.0


@asynccontextmanager
async def open_workshop(
    settings: Settings,
    store: Store,
    log: EventLog,
    keyring: Keyring,
    *,
    offline: bool = False,
    loopback_models: bool = False,
) -> AsyncIterator[Workshop]:
    """Yield what all calls of this process share; its tools' connections are closed afterwards.

    With `offline` every call gets the local providers; with `loopback_models` every config may reach models on this
    machine. Raises UsageFault for a setting that the tools cannot use.
    """
    named = settings.allow_private_hosts.allows
    async with open_tools(settings, store) as tools:
        yield Workshop(
            log=log,
            encrypt=keyring.encrypt,
            decrypt=keyring.decrypt,
            runner=tools.runner,
            allowed=(lambda host, port: is_loopback(host) or named(host, port)) if loopback_models else named,
            runtime_version=installed_version("patchbay"),
            offline=offline,
            spoken=SpokenCache(files=speech_files(settings)),
        )


def runnable(version: VersionRow, *, offline: bool) -> Workflow:
    """Return the version compiled. Raises ConfigRefused with every fault that keeps it from running here.

    Not `offline`, plugins that it names are imported, which LiveKit allows on the main thread alone.
    """
    raw = upgrade(version.config)
    catalogue = None if offline else provider_catalogue()
    checked = validate(raw, providers=catalogue, tools=default_registry(), stage="save" if offline else "start")
    if not checked.valid or checked.config is None:
        raise ConfigRefused(
            f"Version {version.version} of '{version.workflow_name}' cannot run:",
            faults=tuple(checked.faults),
            remedy='Correct what is listed, or try --offline (in a request: "offline": true).',
        )
    return compile_workflow(checked.config, version_id=version.id)


@dataclass(frozen=True, slots=True)
class TestPlan:
    """How a test call is made. `stored`, `offline`, `mocks` and `presets` are as in `Ordered`.

    `request_id` names the request that started it, `caller` the number that it pretends to come from (E.164).
    """

    __test__ = False  # not a test class, whatever its name

    channel: TestChannel
    stored: bool = True
    offline: bool = False
    mocks: Mapping[str, Json] = field(default_factory=dict)
    presets: Mapping[str, Json] = field(default_factory=dict)
    caller: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class OpenTest:
    """A test call that has not begun; `events` are those so far, and grow with the call."""

    live: LiveCall
    clock: SystemClock
    ordered: Ordered
    events: list[EventRow]


@asynccontextmanager
async def open_test(
    workshop: Workshop,
    version: VersionRow,
    workflow: Workflow,
    workspace: Sequence[WorkspaceVariableRow],
    plan: TestPlan,
) -> AsyncIterator[OpenTest]:
    """Yield a test call of a compiled version; afterwards it is over, closed and its row stored.

    A model or a voice that cannot be had is told before there is a call that it would end. Raises ProviderMissing,
    ConfigRefused, and UsageFault for mocks that do not fit.
    """
    text = plan.channel == "chat_test"
    clock = SystemClock(scripted=text)
    ordered = Ordered(
        workflow=workflow,
        row=_row(version, plan),
        clock=clock,
        workspace=workspace,
        workflow_id=version.workflow_id,
        presets=plan.presets,
        stored=plan.stored,
        offline=plan.offline,
        mocks=plan.mocks,
        request_id=plan.request_id,
    )
    async with AsyncExitStack() as stack:
        providers = workshop.providers(ordered)
        stack.push_async_callback(providers.aclose)
        _make_all(providers, workflow, text=text)
        planned = workshop.plan(ordered, providers)
        events: list[EventRow] = []
        planned.log.subscribe(events.append)
        try:
            live = await stack.enter_async_context(open_call(planned, text=text))
        except BaseException:  # its row is in the local log by now and must not stay open for ever
            await planned.log.close(
                replace(planned.log.row, ended_at=datetime.now(UTC), status="dropped", end_reason="error")
            )
            raise
        yield OpenTest(live, clock, ordered, events)


async def after_call(
    store: Store, keyring: Keyring, settings: Settings, workshop: Workshop, ordered: Ordered
) -> list[DeliveryRow] | None:
    """Have an ended call analysed and send its webhooks once; what does not arrive is left to a worker.

    Returns the webhooks as they stand then, None where the workflow asks for nothing. Raises PatchbayError.
    """
    workflow = ordered.workflow
    if not workflow.on_end and workflow.session.analysis is None:
        return None
    asked = workshop_providers(
        workshop, store.variables, ordered.clock, stored=ordered.stored, offline=workshop.offline or ordered.offline
    )
    async with open_reader(store, keyring, settings, analyst=ModelAnalyst(asked), mocks=ordered.mocks) as reader:
        return list(await reader.run_session(ordered.row.id, _PATIENCE_S))


def _row(version: VersionRow, plan: TestPlan) -> CallRow:
    return CallRow(
        id=str(uuid.uuid4()),
        organization_id=version.organization_id,
        workflow_version_id=version.id,
        channel=plan.channel,
        direction="inbound",
        is_test=True,
        started_at=datetime.now(UTC),
        from_number=plan.caller,
        runtime_version=installed_version("patchbay"),
    )


def _make_all(providers: Providers, workflow: Workflow, *, text: bool) -> None:
    for agent in workflow.agents.values():
        providers.llm(agent)
        if not text:
            providers.stt(agent)
            providers.tts(agent)
            providers.vad(agent)
