"""Requests that may be sent twice: a POST with an Idempotency-Key is done once, and answered again from what was stored."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import structlog
from fastapi import Depends, Header, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.problems import Problem, problems
from api.requests import authenticated, services
from api.services import Services
from runtime.errors import PatchbayError
from runtime.store.row_access import SERVICE, Condition, Rows, RowsFault
from runtime.tasks import spawn

__all__ = ["PatchbayRoute"]

Json = Any
Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_TABLE: Final = "idempotency_key"
_LONGEST: Final = 255
_LEASE: Final = timedelta(seconds=60)
_RENEWAL_S: Final = 20.0
_KEPT: Final = timedelta(hours=24)
_FORGOTTEN_AT_ONCE: Final = 20
_ATTEMPTS: Final = 3
_KEPT_HEADERS: Final = ("content-type", "etag", "location")
_log = structlog.get_logger("api")


async def _documented(
    _idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=_LONGEST,
            description="Any text. The same request sent again with the same key within 24 hours is not done again: "
            "it gets the first answer, with the header Idempotent-Replayed.",
        ),
    ] = None,
) -> None:
    """Say what the header is; the route reads it before anything else."""


class PatchbayRoute(APIRoute):
    """A route that refuses query keys it does not know, and whose POSTs honour the header `Idempotency-Key`.

    Answers below 500 are kept for 24 hours, but for 429 and what streams. Who dies in the middle leaves the work to the
    next request with the key, 60 seconds later.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if "POST" in (options.get("methods") or ()):
            options["dependencies"] = [*(options.get("dependencies") or ()), Depends(_documented)]
            options["responses"] = problems(409) | (options.get("responses") or {})
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        known = frozenset(_query_keys(self.dependant))

        async def once(request: Request) -> Response:
            _refuse_unknown(request, known)
            key = request.headers.get("idempotency-key", "")
            if request.method != "POST" or not 0 < len(key) <= _LONGEST:
                return await handle(request)  # a key that is none is refused there
            return await _once(request, key, handle)

        return once


def _query_keys(dependant: Dependant) -> Iterator[str]:
    yield from (each.alias for each in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_keys(inner)


def _refuse_unknown(request: Request, known: frozenset[str]) -> None:
    """Raise the problem 422 for a query key that the route does not have: a filter that was misspelt filters nothing."""
    strange = [key for key in request.query_params if key not in known]
    if strange:
        listed = ", ".join(sorted(known)) or "none"
        raise Problem(
            422,
            "invalid_request",
            f"query.{strange[0][:100]}: there is no such parameter.",
            remedy=f"Parameters here: {listed}.",
        )


async def _once(request: Request, key: str, handle: Handler) -> Response:
    principal = await authenticated(request)
    ledger = _Ledger(services(request), principal.actor, key, await _fingerprint(request))
    stored = await ledger.claim()
    if stored is not None:
        return stored
    try:
        response = await ledger.keep_leased(_answered(request, handle))
    except Exception:
        await ledger.release()  # it ends as a 500: whoever tries again need not wait
        raise
    if response.status_code >= 500 or response.status_code == 429 or getattr(response, "body", None) is None:
        await ledger.release()
    else:
        await ledger.settle(response)
    return response


async def _answered(request: Request, handle: Handler) -> Response:
    """Return the answer; a problem, too, as the application words it."""
    try:
        return await handle(request)
    except Exception as error:
        words = _words_for(request, error)
        if words is None:
            raise
        return await words(request, error)


def _words_for(request: Request, error: Exception) -> Callable[[Request, Exception], Awaitable[Response]] | None:
    known: dict[Any, Any] = request.app.exception_handlers
    return next((known[kind] for kind in type(error).__mro__ if kind in known and kind is not Exception), None)


async def _fingerprint(request: Request) -> str:
    asked = f"{request.method} {request.url.path}?{request.url.query} {request.headers.get('x-organization-id', '')}\n"
    return hashlib.sha256(asked.encode() + await request.body()).hexdigest()


@dataclass(slots=True)
class _Ledger:
    """The row of one key. `_until` is the lease this request holds: nobody else's row has the same."""

    _services: Services
    _actor: str
    _key: str
    _fingerprint: str
    _until: str = ""

    async def claim(self) -> Response | None:
        """Take the key for this request, or return what was answered before. Raises problems 409 and 422."""
        for _ in range(_ATTEMPTS):
            if await self._insert():
                await self._forget()
                return None
            found = await self._rows.select(_TABLE, where=self._mine, limit=1)
            if not found:
                continue
            if datetime.fromisoformat(found[0]["created_at"]) < datetime.now(UTC) - _KEPT:
                await self._rows.delete(
                    _TABLE, [*self._mine, ("created_at", "eq", found[0]["created_at"])], returning=["key"]
                )
                continue
            if (stored := self._stored(found[0])) is not None:
                return stored
            if await self._take_over(found[0]):
                return None
        raise _in_use(1)

    async def keep_leased(self, work: Awaitable[Response]) -> Response:
        """Return what `work` does, and renew the lease as long as it does it."""
        done = asyncio.Event()
        renewal = spawn(self._renew(done), name="idempotency lease")
        try:
            return await work
        finally:
            # Never cancelled: a lease that was renewed without our knowing would be nobody's.
            done.set()
            await asyncio.shield(renewal)

    async def settle(self, response: Response) -> None:
        """Store the answer; where the database is away the answer still goes out."""
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        body = base64.b64encode(bytes(response.body)).decode()
        answer = json.dumps({"status": response.status_code, "headers": headers, "body": body})
        token = await asyncio.to_thread(self._services.keyring.encrypt, answer)
        try:
            await self._rows.update(_TABLE, self._leased, {"answer": token}, returning=["key"])
        except PatchbayError as error:
            _log.warning("idempotent_answer_lost", error=str(error))

    async def release(self) -> None:
        """Let the next request with the key begin at once."""
        with suppress(PatchbayError):  # else its lease runs out
            await self._rows.delete(_TABLE, self._leased, returning=["key"])

    @property
    def _rows(self) -> Rows:
        return self._services.access.of(SERVICE)

    @property
    def _mine(self) -> list[Condition]:
        return [("actor", "eq", self._actor), ("key", "eq", self._key)]

    @property
    def _leased(self) -> list[Condition]:
        return [*self._mine, ("leased_until", "eq", self._until), ("answer", "is", None)]

    async def _insert(self) -> bool:
        until = _lease()
        row = {"actor": self._actor, "key": self._key, "fingerprint": self._fingerprint, "leased_until": until}
        try:
            await self._rows.insert(_TABLE, row, returning=["key"])
        except RowsFault as fault:
            if fault.kind != "conflict":
                raise
            return False
        self._until = until
        return True

    def _stored(self, row: dict[str, Json]) -> Response | None:
        """Return the answer the row holds, or None where its lease has run out."""
        if row["fingerprint"] != self._fingerprint:
            raise Problem(
                422,
                "idempotency_key_reused",
                "The Idempotency-Key was sent before, with another request.",
                remedy="Make a new key for each new request.",
            )
        if row["answer"] is not None:
            return _replayed(self._services.keyring.decrypt(row["answer"]))
        left = (datetime.fromisoformat(row["leased_until"]) - datetime.now(UTC)).total_seconds()
        if left > 0:
            raise _in_use(left)
        return None

    async def _take_over(self, row: dict[str, Json]) -> bool:
        until = _lease()
        where: list[Condition] = [*self._mine, ("leased_until", "eq", row["leased_until"]), ("answer", "is", None)]
        taken = await self._rows.update(_TABLE, where, {"leased_until": until}, returning=["key"])
        self._until = until if taken else ""
        return bool(taken)

    async def _renew(self, done: asyncio.Event) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RENEWAL_S):
                    await done.wait()
                    return
            until = _lease()
            with suppress(PatchbayError):  # there are two more tries before it runs out
                if await self._rows.update(_TABLE, self._leased, {"leased_until": until}, returning=["key"]):
                    self._until = until

    async def _forget(self) -> None:
        """Remove some of the oldest keys: more than one for each that is made."""
        before = (datetime.now(UTC) - _KEPT).isoformat()
        old = await self._rows.select(
            _TABLE,
            columns=["created_at"],
            where=[("created_at", "lt", before)],
            order=[("created_at", "asc")],
            limit=_FORGOTTEN_AT_ONCE,
        )
        if old:
            where: list[Condition] = [
                ("created_at", "gte", old[0]["created_at"]),
                ("created_at", "lte", old[-1]["created_at"]),
            ]
            await self._rows.delete(_TABLE, where, returning=["key"])


def _lease() -> str:
    return (datetime.now(UTC) + _LEASE).isoformat()


def _in_use(seconds: float) -> Problem:
    wait = max(1, min(int(seconds) + 1, 5))
    return Problem(
        409,
        "idempotency_key_in_use",
        "A request with this Idempotency-Key is still being worked on.",
        remedy=f"Ask again in {wait} seconds.",
        headers={"Retry-After": str(wait)},
    )


def _replayed(answer: str) -> Response:
    stored = json.loads(answer)
    headers = stored["headers"] | {"Idempotent-Replayed": "true"}
    return Response(base64.b64decode(stored["body"]), stored["status"], headers=headers)
