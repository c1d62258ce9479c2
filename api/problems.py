"""What goes wrong, as the API answers it: `application/problem+json` (RFC 9457) with a code that programs may rely on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from runtime.errors import ConfigRefused, NotFound, PatchbayError, Unreachable, UsageFault
from runtime.store.row_access import RowsFault
from runtime.workflow.faults import Fault

__all__ = ["PROBLEM_TYPE", "Code", "Problem", "ProblemBody", "conflicting", "found", "of_error", "problems"]

Json = Any
PROBLEM_TYPE: Final = "application/problem+json"

Code = Literal[
    "invalid_request",
    "unauthenticated",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "not_acceptable",
    "conflict",
    "not_a_draft",
    "already_running",
    "draft_changed",
    "too_large",
    "unsupported_media_type",
    "config_has_faults",
    "idempotency_key_reused",
    "idempotency_key_in_use",
    "organization_needed",
    "too_many_requests",
    "timed_out",
    "internal_error",
    "unavailable",
]


class ProblemBody(BaseModel):
    """A problem: `code` is for programs, `detail` and `remedy` are for people; further keys depend on the code."""

    model_config = ConfigDict(extra="allow")

    type: str = Field("about:blank", description="Always about:blank; `code` tells what it is.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    code: Code = Field(description="What went wrong, for programs.")
    detail: str = Field(description="What went wrong, with its place.")
    remedy: str | None = Field(None, description="What to do about it.")
    request_id: str | None = Field(None, description="Names the request in the logs and in the audit log.")


class Problem(Exception):
    """Ends a request with a problem; `more` are further keys of its body."""

    def __init__(
        self,
        status: int,
        code: Code,
        detail: str,
        *,
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
        **more: Json,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code: Code = code
        self.detail = detail
        self.remedy = remedy
        self.headers = dict(headers or {})
        self.more = more

    def body(self, request_id: str | None) -> dict[str, Json]:
        """Return the body; what is empty is left out."""
        known = ProblemBody(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            code=self.code,
            detail=self.detail,
            remedy=self.remedy or None,
            request_id=request_id,
        )
        return known.model_dump(exclude_none=True) | self.more


def of_error(error: PatchbayError) -> Problem:
    """Return the problem that one of our own errors is; the message of each is written for people."""
    match error:
        case RowsFault():
            return _of_rows(error)
        case ConfigRefused():
            faults = [asdict(fault) for fault in error.faults if isinstance(fault, Fault)]
            return Problem(422, "config_has_faults", error.message, remedy=error.remedy, faults=faults)
        case NotFound():
            return Problem(404, "not_found", error.message)
        case UsageFault():
            return Problem(422, "invalid_request", error.message, remedy=error.remedy)
        case Unreachable():  # its message may name hosts
            return Problem(503, "unavailable", "A part that is needed cannot be reached.", remedy="Try again later.")
        case _:
            return Problem(422, "invalid_request", error.message, remedy=error.remedy)


def found(rows: Sequence[dict[str, Json]], what: str, name: str) -> dict[str, Json]:
    """Return the only row; raises the problem 404 that says what is not there (or not the caller's to see)."""
    if not rows:
        raise Problem(404, "not_found", f"There is no {what} '{name[:100]}', or it is not yours to see.")
    return rows[0]


@contextmanager
def conflicting(message: str, remedy: str) -> Iterator[None]:
    """Have rows that stand in the way of a change told as the problem 409 in these words."""
    try:
        yield
    except RowsFault as fault:
        if fault.kind != "conflict":
            raise
        raise Problem(409, "conflict", message, remedy=remedy) from fault


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` for a route that answers with these problems beside those of every route."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
        }
        for status in statuses
    }


def _of_rows(error: RowsFault) -> Problem:
    match error.kind:
        case "conflict" | "changed":
            return Problem(409, "conflict", error.message, remedy=error.remedy)
        case "forbidden":
            return Problem(403, "forbidden", "Your role may not do this.", remedy="Ask an owner of the organization.")
        case "not_found":
            return Problem(404, "not_found", error.message, remedy=error.remedy)
        case "refused":
            return Problem(422, "invalid_request", error.message, remedy=error.remedy)
