"""The API put together: routes, problems, and what every request passes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from api.description import ABOUT, TAGS, describe, operation_id
from api.gate import Bounds, Gate
from api.problems import PROBLEM_TYPE, Code, Problem, of_error
from api.routes import ROUTERS
from api.routes.health import router as health
from api.services import Services
from runtime.errors import PatchbayError

__all__ = ["create_app"]

Json = Any
_NO_JSON: Final = frozenset({"json_invalid", "model_attributes_type"})
_CODES: Final[dict[int, Code]] = {
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
}
_DETAILS: Final = {
    404: "There is nothing at this address.",
    405: "There is something at this address, but nothing that this method does.",
}


def create_app(services: Services, bounds: Bounds | None = None) -> FastAPI:
    """Return the application; whoever calls it opens and closes `services`."""
    settings = services.settings
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="Patchbay",
        version=version("patchbay"),
        description=ABOUT,
        openapi_tags=TAGS,
        generate_unique_id_function=operation_id,
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
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


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
    errors = [{"where": list(map(str, each["loc"])), "message": _said(each), "kind": each["type"]} for each in found]
    said = "; ".join(f"{'.'.join(each['where'])}: {each['message']}" for each in errors[:5])
    kinds = {each["kind"] for each in errors}
    remedy = "Send a JSON object with Content-Type: application/json." if kinds & _NO_JSON else ""
    return _answer(request, Problem(422, "invalid_request", said, remedy=remedy, errors=errors))


def _said(fault: Mapping[str, Json]) -> str:
    """Return what is wrong; of a body that is no JSON, its parser's reason too, which quotes nothing."""
    reason = fault.get("ctx", {}).get("error") if fault["type"] == "json_invalid" else None
    return f"{fault['msg']}: {reason}" if isinstance(reason, str) else str(fault["msg"])


async def _http(request: Request, error: Exception) -> Response:
    http = cast("HTTPException", error)
    code = _CODES.get(http.status_code, "invalid_request" if http.status_code < 500 else "internal_error")
    detail = _DETAILS.get(http.status_code, str(http.detail))
    return _answer(request, Problem(http.status_code, code, detail, headers=http.headers))
