"""Whether the API lives, and whether it can answer: for load balancers, without a token."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.problems import problems
from api.requests import ServicesDep
from runtime.errors import PatchbayError
from runtime.store.row_access import SERVICE

__all__ = ["router"]

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """`ok`, or why not."""

    status: Literal["ok", "unavailable"]
    detail: str | None = Field(None, description="What cannot be reached.")


@router.get("/healthz", responses=problems(429))
async def healthz() -> Health:
    """The process lives."""
    return Health(status="ok", detail=None)


@router.get("/readyz", responses={**problems(429), 503: {"model": Health, "description": "The database is away."}})
async def readyz(services: ServicesDep, response: Response) -> Health:
    """The database answers."""
    try:
        await services.access.of(SERVICE).select("organization", columns=["id"], limit=1)
    except PatchbayError:
        response.status_code = 503
        return Health(status="unavailable", detail="The database cannot be reached.")
    return Health(status="ok", detail=None)
