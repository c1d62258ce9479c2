"""Compiled versions by id: each is loaded and compiled once, and goes on answering while the store is away."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import ConfigRefused
from runtime.session.ports import Store, VersionRow
from runtime.tasks import spawn
from runtime.voice.catalogue import provider_catalogue
from runtime.voice.plugins import import_named
from runtime.workflow.graph import Workflow, compile_workflow
from runtime.workflow.validation import Validation, validate
from tools.registry import default_registry
from worker.tuning import keep

__all__ = ["CompiledVersion", "NewerSchema", "VersionRefused", "Versions"]

_CAPACITY = 200


@dataclass(frozen=True, slots=True)
class CompiledVersion:
    """A version and what a call runs on."""

    version: VersionRow
    workflow: Workflow


class VersionRefused(ConfigRefused):
    """The config of `version` has faults that keep it from running here; `faults` lists them."""

    def __init__(self, version: VersionRow, message: str, *, faults: tuple[object, ...], remedy: str) -> None:
        super().__init__(message, faults=faults, remedy=remedy)
        self.version = version


class NewerSchema(VersionRefused):
    """The config of `version` was written for a later release."""


class Versions:
    """Loads and compiles versions of `store`, and keeps the `capacity` last used. Belongs to one event loop.

    `on_loaded` is called with each that will go on answering calls: published ones and pinned ones.

    The plugins that a config names are imported with it. To be used on the main thread: LiveKit takes them there alone.
    """

    def __init__(self, store: Store, *, offline: bool = False, capacity: int = _CAPACITY) -> None:
        self.capacity = capacity
        self._store = store
        self._offline = offline
        self._kept: OrderedDict[str, CompiledVersion] = OrderedDict()
        self._pinned: dict[str, CompiledVersion] = {}
        self._loading: dict[str, asyncio.Task[CompiledVersion]] = {}
        # One thread at a time: more would only take the interpreter from the calls.
        self._turn = asyncio.Lock()
        self.on_loaded: Callable[[CompiledVersion], None] = _nothing

    def cached(self, version_id: str) -> CompiledVersion | None:
        """Return the version where it is here already."""
        found = self._kept.get(version_id)
        if found is not None:
            self._kept.move_to_end(version_id)
        return found or self._pinned.get(version_id)

    async def pin(self, version_id: str, *, offline: bool = False) -> None:
        """Keep a version for good, be it a draft: what somebody runs by hand answers as it was when they began.

        Raises as `get`.
        """
        row = await self._store.version(version_id)
        workflow = await self._compiled(row, offline=offline or self._offline)
        self._pinned[version_id] = CompiledVersion(row, workflow)
        self.on_loaded(self._pinned[version_id])

    def has(self, version_id: str) -> bool:
        """Tell whether the version is here already; asking is no use of it."""
        return version_id in self._kept or version_id in self._pinned

    async def get(self, version_id: str) -> CompiledVersion:
        """Return the version compiled; whoever asks for it at the same time shares the work.

        Raises `NotFound`, `VersionRefused` (`NewerSchema` where a later release wrote it) and `StoreUnreachable`.
        """
        if (found := self.cached(version_id)) is not None:
            return found
        task = self._loading.get(version_id)
        if task is None:
            # Everyone who waits gets what it raises; where nobody waits any more nobody misses it.
            task = spawn(self._load(version_id), name=f"compile-{version_id}", on_error=lambda _: None)
            self._loading[version_id] = task
            task.add_done_callback(lambda _: self._loading.pop(version_id, None))
        return await asyncio.shield(task)

    async def _load(self, version_id: str) -> CompiledVersion:
        row = await self._store.version(version_id)
        workflow = await self._compiled(row, offline=self._offline)
        compiled = CompiledVersion(row, workflow)
        if row.status != "draft":  # a draft may still be changed where it stands
            self._kept[version_id] = compiled
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
            self.on_loaded(compiled)
        return compiled

    async def _compiled(self, row: VersionRow, *, offline: bool) -> Workflow:
        async with self._turn:
            if not offline and await import_named(row.config):
                keep()
            return await asyncio.to_thread(_compiled, row, offline=offline)


def _nothing(_version: CompiledVersion) -> None:
    """Nobody wants to know."""


def _compiled(row: VersionRow, *, offline: bool) -> Workflow:
    providers = None if offline else provider_catalogue()
    checked = validate(row.config, providers=providers, tools=default_registry(), stage="save" if offline else "start")
    if not checked.valid or checked.config is None:
        raise _refused(row, checked)
    try:
        return compile_workflow(checked.config, version_id=row.id)
    except ConfigRefused as error:
        raise VersionRefused(row, error.message, faults=error.faults, remedy=error.remedy) from error


def _refused(row: VersionRow, checked: Validation) -> VersionRefused:
    errors = [fault for fault in checked.faults if fault.severity == "error"]
    first = errors[0]
    kind = NewerSchema if any(fault.code == "newer_schema_version" for fault in errors) else VersionRefused
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return kind(
        row,
        f"Version {row.version} of '{row.workflow_name}' cannot run: {first.path}: {first.message}{more}",
        faults=tuple(checked.faults),
        remedy=first.remedy,
    )
