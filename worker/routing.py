"""Who answers a call, decided on a snapshot of the directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from runtime.session.ports import DirectorySnapshot, NumberRow
from worker.legs import CallRequest
from worker.numbers import candidates
from worker.versions import CompiledVersion

__all__ = ["Answer", "Apologise", "ApologyCode", "Found", "Route", "find"]

ApologyCode = Literal[
    "unknown_number",
    "ambiguous_number",
    "number_without_workflow",
    "unpublished_workflow",
    "unknown_version",
    "faulty_config",
    "newer_schema_version",
    "store_away",
]
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Answer:
    """The version that the call runs on, to its end."""

    version: CompiledVersion
    organization_id: str


@dataclass(frozen=True, slots=True)
class Apologise:
    """Nothing can answer: `message` names the number, the workflow and the remedy, for whoever operates Patchbay.

    `language` is the one to apologise in, where a config says so; `version_id` the version that should have answered.
    """

    reason: Literal["no_workflow", "error"]
    code: ApologyCode
    message: str
    organization_id: str
    language: str | None = None
    version_id: str | None = None


Route: TypeAlias = Answer | Apologise


@dataclass(frozen=True, slots=True)
class Found:
    """The version that is to answer, and its workflow where a number or a workflow led to it."""

    version_id: str
    workflow_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Aim:
    """A workflow, and how the call came to it in words that begin a sentence."""

    workflow_id: str
    workflow_name: str | None
    organization_id: str
    how: str


def find(snapshot: DirectorySnapshot, request: CallRequest, organization_id: str) -> Found | Apologise:
    """Return the version for `request`: the one it names, its workflow's, the dialled number's, or the default's.

    `organization_id` is the worker's own: its numbers win over others', and its default workflow answers any other number.
    """
    if request.workflow_version_id is not None:
        return Found(request.workflow_version_id)
    aim = _aim(snapshot, request, organization_id)
    if isinstance(aim, Apologise):
        return aim
    published = snapshot.published.get(aim.workflow_id)
    return _unpublished(aim) if published is None else Found(published.version_id, aim.workflow_id)


def _aim(snapshot: DirectorySnapshot, request: CallRequest, organization_id: str) -> _Aim | Apologise:
    if request.workflow_id is not None:
        return _Aim(request.workflow_id, None, organization_id, "The call")
    # Of a call that goes out `dialled` is somebody else's number.
    dialled = request.dialled if request.direction == "inbound" else None
    row = _row(snapshot, dialled, organization_id)
    if isinstance(row, Apologise):
        return row
    if row is not None and row.workflow_id is not None:
        return _Aim(row.workflow_id, row.workflow_name, row.organization_id, f"The number {row.number}")
    return _default(snapshot, row, dialled, organization_id)


def _row(snapshot: DirectorySnapshot, dialled: str | None, organization_id: str) -> NumberRow | Apologise | None:
    for number in candidates(dialled or ""):
        rows = snapshot.numbers.get(number, ())
        own = next((row for row in rows if row.organization_id == organization_id), None)
        if own is not None or len(rows) == 1:
            return own or rows[0]
        if rows:
            return _ambiguous(snapshot, rows, organization_id)
    return None


def _default(
    snapshot: DirectorySnapshot, row: NumberRow | None, dialled: str | None, organization_id: str
) -> _Aim | Apologise:
    tenant = snapshot.organizations.get(row.organization_id if row else organization_id)
    if tenant is not None and tenant.default_workflow_id is not None:
        how = f"{_named(dialled)} is mapped to no workflow, and the default"
        return _Aim(tenant.default_workflow_id, tenant.default_workflow_name, tenant.id, how)
    owner = f"organization '{tenant.name}'" if tenant else f"organization {organization_id}"
    remedy = "Map it: patchbay number add NUMBER --workflow NAME. Or say who answers any number: patchbay number default NAME"
    if row is not None:
        message = f"The number {row.number} of {owner} leads to no workflow any more. {remedy}"
        return Apologise("no_workflow", "number_without_workflow", message, row.organization_id)
    message = f"{_named(dialled)} is mapped to no workflow, and {owner} has no default workflow. {remedy}"
    return Apologise("no_workflow", "unknown_number", message, organization_id)


def _unpublished(aim: _Aim) -> Apologise:
    name = f"'{aim.workflow_name}'" if aim.workflow_name else f"with the id '{aim.workflow_id[:_LONGEST]}'"
    remedy = f"Publish one: patchbay workflow publish FILE --name {aim.workflow_name or 'NAME'}"
    message = f"{aim.how} leads to the workflow {name}, which has no published version. {remedy}"
    return Apologise("no_workflow", "unpublished_workflow", message, aim.organization_id)


def _ambiguous(snapshot: DirectorySnapshot, rows: Sequence[NumberRow], organization_id: str) -> Apologise:
    owners = [snapshot.organizations.get(row.organization_id) for row in rows]
    names = ", ".join(sorted(owner.name for owner in owners if owner is not None))
    message = (
        f"The number {rows[0].number} is mapped by several organizations ({names}), and none of them is this worker's own. "
        "Remove it from all but one (patchbay number remove), or run a worker with PATCHBAY_ORG for each."
    )
    return Apologise("no_workflow", "ambiguous_number", message, organization_id)


def _named(dialled: str | None) -> str:
    return f"The number {dialled[:_LONGEST]}" if dialled else "A call without a dialled number"
