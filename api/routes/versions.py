"""Versions of workflows: read, change, publish, restore, validate, remove."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from api.access import Caller, Permission
from api.answers import CREATED, Responses, answers
from api.checking import checked, faults_of, refuse_unstorable
from api.idempotency import PatchbayRoute
from api.models.workflows import ConfigBody, ValidationBody, Version
from api.preconditions import IfMatch, IfNoneMatch, is_current, is_known, revision_in, tag_of
from api.problems import Problem, conflicting, found
from api.requests import CallerDep
from api.versioning import SUMMARY, version_answer
from runtime.store.row_access import Condition, RowsFault
from runtime.workflow.validation import Validation

__all__ = ["router"]

router = APIRouter(tags=["versions"], route_class=PatchbayRoute)

Json = Any
Row = dict[str, Json]

_TAGGED: Responses = {
    200: {"headers": {"ETag": {"description": "Send it back in If-Match.", "schema": {"type": "string"}}}}
}
_UNCHANGED: Responses = {304: {"description": "You have it as it is."}}


@router.get(
    "/workflow-versions/{version_id}",
    response_model=Version,
    responses=_TAGGED | _UNCHANGED | answers(404),
)
async def read_version(
    caller: CallerDep, version_id: UUID, response: Response, if_none_match: IfNoneMatch = None
) -> Json:
    """Return a version with its whole config and its faults."""
    row = await _version(caller, version_id, "workflows:read")
    if is_known(if_none_match, row):
        return Response(status_code=304, headers={"ETag": tag_of(row)})
    return version_answer(row, await checked(row["config"]), response)


@router.patch(
    "/workflow-versions/{version_id}", response_model=Version, responses=_TAGGED | answers(404, 409, 412, 413)
)
async def change_version(
    caller: CallerDep, version_id: UUID, body: ConfigBody, response: Response, if_match: IfMatch = None
) -> Json:
    """Put another config into a draft. It is kept whatever its faults, and answered with them."""
    row = await _version(caller, version_id, "workflows:write", columns=SUMMARY)
    await refuse_unstorable(body.config)
    where: list[Condition] = [("id", "eq", row["id"]), ("status", "eq", "draft")]
    _refuse_fixed(row)
    await _refuse_changed(caller, row, if_match)
    if if_match is not None and if_match.strip() != "*":
        where.append(("revision", "eq", row["revision"]))
    changed = await caller.rows.update(
        "workflow_version", where, {"config": body.config}, returning=[*SUMMARY, "config"]
    )
    if not changed:  # somebody was quicker
        current = await _version(caller, version_id, "workflows:write", columns=SUMMARY)
        _refuse_fixed(current)
        await _refuse_changed(caller, current, if_match)
        raise _changed(current, if_match, None)
    return version_answer(changed[0], await checked(changed[0]["config"]), response)


@router.delete("/workflow-versions/{version_id}", status_code=204, responses=answers(404, 409, 412))
async def remove_version(caller: CallerDep, version_id: UUID, if_match: IfMatch = None) -> None:
    """Remove a draft; 409 where a test ran on it, or where it is no draft any more."""
    row = await _version(caller, version_id, "workflows:write", columns=SUMMARY)
    _refuse_fixed(row)
    await _refuse_changed(caller, row, if_match)
    with conflicting(
        "Tests ran on this draft, and their records refer to it.",
        remedy="Keep it, and make a new one with POST /api/workflows/{workflow_id}/versions.",
    ):
        gone = await caller.rows.delete(
            "workflow_version",
            [("id", "eq", row["id"]), ("status", "eq", "draft"), ("revision", "eq", row["revision"])],
            returning=["id"],
        )
    if not gone:
        raise Problem(409, "conflict", "The draft was changed just now.", remedy="Read it again.")


@router.post(
    "/workflow-versions/{version_id}/publish", response_model=Version, responses=_TAGGED | answers(404, 409, 412)
)
async def publish_version(caller: CallerDep, version_id: UUID, response: Response, if_match: IfMatch = None) -> Json:
    """Have a version answer from the next call on; its predecessor is archived. Faults of severity error refuse it.

    An archived version may be published again. Publishing what is published changes nothing.
    """
    row = await _version(caller, version_id, "workflows:write")
    await _refuse_changed(caller, row, if_match)
    validation = await checked(row["config"])
    if row["status"] == "published":
        return version_answer(row, validation, response)
    if not validation.valid:
        raise _faulty(row, validation)
    try:
        published = await caller.rows.rpc("publish_revision", {"version_id": row["id"], "revision": row["revision"]})
    except RowsFault as fault:
        if fault.kind != "changed":
            raise
        current = await _version(caller, version_id, "workflows:write")
        raise _changed(current, if_match, await _last_change(caller, current)) from fault
    return version_answer(found([published] if published else [], "version", row["id"]), validation, response)


@router.post(
    "/workflow-versions/{version_id}/restore",
    status_code=201,
    response_model=Version,
    responses=CREATED | answers(404, 409),
)
async def restore_version(caller: CallerDep, version_id: UUID, response: Response) -> Json:
    """Make a new draft with the content of this version."""
    row = await _version(caller, version_id, "workflows:write", columns=SUMMARY)
    made = await caller.rows.rpc("create_draft", {"workflow_id": row["workflow_id"], "from_version_id": row["id"]})
    response.headers["Location"] = f"/api/workflow-versions/{made['id']}"
    return version_answer(made, await checked(made["config"]), response)


@router.post("/workflow-versions/{version_id}/validate", response_model=ValidationBody, responses=answers(404, 409))
async def validate_version(caller: CallerDep, version_id: UUID) -> Json:
    """List every fault of a version's config."""
    row = await _version(caller, version_id, "workflows:read")
    return _validation(await checked(row["config"]))


@router.post("/validate", response_model=ValidationBody, responses=answers(409, 413))
async def validate_config(caller: CallerDep, body: ConfigBody) -> Json:
    """List every fault of a config that is not stored."""
    caller.need("workflows:read")
    return _validation(await checked(body.config))


async def _version(
    caller: Caller, version_id: UUID, permission: Permission, *, columns: tuple[str, ...] = (*SUMMARY, "config")
) -> Row:
    rows = await caller.rows.select("workflow_version", columns=columns, where=[("id", "eq", str(version_id))], limit=1)
    row = found(rows, "version", str(version_id))
    caller.need(permission, row["organization_id"])
    return row


def _refuse_fixed(row: Row) -> None:
    if row["status"] != "draft":
        raise Problem(
            409,
            "not_a_draft",
            f"Version {row['version']} is {row['status']} and does not change.",
            remedy=f"Make a draft of it: POST /api/workflow-versions/{row['id']}/restore",
        )


async def _refuse_changed(caller: Caller, row: Row, if_match: str | None) -> None:
    if not is_current(if_match, row):
        raise _changed(row, if_match, await _last_change(caller, row))


def _changed(row: Row, if_match: str | None, changed_by: Row | None) -> Problem:
    yours = revision_in(if_match or "", row["id"])
    return Problem(
        412,
        "draft_changed",
        f"Version {row['version']} is at revision {row['revision']} by now, and your change is of "
        f"{f'revision {yours}' if yours else 'none that it has had'}.",
        remedy="Read it again, carry your change over, and send it with the new ETag.",
        yours={"version_id": row["id"], "revision": yours, "etag": if_match},
        current={
            "version_id": row["id"],
            "version": row["version"],
            "status": row["status"],
            "revision": row["revision"],
            "etag": tag_of(row),
            "updated_at": row["updated_at"],
            "changed_by": changed_by,
        },
    )


async def _last_change(caller: Caller, row: Row) -> Row | None:
    """Return who changed the version last, where the caller may read the audit log."""
    if not caller.principal.may("audit:read", row["organization_id"]):
        return None
    rows = await caller.rows.select(
        "audit_log",
        columns=["actor_kind", "actor_id", "occurred_at"],
        where=[
            ("organization_id", "eq", row["organization_id"]),
            ("table_name", "eq", "workflow_version"),
            ("row_id", "eq", row["id"]),
        ],
        order=[("id", "desc")],
        limit=1,
    )
    return rows[0] if rows else None


def _faulty(row: Row, validation: Validation) -> Problem:
    errors = sum(fault.severity == "error" for fault in validation.faults)
    return Problem(
        422,
        "config_has_faults",
        f"Version {row['version']} has {errors} {'fault' if errors == 1 else 'faults'} and is not published.",
        remedy="Correct what is listed and publish it again.",
        faults=faults_of(validation.faults),
    )


def _validation(validation: Validation) -> Row:
    return {"schema_version": 1, "valid": validation.valid, "faults": faults_of(validation.faults)}
