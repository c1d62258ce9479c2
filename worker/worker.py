"""A worker put together: store, event log, directory, switchboard, and the lines that callers come by."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from runtime.errors import ConfigRefused, PatchbayError, UsageFault
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.fleet_ports import WorkerRow, WorkerState
from runtime.session.ports import OrganizationRow, Store
from runtime.settings import Settings
from runtime.store.opening import open_settings_store
from runtime.store.secrets import open_keyring
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.analyst import ModelAnalyst, workshop_providers
from tools.after_call import open_reader
from tools.calls import open_workshop
from worker.capacity import most_calls
from worker.child import Status
from worker.directory import Apologise, Directory, open_directory
from worker.fleet import Heartbeat, beating, new_worker_id
from worker.legs import CallRequest, Leg
from worker.observing.loop_lag import watched_loop
from worker.observing.observers import Observers, observing
from worker.phone.config import LineConfig
from worker.phone.line import PhoneLine, open_line
from worker.reception import ByHand, Reception
from worker.rehearsing import Rehearsals
from worker.rooms.source import RoomSource, open_rooms
from worker.switchboard import Switchboard
from worker.takeover import Parts, TakeOver, others_drained
from worker.versions import Versions

__all__ = ["Lines", "Worker", "open_worker"]

_log = structlog.get_logger("worker")


@dataclass(frozen=True, slots=True)
class Lines:
    """By which lines callers come: LiveKit's rooms, a SIP line of the worker's own, or both.

    `answer_with` is a version that answers where nothing else is mapped (a file run by hand). With
    `loopback_models` every config may reach models on this machine; it gets no key of this process there.
    """

    rooms: bool = False
    phone: LineConfig | None = None
    answer_with: ByHand | None = None
    loopback_models: bool = False


@dataclass(slots=True)
class Worker:
    """A worker that runs. `phone` and `rooms` are None where that line is not wanted."""

    settings: Settings
    store: Store
    organization: OrganizationRow
    log: EventLog
    directory: Directory
    switchboard: Switchboard
    reception: Reception
    id: str
    phone: PhoneLine | None = None
    rooms: RoomSource | None = None
    others: TakeOver | None = None

    @property
    def why_not_ready(self) -> str | None:
        """Why no call would be answered now, in words; None where one would be."""
        if self.switchboard.draining:
            return "draining"
        if self.log.full:
            return "the local log is full"
        if not self.directory.ready:
            return "the database has not been read yet"
        if self.rooms is not None and not self.rooms.registered:
            return "not registered with LiveKit"
        if self.phone is not None and not self.phone.alive:
            return "the SIP line is down"
        return None

    def status(self) -> Status:
        """Return what the supervisor is told."""
        board, why = self.switchboard, self.why_not_ready
        return Status(why is None, board.calls, board.max_calls, board.draining, why, worker_id=self.id)

    def in_fleet(self) -> WorkerRow:
        """Return what the fleet is told."""
        board = self.switchboard
        return WorkerRow(
            self.id,
            socket.gethostname(),
            installed_version("patchbay"),
            self._state(),
            board.max_calls,
            board.calls,
            region=self.settings.region,
        )

    def _state(self) -> WorkerState:
        if self.switchboard.draining:
            return "draining"
        if self.why_not_ready is not None:
            return "starting"
        return "ready" if self.switchboard.places else "busy"

    def take_over(self, worker_id: str) -> None:
        """Go on with the calls of a worker that has died."""
        if self.others is not None:
            self.others.told(worker_id)

    async def prepare(self, version_id: str, variables: Mapping[str, Any]) -> None:
        """Have a version ready for a call that goes out: nobody is to be rung for what cannot speak.

        Raises PatchbayError where it cannot run, UsageFault where it declares no such variable.
        """
        route = await self.directory.route(CallRequest("phone", "outbound", workflow_version_id=version_id))
        if isinstance(route, Apologise):
            raise PatchbayError(route.message)
        declared = route.version.workflow.variables
        if unknown := [name for name in variables if name not in declared]:
            raise UsageFault(
                f"The workflow '{route.version.version.workflow_name}' declares no variable '{unknown[0][:80]}'.",
                remedy=f"It declares: {', '.join(sorted(declared)) or 'none'}.",
            )

    async def drain(self, timeout_s: float) -> None:
        """Take no new call, and wait for those that run; after `timeout_s` they end with a goodbye."""
        _log.info("draining", calls=self.switchboard.calls, patience_s=timeout_s)
        self.switchboard.stop_taking()
        if self.rooms is not None:
            self.rooms.drain()
        await self.switchboard.drain(timeout_s)


@asynccontextmanager
async def open_worker(settings: Settings, lines: Lines, *, offline: bool = False) -> AsyncIterator[Worker]:
    """Yield a worker that answers calls; on the way out its calls are ended, stored, and everything is closed.

    To be entered on the main thread, after `runtime.voice.pipeline.warm`. Raises PatchbayError where it cannot start:
    the database, LiveKit or the SIP address cannot be had.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_settings_store(settings))
        organization = await store.ensure_organization(settings.org)
        faults = _Faults()
        log = await EventLog.open(
            settings.events_folder,
            store,
            on_fault=faults.of("event_log", "local log"),
            max_bytes=settings.events_bytes,
        )
        stack.push_async_callback(log.aclose)
        observers = await stack.enter_async_context(
            observing(settings.otlp_endpoint, version=installed_version("patchbay"), registry=CollectorRegistry())
        )
        key = settings.secret_key
        keyring = open_keyring(key.get_secret_value() if key else None, settings.home)
        workshop = await stack.enter_async_context(
            open_workshop(settings, store, log, keyring, offline=offline, loopback_models=lines.loopback_models)
        )
        asked = workshop_providers(workshop, store.variables, SystemClock(), offline=offline)
        reader = await stack.enter_async_context(open_reader(store, keyring, settings, analyst=ModelAnalyst(asked)))
        versions = Versions(store, offline=offline)
        _rehearse(stack, versions, Rehearsals(workshop, store.variables, lines.answer_with))
        if (own := lines.answer_with) is not None:
            await _pinned(versions, own)
        directory = await stack.enter_async_context(
            open_directory(
                store,
                versions,
                organization.id,
                on_fault=faults.of("directory", "what was known before"),
            )
        )
        worker_id = new_worker_id()
        reception = Reception(store, directory, workshop, worker_id, lines.answer_with)
        board = Switchboard(reception, store, observers, max_calls=most_calls(settings, rooms=lines.rooms))
        faults.tell(board, observers)
        board.on_stored(reader.nudge)
        stack.push_async_callback(cancel_and_wait, spawn(reader.run(), name="after-call reader"))
        stack.enter_context(watched_loop(observers.loop_monitor(log, store)))
        worker = Worker(settings, store, organization, log, directory, board, reception, worker_id)
        stack.callback(board.stop_taking)
        await _join_fleet(stack, worker)
        await _open_lines(stack, worker, lines)
        _look_after_others(stack, worker)
        stack.push_async_callback(_end_calls, board)
        yield worker


def _rehearse(stack: AsyncExitStack, versions: Versions, rehearsals: Rehearsals) -> None:
    versions.on_loaded = rehearsals.loaded
    stack.push_async_callback(cancel_and_wait, spawn(rehearsals.run(), name="rehearsals"))


async def _pinned(versions: Versions, own: ByHand) -> None:
    try:
        await versions.pin(own.version_id, offline=own.offline)
    except ConfigRefused as error:  # asked for by hand, so it is wrong usage, and no reason to start again and again
        raise UsageFault(error.message, remedy=error.remedy) from error


async def _join_fleet(stack: AsyncExitStack, worker: Worker) -> None:
    """Register the worker, and keep its calls its own until the last of them has ended."""
    heartbeat = Heartbeat(worker.store, worker.in_fleet, worker.switchboard)
    worker.switchboard.on_doubt(lambda doubted: heartbeat.confirm(doubted=doubted))
    await stack.enter_async_context(beating(heartbeat, worker.store, worker.id))


def _look_after_others(stack: AsyncExitStack, worker: Worker) -> None:
    async def drained(told: bool) -> None:
        await worker.log.look()
        if told:
            await others_drained(worker.settings.events_folder)

    parts = Parts(worker.id, worker.store, worker.switchboard, worker.rooms, drained, worker.reception.recovered)
    worker.others = TakeOver(parts)
    stack.push_async_callback(worker.others.aclose)
    stack.push_async_callback(cancel_and_wait, spawn(worker.others.run(), name="take over"))


async def _open_lines(stack: AsyncExitStack, worker: Worker, lines: Lines) -> None:
    def ring(leg: Leg) -> None:
        worker.switchboard.take(leg)

    if lines.phone is not None:
        worker.phone = await stack.enter_async_context(open_line(lines.phone, on_incoming=ring))
    if lines.rooms:
        worker.rooms = await stack.enter_async_context(open_rooms(worker.settings, worker.switchboard))


async def _end_calls(board: Switchboard) -> None:
    board.end_all()
    await board.drain(0)


class _Faults:
    """What goes wrong around the calls: counted, and told to each call that runs."""

    def __init__(self) -> None:
        self._board: Switchboard | None = None
        self._observers: Observers | None = None

    def tell(self, board: Switchboard, observers: Observers) -> None:
        self._board, self._observers = board, observers

    def of(self, component: str, recovered_by: str) -> Callable[[str, str], None]:
        def on_fault(code: str, message: str) -> None:
            _log.warning("fault", component=component, code=code, message=message)
            if self._observers is not None:
                self._observers.metrics.fault(component, code)
            if self._board is not None and component == "event_log":
                self._board.fault(component, code, message, recovered_by)

        return on_fault
