"""From a caller to a planned call: who answers, whether the organization may, and what it takes."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, assert_never

import structlog

from runtime.errors import PatchbayError, StoreUnreachable
from runtime.session.call_session import SystemClock
from runtime.session.ports import CallRow, Store, VersionRow, WorkspaceVariableRow
from runtime.session.recovery import Recovered, recover
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.live_call import CallPlan
from runtime.workflow.graph import Workflow
from worker.apology import Sorry, apology_workflow
from worker.directory import Answer, Apologise, Directory
from worker.legs import CallRequest, Leg
from worker.limits import GuardedTelephone, over_limit, undialable

__all__ = ["ByHand", "Received", "Reception", "Resumption", "Taken", "without_models"]

Json = Any
_log = structlog.get_logger("reception")


@dataclass(frozen=True, slots=True)
class ByHand:
    """A version that answers where nothing else is mapped: a file that somebody runs, with local providers if `offline`."""

    version_id: str
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Resumption:
    """A call that goes on here: on which worker, and for how long nobody ran it (`call_resumed`).

    `alone` where its caller has left meanwhile.
    """

    worker_id: str
    lost_ms: int
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A call of a worker that has died, taken over as the owner of `epoch`; `alone` as in `Resumption`."""

    recovered: Recovered
    epoch: int
    lost_ms: int
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """A planned call: `sorry` says why the caller hears an apology instead of the workflow, if so.

    With `resumed` it goes on where another worker's left off.
    """

    plan: CallPlan
    version: VersionRow | None
    sorry: Sorry | None = None
    is_counted: bool = False
    """Whether it takes one of its organization's places; an apology takes none."""
    resumed: Resumption | None = None

    @property
    def organization_id(self) -> str:
        return self.plan.log.row.organization_id


@dataclass(frozen=True, slots=True)
class _Answering:
    """What is to answer. Without a version it is the apology."""

    organization_id: str
    workflow: Workflow
    version: VersionRow | None = None
    version_id: str | None = None
    sorry: Sorry | None = None


def without_models(received: Received, sorry: Sorry) -> Received:
    """Return the same call as an apology that needs no model and no voice service."""
    language = received.plan.workflow.language
    plan = replace(received.plan, workflow=apology_workflow(language), providers=None, presets={})
    return replace(received, plan=plan, sorry=sorry)


class Reception:
    """Plans the calls of one process, which its fleet knows as `worker_id`."""

    def __init__(
        self, store: Store, directory: Directory, workshop: Workshop, worker_id: str, by_hand: ByHand | None = None
    ) -> None:
        self._worker_id = worker_id
        self._store = store
        self._directory = directory
        self._workshop = workshop
        self._by_hand = by_hand

    async def receive(self, leg: Leg, own: Counter[str]) -> Received:
        """Plan the call; its row is in the local log on return.

        `own` are this process's calls by organization: this one is added at once, so that callers who come together see
        each other, and whoever gets a counted `Received` takes it out again when the call is over.
        """
        answering = await self._answering(leg.request)
        if answering.sorry is not None:
            return await self._received(leg, answering)
        own[answering.organization_id] += 1
        try:
            limits = self._directory.limits(answering.organization_id)
            sorry = await over_limit(self._store, answering.organization_id, limits, own)
            answering = replace(answering, sorry=sorry or undialable(leg.request, limits))
            received = await self._received(leg, answering)
        except BaseException:
            own[answering.organization_id] -= 1
            raise
        own[answering.organization_id] -= not received.is_counted
        return received

    async def recovered(self, session_id: str) -> Recovered | None:
        """Return what is stored of a call that another worker ran; None where it has ended. Raises `StoreUnreachable`."""
        return await recover(self._store, session_id, decrypt=self._workshop.decrypt)

    async def resume(self, leg: Leg, taken: Taken, own: Counter[str]) -> Received:
        """Plan a call that goes on here. Its limits were asked when it began; `own` as in `receive`.

        Raises PatchbayError where the version that it began with cannot run here.
        """
        recovered = taken.recovered
        row = replace(recovered.row, worker_id=self._worker_id, epoch=taken.epoch)
        route = await self._directory.route(replace(leg.request, workflow_version_id=row.workflow_version_id))
        if isinstance(route, Apologise):
            raise PatchbayError(route.message)
        answering = _Answering(
            row.organization_id, route.version.workflow, route.version.version, row.workflow_version_id
        )
        workspace = await self._workspace(row.organization_id)
        guarded = GuardedTelephone(leg, self._directory.limits(row.organization_id))
        ordered = replace(self._ordered(leg, answering, workspace, guarded), row=row)
        plan = self._planned(ordered, recovered)
        own[row.organization_id] += 1
        resumed = Resumption(self._worker_id, taken.lost_ms, taken.alone)
        return Received(plan, answering.version, is_counted=True, resumed=resumed)

    async def _workspace(self, organization_id: str) -> Sequence[WorkspaceVariableRow]:
        try:
            return await self._directory.workspace(organization_id)
        except StoreUnreachable:  # nothing known of it yet: the call goes on without variables rather than not at all
            _log.warning("workspace_not_read", organization_id=organization_id)
            return ()

    async def _received(self, leg: Leg, answering: _Answering) -> Received:
        organization_id = answering.organization_id
        workspace = await self._workspace(organization_id)
        guarded = GuardedTelephone(leg, self._directory.limits(organization_id))
        plan = self._planned(self._ordered(leg, answering, workspace, guarded))
        if answering.sorry is not None:
            return without_models(Received(plan, answering.version), answering.sorry)
        return Received(plan, answering.version, is_counted=True)

    async def _answering(self, request: CallRequest) -> _Answering:
        route = await self._directory.route(request)
        if isinstance(route, Apologise) and route.reason == "no_workflow" and self._by_hand is not None:
            route = await self._directory.route(replace(request, workflow_version_id=self._by_hand.version_id))
        match route:
            case Answer(version, organization_id):
                return _Answering(organization_id, version.workflow, version.version, version.version.id)
            case Apologise() as sorry:
                return self._apology(sorry)
            case never:
                assert_never(never)

    def _apology(self, route: Apologise) -> _Answering:
        sorry = Sorry(route.reason, "no_workflow", "dispatch", route.code, route.message)
        _log.warning("call_not_answered", code=route.code, message=route.message)
        workflow = apology_workflow(route.language or "en")
        return _Answering(route.organization_id, workflow, version_id=route.version_id, sorry=sorry)

    def _ordered(
        self, leg: Leg, answering: _Answering, workspace: Sequence[WorkspaceVariableRow], telephone: GuardedTelephone
    ) -> Ordered:
        request, by_hand = leg.request, self._by_hand
        is_own = by_hand is not None and answering.version_id == by_hand.version_id
        return Ordered(
            workflow=answering.workflow,
            row=self._row(request, answering),
            clock=SystemClock(),
            workspace=workspace,
            workflow_id=answering.version.workflow_id if answering.version else None,
            presets=_declared(request.variables, answering.workflow),
            telephone=telephone if request.channel == "phone" else None,
            stored=not is_own,
            offline=is_own and by_hand is not None and by_hand.offline,
        )

    def _planned(self, ordered: Ordered, recovered: Recovered | None = None) -> CallPlan:
        try:
            return self._plan(ordered, recovered)
        except PatchbayError as error:  # a secret that this worker's keys cannot open
            _log.error("secrets_unreadable", message=error.message)
            return self._plan(
                replace(ordered, workspace=[row for row in ordered.workspace if not row.is_secret]), recovered
            )

    def _plan(self, ordered: Ordered, recovered: Recovered | None) -> CallPlan:
        if recovered is None:
            return self._workshop.plan(ordered)
        return self._workshop.resume_plan(recovered, ordered)

    def _row(self, request: CallRequest, answering: _Answering) -> CallRow:
        return CallRow(
            id=str(uuid.uuid4()),
            organization_id=answering.organization_id,
            workflow_version_id=answering.version_id,
            channel=request.channel,
            direction=request.direction,
            is_test=request.channel == "voice_test",
            started_at=datetime.now(UTC),
            external_session_id=request.external_session_id,
            from_number=request.caller,
            to_number=request.dialled,
            worker_id=None if answering.sorry else self._worker_id,  # nobody works at an apology, and it takes no place
            runtime_version=self._workshop.runtime_version,
            room=request.room,
        )


def _declared(variables: Mapping[str, Json], workflow: Workflow) -> dict[str, Json]:
    """Return the presets that the workflow knows; another one is a mistake of whoever dispatched, and no call's end."""
    unknown = variables.keys() - workflow.variables.keys()
    if unknown:
        _log.warning("presets_unknown", names=sorted(name[:80] for name in unknown))
    return {name: value for name, value in variables.items() if name in workflow.variables}
