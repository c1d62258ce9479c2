"""The API put together: routes, problems, and what every request passes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from api.gate import Bounds, Gate
from api.problems import PROBLEM_TYPE, Code, Problem, ProblemBody, of_error, problems
from api.routes import ROUTERS
from api.routes.health import router as health
from api.services import Services
from runtime.errors import PatchbayError

__all__ = ["create_app"]

Json = Any
_CODES: Final[dict[int, Code]] = {
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
}
_ANYWHERE: Final = (400, 401, 403, 422, 429, 503, 504)
_WITH_A_BODY: Final = (413,)
_ABOUT: Final = """
Builders, their tools and analysts work with Patchbay here.

**Who asks**: `Authorization: Bearer` with an API key (`pb_…`, from `patchbay key create`) or the access token of a signed-in
Supabase user. A user of several organizations names one in `X-Organization-Id`.

**Answers**: a resource is its row; a list is `{"items": […], "next": …}`, and `?after=` takes `next`. What goes wrong is
`application/problem+json` with a `code` for programs, a `detail` and a `remedy` for people, and the `request_id`.

**Sent twice, done once**: a POST with an `Idempotency-Key` answers the second time as it did the first, for a day.
"""


def create_app(services: Services, bounds: Bounds | None = None) -> FastAPI:
    """Return the application; whoever calls it opens and closes `services`."""
    settings = services.settings
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="Patchbay",
        version=version("patchbay"),
        description=_ABOUT,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        separate_input_output_schemas=False,
    )
    app.state.services = services
    app.add_middleware(Gate, bounds=bounds or Bounds(per_minute=settings.api_rate), origins=settings.api_origins)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.api_origins,
        allow_methods=["GET", "POST", "PATCH", "PUT", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "If-None-Match",
            "X-Organization-Id",
            "X-Request-Id",
        ],
        expose_headers=["ETag", "Idempotent-Replayed", "Location", "Retry-After", "X-Request-Id"],
    )
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(PatchbayError, _error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.include_router(health)
    for router in ROUTERS:
        app.include_router(router, prefix="/api")
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Json]:
    """Return the description with our problems in the place of FastAPI's own."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
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
    """Name the problems that any request may be answered with."""
    statuses: tuple[int, ...] = _ANYWHERE if path.startswith("/api/") else ()
    statuses += _WITH_A_BODY if "requestBody" in operation else ()
    answers = operation["responses"]
    for status, answer in problems(*statuses).items():
        answers.setdefault(str(status), answer)


def _answer(request: Request, problem: Problem) -> Response:
    body = problem.body(getattr(request.state, "request_id", None))
    return JSONResponse(body, problem.status, headers=problem.headers, media_type=PROBLEM_TYPE)


async def _problem(request: Request, error: Exception) -> Response:
    return _answer(request, cast("Problem", error))


async def _error(request: Request, error: Exception) -> Response:
    return _answer(request, of_error(cast("PatchbayError", error)))


async def _invalid(request: Request, error: Exception) -> Response:
    """Name each place; never what stood there, which may be a secret."""
    found = cast("RequestValidationError", error).errors()
    errors = [{"where": list(map(str, each["loc"])), "message": each["msg"], "kind": each["type"]} for each in found]
    said = "; ".join(f"{'.'.join(each['where'])}: {each['message']}" for each in errors[:5])
    return _answer(request, Problem(422, "invalid_request", said, errors=errors))


async def _http(request: Request, error: Exception) -> Response:
    http = cast("HTTPException", error)
    code = _CODES.get(http.status_code, "invalid_request" if http.status_code < 500 else "internal_error")
    detail = "There is nothing at this address." if http.status_code == 404 else str(http.detail)
    return _answer(request, Problem(http.status_code, code, detail, headers=http.headers))
