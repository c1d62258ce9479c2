"""Workflows to begin with, from `examples/`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from api.answers import answers
from api.idempotency import PatchbayRoute
from api.models.common import Listed
from api.models.templates import TemplateBody, TemplateSummary
from api.requests import CallerDep
from api.templating import template, templates

__all__ = ["router"]

router = APIRouter(tags=["templates"], route_class=PatchbayRoute)


@router.get("/templates", response_model=Listed[TemplateSummary], responses=answers())
async def list_templates(_caller: CallerDep) -> Any:
    """List the workflows to begin with."""
    return {"items": await templates(), "next": None}


@router.get("/templates/{name}", response_model=TemplateBody, responses=answers(404))
async def read_template(_caller: CallerDep, name: Annotated[str, Path(max_length=100)]) -> Any:
    """Return one with its config and its scripts."""
    return await template(name)
