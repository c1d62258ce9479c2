"""Who answers what, kept in memory: fresh within a second of a publish, and there while the store is away."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

from runtime.errors import NotFound, PatchbayError, StoreUnreachable
from runtime.session.ports import DirectorySnapshot, Limits, NotNotified, Store, WorkspaceVariableRow
from runtime.tasks import cancel_and_wait, spawn
from worker.legs import CallRequest
from worker.routing import Answer, Apologise, ApologyCode, Found, Route, find
from worker.versions import NewerSchema, VersionRefused, Versions
from worker.workspaces import Workspaces

__all__ = ["Answer", "Apologise", "Directory", "OnFault", "Route", "open_directory"]

OnFault = Callable[[str, str], None]

# Notifications come in bursts: one publish is two of them.
_GATHER_S: Final = 0.05
_SLOW_POLL_S: Final = 30.0
_FAST_POLL_S: Final = 0.5
_LAST_POLL_S: Final = 5.0
# How long the version before goes on answering while the new one is compiled.
_PREPARE_S: Final = 0.6
# How long a read may take: a caller waits for some of them.
_PATIENCE_S: Final = 5.0
_LISTEN_AGAIN_S: Final = 2.0
_NOTIFIED_AGAIN_S: Final = 60.0


@asynccontextmanager
async def open_directory(
    store: Store, versions: Versions, organization_id: str, *, on_fault: OnFault
) -> AsyncIterator[Directory]:
    """Yield the directory, which keeps itself up to date until the block ends.

    `organization_id` is the worker's own. `on_fault(code, message)` is called once whenever something begins to be wrong:
    `store_away`, `not_notified`, `not_listening`, `faulty_config`, `newer_schema_version`. A store that is away keeps
    nobody from opening it: `ready` says whether there is a snapshot.
    """
    directory = Directory(store, versions, organization_id, on_fault=on_fault)
    tasks = [
        spawn(directory.keep(), name="directory-keep", on_error=directory.died),
        spawn(directory.listen(), name="directory-listen", on_error=directory.died),
    ]
    try:
        await directory.first_read()
        yield directory
    finally:
        await cancel_and_wait(*tasks)
        await directory.aclose()


class Directory:
    """The routes of calls, limits and workspace variables. Belongs to the event loop it was opened on."""

    def __init__(self, store: Store, versions: Versions, organization_id: str, *, on_fault: OnFault) -> None:
        self._store = store
        self._versions = versions
        self._organization_id = organization_id
        self._on_fault = on_fault
        self._workspaces = Workspaces(store)
        self._snapshot: DirectorySnapshot | None = None
        self._answered: dict[str, str] = {}  # the version that last answered, by workflow
        self._read_at = -math.inf
        self._tried = asyncio.Event()
        self._wake = asyncio.Event()
        self._is_notified = False
        self._failures = 0
        self._told: set[str] = set()
        self._prepared: set[str] = set()
        self._preparing: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether there is a snapshot to answer from, however old."""
        return self._snapshot is not None

    @property
    def stale_s(self) -> float:
        """Return how many seconds ago the store confirmed the snapshot; infinite before the first."""
        return asyncio.get_running_loop().time() - self._read_at

    async def route(self, request: CallRequest) -> Route:
        """Say which version answers the call, or why none does. Never raises for what a caller could bring about."""
        if self._snapshot is None and request.workflow_version_id is None:
            return self._sorry("store_away", "The database has not been reached yet, so no number is known.")
        empty = DirectorySnapshot({}, {}, {})
        found = find(self._snapshot or empty, request, self._organization_id)
        return found if isinstance(found, Apologise) else await self._answer(found)

    async def workspace(self, organization_id: str) -> Sequence[WorkspaceVariableRow]:
        """Return the organization's variables and secrets, as they were last known where the store is away.

        Raises `StoreUnreachable` where they were never read.
        """
        return await self._workspaces.get(organization_id)

    def limits(self, organization_id: str) -> Limits:
        """Return what the organization may use up; no limits for one that is not known (yet)."""
        tenant = self._snapshot.organizations.get(organization_id) if self._snapshot else None
        return tenant.limits if tenant else Limits()

    async def first_read(self) -> None:
        """Wait until the store was asked once, whatever it said."""
        await self._tried.wait()

    async def keep(self) -> None:
        """Read the snapshot anew whenever something changed, and from time to time. Never ends by itself."""
        while True:
            await self._read()
            self._tried.set()
            await self._rest()

    async def listen(self) -> None:
        """Wait for word of changes; where none gets through, the poll is quick. Never ends by itself."""
        while True:
            try:
                async with self._store.listen(self._changed):
                    self._changed("everything", "")
                    await asyncio.Event().wait()
            except NotNotified as error:
                self._tell("not_notified", str(error))
                await asyncio.sleep(_NOTIFIED_AGAIN_S)
            except Exception as error:  # noqa: BLE001 - an edge, as above; meanwhile the poll finds what changes
                if not isinstance(error, StoreUnreachable):
                    self._tell("not_listening", f"Listening failed: {type(error).__name__}.")
                await asyncio.sleep(_LISTEN_AGAIN_S)

    async def aclose(self) -> None:
        """Give up what is being prepared."""
        await cancel_and_wait(*self._preparing)

    def died(self, error: BaseException) -> None:
        """Report a task of the directory that ended by a fault of Patchbay's own; calls are answered as they were."""
        self._tried.set()
        self._on_fault("directory_died", f"{type(error).__name__}: {error}")

    # ---- answering

    async def _answer(self, found: Found) -> Route:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                version = await self._versions.get(found.version_id)
        except NotFound as error:
            return self._sorry("unknown_version", str(error), found.version_id)
        except VersionRefused as error:
            return _sorry_for(error)
        except (StoreUnreachable, TimeoutError) as error:
            # The version that answered before is better than an apology.
            earlier = self._versions.cached(self._answered.get(found.workflow_id or "", ""))
            if earlier is None:
                return self._sorry("store_away", str(error) or "The database takes too long.", found.version_id)
            version = earlier
        if found.workflow_id is not None:
            self._answered[found.workflow_id] = version.version.id
        return Answer(version, version.version.organization_id)

    def _sorry(self, code: ApologyCode, message: str, version_id: str | None = None) -> Apologise:
        reason: Literal["no_workflow", "error"] = "error" if code == "store_away" else "no_workflow"
        return Apologise(reason, code, message, self._organization_id, version_id=version_id)

    # ---- keeping up

    async def _read(self) -> None:
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                fresh = await self._store.directory()
        except Exception as error:  # noqa: BLE001 - an edge: whatever a store raises, calls are answered as before and it is asked again
            self._failures += 1
            known = isinstance(error, PatchbayError)
            self._tell("store_away", str(error) if known else f"It could not be read: {type(error).__name__}.")
            return
        self._failures = 0
        self._told.discard("store_away")
        await self._prepare(fresh)
        self._snapshot, self._read_at = fresh, began

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._interval()):
                await self._wake.wait()
        except TimeoutError:
            self._workspaces.forget()
        else:
            await asyncio.sleep(_GATHER_S)
        self._wake.clear()

    def _interval(self) -> float:
        if self._failures:
            return min(_FAST_POLL_S * self._failures, _LAST_POLL_S)
        return _SLOW_POLL_S if self._is_notified else _FAST_POLL_S

    async def _prepare(self, fresh: DirectorySnapshot) -> None:
        """Compile what will answer from now on; what takes longer than a moment is compiled on the way."""
        wanted = [version_id for version_id in self._wanted(fresh) if version_id not in self._prepared]
        self._prepared &= {row.version_id for row in fresh.published.values()}
        if not wanted:
            return
        chosen = wanted[: self._versions.capacity]
        self._prepared.update(chosen)
        task = spawn(self._compile(chosen), name="directory-prepare")
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)
        await asyncio.wait({task}, timeout=_PREPARE_S)

    def _wanted(self, fresh: DirectorySnapshot) -> list[str]:
        """Return the versions that numbers and defaults lead to, and the successors of those that were used."""
        workflows = {row.workflow_id for rows in fresh.numbers.values() for row in rows}
        workflows |= {tenant.default_workflow_id for tenant in fresh.organizations.values()}
        before = self._snapshot.published if self._snapshot else {}
        workflows |= {key for key, row in before.items() if self._versions.has(row.version_id)}
        return [row.version_id for key, row in fresh.published.items() if key in workflows]

    async def _compile(self, version_ids: Sequence[str]) -> None:
        for version_id in version_ids:
            try:
                await self._versions.get(version_id)
            except VersionRefused as error:
                self._on_fault(_code(error), str(error))
            except PatchbayError:  # away, or removed meanwhile: the next reading says
                self._prepared.discard(version_id)

    def _changed(self, what: str, which: str) -> None:
        match what:
            case "workspace_variable":
                self._workspaces.forget(which)
                return
            case "lost":
                self._is_notified = False
                self._tell("not_listening", f"Changes are asked for twice a second, because {which}.")
            case "everything":
                self._is_notified = True
                self._told -= {"not_listening", "not_notified"}
                self._workspaces.forget()
            case _:
                pass
        self._wake.set()

    def _tell(self, code: str, message: str) -> None:
        if code not in self._told:
            self._told.add(code)
            self._on_fault(code, message)


def _sorry_for(error: VersionRefused) -> Apologise:
    row = error.version
    session = row.config.get("session") if isinstance(row.config, dict) else None
    language = session.get("language") if isinstance(session, dict) else None
    return Apologise(
        "error",
        _code(error),
        str(error),
        row.organization_id,
        language=language if isinstance(language, str) else None,
        version_id=row.id,
    )


def _code(error: VersionRefused) -> ApologyCode:
    return "newer_schema_version" if isinstance(error, NewerSchema) else "faulty_config"
