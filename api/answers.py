"""What every route may answer with, for the OpenAPI description."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from api.problems import problems

__all__ = ["CREATED", "answers", "created"]

Responses = dict[int | str, dict[str, Any]]

_EVERYWHERE: Final = (400, 401, 403, 422, 429, 503, 504)
_LOCATION: Final = {"Location": {"description": "Where it is from now on.", "schema": {"type": "string"}}}
CREATED: Final[Responses] = {201: {"headers": _LOCATION}}


def answers(*more: int) -> Responses:
    """Return the problems of a route: those of every route, and `more`."""
    return problems(*sorted({*_EVERYWHERE, *more}))


def created(model: type[BaseModel]) -> Responses:
    """Return the answer 201 of a route whose usual one is another."""
    return {201: {"model": model, "description": "It was made.", "headers": _LOCATION}}
