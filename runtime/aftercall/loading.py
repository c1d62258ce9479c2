"""Versions of ended calls, compiled; nothing of a call is made, so no provider has to be installed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from pydantic import ValidationError

from runtime.errors import ConfigRefused
from runtime.session.ports import Store, VersionRow
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from runtime.workflow.upgrade import upgrade

__all__ = ["VersionLoader"]

_KEPT = 100


class VersionLoader:
    """Loads and compiles versions of `store`, and keeps the last used."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._compiled: OrderedDict[str, tuple[Workflow, str]] = OrderedDict()
        self._turn = asyncio.Lock()

    async def load(self, version_id: str) -> tuple[Workflow, str]:
        """Return the compiled workflow and its name. Raises `NotFound`, `ConfigRefused` and `StoreUnreachable`."""
        async with self._turn:  # one thread at a time: more would only take the interpreter from the calls
            if version_id not in self._compiled:
                row = await self._store.version(version_id)
                compiled = await asyncio.to_thread(_compiled, row), row.workflow_name
                if row.status == "draft":  # it may still be changed where it stands
                    return compiled
                self._compiled[version_id] = compiled
            self._compiled.move_to_end(version_id)
            while len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
            return self._compiled[version_id]


def _compiled(row: VersionRow) -> Workflow:
    try:
        config = WorkflowConfig.model_validate(upgrade(row.config))
    except ValidationError as error:
        raise ConfigRefused(
            f"Version {row.version} of '{row.workflow_name}' has faults.", remedy="List them: patchbay validate FILE"
        ) from error
    return compile_workflow(config, version_id=row.id)
