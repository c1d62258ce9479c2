"""The test sessions of this process: calls by text and by sound whose state is kept between requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import uuid4

import structlog

from api.problems import Problem
from api.testing.calls import TestCall, TestOrder
from runtime.errors import PatchbayError, UsageFault
from runtime.harness.transcript import save_test
from runtime.session.event_log import EventLog
from runtime.session.ports import Store
from runtime.settings import Settings
from runtime.store.secrets import Keyring
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.providers import import_all
from runtime.workflow.faults import listed
from runtime.workflow.graph import Workflow
from tools.calls import OpenTest, TestPlan, after_call, open_test, open_workshop, runnable
from tools.mocks import parse_mocks

__all__ = ["TestBounds", "TestCall", "TestOrder", "TestSessions", "open_test_sessions"]

Json = Any
_RETRY_S: Final = 30
_log = structlog.get_logger("tests")


@dataclass(frozen=True, slots=True)
class TestBounds:
    """How many test calls there may be at once, and how long one lasts, left alone and in all; seconds."""

    __test__ = False  # not a test class, whatever its name

    of_organization: int = 20
    of_process: int = 100
    idle_s: float = 600.0
    life_s: float = 3600.0
    leave_s: float = 15.0
    """What calls that still run, and what follows ended ones, get when the process leaves."""


class TestSessions:
    """Opens test calls, keeps them by the id of their test session, and ends those that are left alone.

    Entered and left on one event loop: on the way out the calls are ended and stored, and the local log is closed. Not
    for `offline` workflows the providers' plugins are imported; on the main thread, and quicker before the first request
    (`runtime.voice.pipeline.warm`). With `offline` every call gets the local providers, with `loopback_models` any config may reach models on this machine.
    """

    __test__ = False  # not a test class, whatever its name

    def __init__(
        self,
        settings: Settings,
        store: Store,
        keyring: Keyring,
        *,
        bounds: TestBounds = TestBounds(),
        offline: bool = False,
        loopback_models: bool = False,
    ) -> None:
        self._settings = settings
        self._store = store
        self._keyring = keyring
        self._bounds = bounds
        self._offline = offline
        self._loopback_models = loopback_models
        self._stack = AsyncExitStack()
        self._workshop: Workshop | None = None
        self._calls: dict[str, TestCall] = {}
        self._of: Counter[str] = Counter()
        self._owners: set[asyncio.Task[None]] = set()
        self._compiling = asyncio.Lock()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            log = await EventLog.open(self._settings.events_folder, self._store, max_bytes=self._settings.events_bytes)
            stack.push_async_callback(log.aclose)
            self._workshop = await stack.enter_async_context(
                open_workshop(
                    self._settings,
                    self._store,
                    log,
                    self._keyring,
                    offline=self._offline,
                    loopback_models=self._loopback_models,
                )
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._workshop = None
        for call in list(self._calls.values()):
            call.end("drained", "dropped")
        try:
            if self._owners:
                await asyncio.wait(self._owners, timeout=self._bounds.leave_s)
            await cancel_and_wait(*self._owners)
        finally:
            await self._stack.aclose()

    # ------------------------------------------------------------ what there is

    def get(self, test_session_id: str) -> TestCall | None:
        """Return the test call that runs here under this id, whoever's it is: ask for `organization_id` before it is shown."""
        return self._calls.get(test_session_id)

    def running(self, organization_id: str) -> int:
        """Return how many test calls of the organization run here, those that are being opened included."""
        return self._of[organization_id]

    # ------------------------------------------------------------ a call

    async def open(self, order: TestOrder) -> TestCall:
        """Return a new test call that has not begun; its rows are in the store.

        Raises the problems 429 (too many at once) and 503 (the process leaves), ConfigRefused for a version that cannot
        run, ProviderMissing, UsageFault for mocks and variables that do not fit it, and StoreUnreachable.
        """
        workshop = self._admit(order.organization_id)
        opened: asyncio.Future[TestCall] = asyncio.get_running_loop().create_future()
        owner = spawn(self._run(workshop, order, opened), name="test call")
        self._owners.add(owner)
        owner.add_done_callback(self._owners.discard)
        try:
            return await asyncio.shield(opened)
        except asyncio.CancelledError:
            opened.cancel()
            owner.cancel()
            raise

    def _admit(self, organization_id: str) -> Workshop:
        if self._workshop is None:
            raise Problem(503, "unavailable", "This process is about to leave.", remedy="Try again.")
        bounds = self._bounds
        if self._of[organization_id] >= bounds.of_organization or self._of.total() >= bounds.of_process:
            raise Problem(
                429,
                "too_many_requests",
                f"{self._of[organization_id]} test sessions of your organization are open; at most "
                f"{bounds.of_organization} are at once, and {bounds.of_process} of all organizations.",
                remedy="End one with DELETE /api/test-sessions/{id}, or wait.",
                headers={"Retry-After": str(_RETRY_S)},
            )
        return self._workshop

    async def _run(self, workshop: Workshop, order: TestOrder, opened: asyncio.Future[TestCall]) -> None:
        """Own a call from its opening to what follows it; whoever waits for `opened` gets what the opening raises."""
        self._of[order.organization_id] += 1
        with structlog.contextvars.bound_contextvars(request_id=order.request_id):
            try:
                ordered = await self._whole(workshop, order, opened)
            except Exception as error:
                if opened.done():
                    raise
                opened.set_exception(error)
                return
            finally:
                self._of[order.organization_id] -= 1
            await self._follow_up(workshop, ordered)

    async def _whole(self, workshop: Workshop, order: TestOrder, opened: asyncio.Future[TestCall]) -> Ordered:
        workflow = await self._compiled(order)
        _fitting(order, workflow)
        test_id = str(uuid4())
        async with AsyncExitStack() as stack:
            test = await stack.enter_async_context(self._opened(workshop, order, workflow))
            row = test.live.plan.log.row
            await self._store.open_call(row)  # before the writer behind the log: the test's row names it
            await save_test(self._store, row, (), test_id)
            call = TestCall(order, test_id, test, self._bounds.idle_s, self._bounds.life_s)
            self._calls[test_id] = call
            try:
                opened.set_result(call)
                await call.over()
            finally:
                del self._calls[test_id]
                try:
                    await stack.aclose()
                    await self._saved(call)
                finally:
                    call.closed.set()
        return test.ordered

    async def _compiled(self, order: TestOrder) -> Workflow:
        offline = order.offline or self._offline
        if not offline:
            import_all()
        async with self._compiling:  # one thread at a time: more would only take the interpreter from the calls
            return await asyncio.to_thread(runnable, order.version, offline=offline)

    @asynccontextmanager
    async def _opened(self, workshop: Workshop, order: TestOrder, workflow: Workflow) -> AsyncIterator[OpenTest]:
        workspace = await self._store.variables(order.organization_id)
        plan = TestPlan(
            order.channel,
            offline=order.offline,
            mocks=order.mocks,
            presets=order.variables,
            caller=order.caller_number,
            request_id=order.request_id,
        )
        async with open_test(workshop, order.version, workflow, workspace, plan) as test:
            yield test

    async def save(self, call: TestCall) -> None:
        """Store the transcript so far. What cannot be stored now is stored at the call's end."""
        await self._saved(call)

    async def _saved(self, call: TestCall) -> None:
        try:
            await save_test(self._store, call.live.plan.log.row, call.events, call.test_session_id)
        except PatchbayError as error:  # the events are in the local log, whence the call's own rows come
            _log.warning("test_not_saved", reason=error.message, session_id=call.session_id)

    async def _follow_up(self, workshop: Workshop, ordered: Ordered) -> None:
        try:
            await after_call(self._store, self._keyring, self._settings, workshop, ordered)
        except PatchbayError as error:  # what is not sent is left to a worker
            _log.warning("after_call_failed", reason=error.message, session_id=ordered.row.id)


@asynccontextmanager
async def open_test_sessions(
    settings: Settings,
    store: Store,
    keyring: Keyring,
    *,
    bounds: TestBounds = TestBounds(),
    offline: bool = False,
    loopback_models: bool = False,
) -> AsyncIterator[TestSessions]:
    """Yield the test sessions of this process; afterwards their calls have ended and are stored."""
    sessions = TestSessions(settings, store, keyring, bounds=bounds, offline=offline, loopback_models=loopback_models)
    async with sessions:
        yield sessions


def _fitting(order: TestOrder, workflow: Workflow) -> None:
    parse_mocks(order.mocks, workflow, "mocks")
    if unknown := [name for name in order.variables if name not in workflow.variables]:
        raise UsageFault(
            f"The workflow '{order.version.workflow_name}' declares no variable '{unknown[0][:80]}'.",
            remedy=f"It declares: {listed(sorted(workflow.variables))}.",
        )
