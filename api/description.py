"""The OpenAPI description: what FastAPI gathers, with our problems, tags and words in the place of its own."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.problems import ProblemBody, problems

__all__ = ["ABOUT", "TAGS", "describe", "operation_id"]

Json = Any
_ANYWHERE: Final = (400, 401, 403, 422, 429, 503, 504)
_WITH_A_BODY: Final = (413,)
_FASTAPIS: Final = "Successful Response"
ABOUT: Final = """
Builders, their tools and analysts work with Patchbay here.

**Who asks**: `Authorization: Bearer` with an API key (`pb_…`, from `patchbay key create`) or the access token of a signed-in
Supabase user. A user of several organizations names one in `X-Organization-Id`.

**Answers**: a resource is its row; a list is `{"items": […], "next": …}`, and `?after=` takes `next`. What goes wrong is
`application/problem+json` with a `code` for programs, a `detail` and a `remedy` for people, and the `request_id`.

**Sent twice, done once**: a POST with an `Idempotency-Key` answers the second time as it did the first, for a day.

**To begin with**: make a workflow from a template, test its draft by chat, publish it.
"""
TAGS: Final[list[dict[str, Json]]] = [
    {"name": "workflows", "description": "What is built: each has numbered versions, one of which answers calls."},
    {"name": "versions", "description": "A workflow's config. A draft may be changed; what is published never is."},
    {"name": "templates", "description": "The examples that come with Patchbay, to begin with."},
    {
        "name": "tests",
        "description": "Test calls of any version by chat and by voice, run by the engine that answers telephones.",
    },
    {"name": "sessions", "description": "Calls and tests, and everything that happened in them as numbered events."},
    {"name": "live", "description": "Events while they happen, over WebSocket."},
    {
        "name": "analytics",
        "description": "What calls came to: funnel, paths, variables, tools, latency, cost. Tests are left out.",
    },
    {"name": "knowledge", "description": "Documents that agents look things up in."},
    {"name": "webhooks", "description": "What was sent after calls, and what became of it."},
    {"name": "variables", "description": "Values and secrets that all workflows of the organization share."},
    {"name": "phone numbers", "description": "Which workflow answers which number."},
    {"name": "organizations", "description": "The tenants: name, default workflow, retention."},
    {"name": "members", "description": "Who belongs to the organization, and as what."},
    {"name": "keys", "description": "API keys for programs; each is shown once."},
    {"name": "audit log", "description": "Who changed what, and when."},
    {"name": "health", "description": "For load balancers; no token is asked for."},
]


def operation_id(route: APIRoute) -> str:
    """Return the name of the function that answers, which a generated client calls its own by."""
    return route.name


def describe(app: FastAPI) -> dict[str, Json]:
    """Return the description, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            license_info=app.license_info,
        )
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                _document_common(path, operation)
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas["ProblemBody"] = ProblemBody.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = schema
    return app.openapi_schema


def _document_common(path: str, operation: dict[str, Json]) -> None:
    """Name the problems that any request may be answered with, and word the rest as we do."""
    statuses: tuple[int, ...] = _ANYWHERE if path.startswith("/api/") else ()
    statuses += _WITH_A_BODY if "requestBody" in operation else ()
    answers = operation["responses"]
    for status, answer in problems(*statuses).items():
        answers.setdefault(str(status), answer)
    for status, answer in answers.items():
        if answer.get("description") == _FASTAPIS:
            answer["description"] = HTTPStatus(int(status)).phrase
    operation["tags"] = operation.get("tags", [])[-1:]  # a route's own, beside its router's, would show it twice
    operation["summary"] = operation["summary"].capitalize()
