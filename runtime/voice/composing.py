"""How a call is put together out of what all calls of a process share; used by the command line, the worker and the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from runtime.addresses import Allowed
from runtime.session.event_log import CallLog, EventLog
from runtime.session.ports import CallRow, Clock, RunnerOrder, Telephone, ToolRunner, WorkspaceVariableRow
from runtime.session.recovery import Recovered
from runtime.voice.live_call import CallPlan
from runtime.voice.local.heard_words import heard_words
from runtime.voice.pipeline import Providers
from runtime.voice.spoken import SpokenCache
from runtime.workflow.graph import Workflow

__all__ = ["NewRunner", "Ordered", "Workshop"]

Json = Any
NewRunner: TypeAlias = Callable[[RunnerOrder], ToolRunner]
"""Makes the runner of a call's tools. Raises UsageFault for mocks that do not fit the workflow."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """One call that is wanted: `row` is its `call_session` row, `workspace` its organization's variables as stored.

    `stored` tells whether the config comes from the store (and so reaches no private server and no key of this process);
    `request_id` names the API's request that started the call, if one did.
    """

    workflow: Workflow
    row: CallRow
    clock: Clock
    workspace: Sequence[WorkspaceVariableRow] = ()
    workflow_id: str | None = None
    presets: Mapping[str, Json] = field(default_factory=dict)
    telephone: Telephone | None = None
    stored: bool = True
    offline: bool = False
    mocks: Mapping[str, Json] = field(default_factory=dict)
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all calls of a process share. Belongs to one event loop."""

    log: EventLog
    encrypt: Callable[[str], str]
    decrypt: Callable[[str], str]
    runner: NewRunner
    allowed: Allowed
    runtime_version: str
    offline: bool = False
    spoken: SpokenCache = field(default_factory=SpokenCache)

    def providers(self, ordered: Ordered) -> Providers:
        """Return the providers of a call, nothing made yet. Raises PatchbayError for a secret that cannot be read."""
        return Providers(
            offline=self.offline or ordered.offline,
            secrets=self._secrets(ordered),
            stored=ordered.stored,
            allowed=self.allowed,
            vocabulary=heard_words(ordered.workflow),
            spoken=self.spoken,
            organization_id=ordered.row.organization_id,
        )

    def plan(self, ordered: Ordered, providers: Providers | None = None) -> CallPlan:
        """Return the plan of a call; its row is in the local log on return. Raises PatchbayError as `providers` does."""
        providers = providers or self.providers(ordered)
        return self._plan(ordered, providers, self.log.open_call(ordered.row))

    def _plan(self, ordered: Ordered, providers: Providers, log: CallLog) -> CallPlan:
        return CallPlan(
            workflow=ordered.workflow,
            log=log,
            clock=ordered.clock,
            tools=self._tools(ordered),
            providers=providers,
            encrypt=self.encrypt,
            runtime_version=self.runtime_version,
            workflow_id=ordered.workflow_id,
            workspace=_plain(ordered),
            presets=ordered.presets,
            telephone=ordered.telephone,
            request_id=ordered.request_id,
        )

    def resume_plan(self, recovered: Recovered, ordered: Ordered, providers: Providers | None = None) -> CallPlan:
        """Return the plan of a call that goes on here; `LiveCall.resume` takes the place of `begin`.

        `ordered.row` is `recovered.row` with what is new of it (worker, epoch, room); its workflow is the version that
        the call began with. Raises PatchbayError as `providers` does.
        """
        providers = providers or self.providers(ordered)
        log = self.log.open_call(ordered.row, last_seq=recovered.last_seq)
        return replace(self._plan(ordered, providers, log), recovered=recovered)

    def _tools(self, ordered: Ordered) -> ToolRunner:
        return self.runner(
            RunnerOrder(
                organization_id=ordered.row.organization_id,
                workflow=ordered.workflow,
                workflow_id=ordered.workflow_id,
                secrets=self._secrets(ordered),
                workspace=_plain(ordered),
                telephone=ordered.telephone,
                mocks=ordered.mocks,
            )
        )

    def _secrets(self, ordered: Ordered) -> dict[str, str]:
        return {row.name: self.decrypt(row.value) for row in ordered.workspace if row.is_secret}


def _plain(ordered: Ordered) -> dict[str, str]:
    return {row.name: row.value for row in ordered.workspace if not row.is_secret}
