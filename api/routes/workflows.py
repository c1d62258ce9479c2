"""Workflows: list, make, read, rename, remove; their versions: list, make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.access import Caller
from api.answers import CREATED, answers
from api.checking import checked, refuse_unstorable
from api.idempotency import PatchbayRoute
from api.models.common import Listed, Storable, changes_of
from api.models.workflows import (
    NewVersion,
    NewWorkflow,
    Version,
    VersionSummary,
    Workflow,
    WorkflowChange,
    WorkflowDetails,
)
from api.problems import conflicting, found
from api.requests import CallerDep, PageDep, listed
from api.templating import template
from api.versioning import SUMMARY, version_answer
from runtime.store.row_access import Condition

__all__ = ["router"]

router = APIRouter(tags=["workflows"], route_class=PatchbayRoute)

Json = Any
Row = dict[str, Json]

_NUMBERS_AT_ONCE = 1000


@router.get("/workflows", response_model=Listed[Workflow], responses=answers())
async def list_workflows(
    caller: CallerDep,
    page: PageDep,
    name: Annotated[Storable | None, Query(max_length=200, description="Only the workflow of this name.")] = None,
) -> Json:
    """List the organization's workflows, the newest first."""
    organization = caller.need("workflows:read")
    where: list[Condition] = [("organization_id", "eq", organization)]
    if name is not None:
        where.append(("name", "eq", name))
    found_page = await listed(
        caller.rows, page, "workflow", where=where, order=[("created_at", "desc"), ("id", "desc")]
    )
    return found_page | {"items": await _with_numbers(caller, found_page["items"])}


@router.post("/workflows", status_code=201, response_model=WorkflowDetails, responses=CREATED | answers(404, 409, 413))
async def make_workflow(caller: CallerDep, body: NewWorkflow, response: Response) -> Json:
    """Make a workflow; with `template` or `config` it has a first draft at once."""
    organization = caller.need("workflows:write")
    config = body.config if body.template is None else (await template(body.template)).config
    if config is not None:
        await refuse_unstorable(config)
    row = {"organization_id": organization, "name": body.name, "description": body.description}
    with _one_of_a_name(body.name):
        made = await caller.rows.insert("workflow", row)
    if config is not None:
        await caller.rows.rpc("create_draft", {"workflow_id": made["id"], "config": config})
    response.headers["Location"] = f"/api/workflows/{made['id']}"
    return await _details(caller, made)


@router.get("/workflows/{workflow_id}", response_model=WorkflowDetails, responses=answers(404))
async def read_workflow(caller: CallerDep, workflow_id: UUID) -> Json:
    """Return a workflow with its newest draft."""
    return await _details(caller, await _workflow(caller, workflow_id))


@router.patch("/workflows/{workflow_id}", response_model=WorkflowDetails, responses=answers(404, 409, 413))
async def change_workflow(caller: CallerDep, workflow_id: UUID, body: WorkflowChange) -> Json:
    """Change a workflow's name or description."""
    row = await _workflow(caller, workflow_id)
    caller.need("workflows:write", row["organization_id"])
    if changes := changes_of(body):
        with _one_of_a_name(body.name):
            changed = await caller.rows.update("workflow", [("id", "eq", row["id"])], changes)
        row = found(changed, "workflow", row["id"])
    return await _details(caller, row)


@router.delete("/workflows/{workflow_id}", status_code=204, responses=answers(404, 409))
async def remove_workflow(caller: CallerDep, workflow_id: UUID) -> None:
    """Remove a workflow and its versions; 409 where a call ran on one of them."""
    row = await _workflow(caller, workflow_id)
    caller.need("workflows:write", row["organization_id"])
    with conflicting(
        "Calls or tests ran on versions of this workflow, and their records refer to it.",
        remedy="Keep it and take its phone numbers away, or erase the calls first.",
    ):
        gone = await caller.rows.delete("workflow", [("id", "eq", row["id"])], returning=["id"])
    found(gone, "workflow", row["id"])


@router.get(
    "/workflows/{workflow_id}/versions",
    tags=["versions"],
    response_model=Listed[VersionSummary],
    responses=answers(404),
)
async def list_versions(caller: CallerDep, workflow_id: UUID, page: PageDep) -> Json:
    """List a workflow's versions without their configs, the newest first."""
    workflow = await _workflow(caller, workflow_id)
    return await listed(
        caller.rows,
        page,
        "workflow_version",
        columns=SUMMARY,
        where=[("workflow_id", "eq", workflow["id"])],
        order=[("version", "desc")],
    )


@router.post(
    "/workflows/{workflow_id}/versions",
    tags=["versions"],
    status_code=201,
    response_model=Version,
    responses=CREATED | answers(404, 409, 413),
)
async def make_version(
    caller: CallerDep, workflow_id: UUID, response: Response, body: NewVersion | None = None
) -> Json:
    """Make a draft: of `config`, of another version, or without a body of the newest version."""
    workflow = await _workflow(caller, workflow_id)
    caller.need("workflows:write", workflow["organization_id"])
    given = changes_of(body) if body is not None else {}
    arguments = {name: value for name, value in given.items() if value is not None}
    if "config" in arguments:
        await refuse_unstorable(arguments["config"])
    row = await caller.rows.rpc("create_draft", {"workflow_id": workflow["id"], **arguments})
    response.headers["Location"] = f"/api/workflow-versions/{row['id']}"
    return version_answer(row, await checked(row["config"]), response)


async def _workflow(caller: Caller, workflow_id: UUID) -> Row:
    rows = await caller.rows.select("workflow", where=[("id", "eq", str(workflow_id))], limit=1)
    row = found(rows, "workflow", str(workflow_id))
    caller.need("workflows:read", row["organization_id"])
    return row


async def _details(caller: Caller, row: Row) -> Row:
    (numbered,) = await _with_numbers(caller, [row])
    drafts = await caller.rows.select(
        "workflow_version",
        columns=[*SUMMARY, "config"],
        where=[("workflow_id", "eq", row["id"]), ("status", "eq", "draft")],
        order=[("version", "desc")],
        limit=1,
    )
    published = (await _published(caller, [row["id"]])).get(row["id"])
    return numbered | {"latest_draft_version": drafts[0] if drafts else None, "published": published}


async def _with_numbers(caller: Caller, rows: Sequence[Mapping[str, Json]]) -> list[Row]:
    ids = [row["id"] for row in rows]
    latest, published = await _latest(caller, ids), await _published(caller, ids)
    return [
        {
            **row,
            "latest_version": latest.get(row["id"]),
            "published_version": published.get(row["id"], {}).get("version"),
        }
        for row in rows
    ]


async def _published(caller: Caller, ids: Sequence[str]) -> dict[str, Row]:
    rows = await caller.rows.select(
        "workflow_version",
        columns=["id", "version", "workflow_id"],
        where=[("workflow_id", "in", ids), ("status", "eq", "published")],
    )
    return {row["workflow_id"]: row for row in rows}


async def _latest(caller: Caller, ids: Sequence[str]) -> dict[str, int]:
    """Return the workflows' highest numbers: where rows come by number, a workflow's first has its highest."""
    latest: dict[str, int] = {}
    while open_ids := [each for each in ids if each not in latest]:
        rows = await caller.rows.select(
            "workflow_version",
            columns=["workflow_id", "version"],
            where=[("workflow_id", "in", open_ids)],
            order=[("version", "desc"), ("id", "desc")],
            limit=_NUMBERS_AT_ONCE,
        )
        for row in rows:
            latest.setdefault(row["workflow_id"], row["version"])
        if len(rows) < _NUMBERS_AT_ONCE:
            break
    return latest


def _one_of_a_name(name: str) -> AbstractContextManager[None]:
    return conflicting(f"There is a workflow '{name}' already.", remedy="Give it another name, or change that one.")
