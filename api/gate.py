"""What every request passes before a route sees it: its name, its size, its pace and its time."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import structlog
from fastapi.responses import JSONResponse
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import PROBLEM_TYPE, Problem

__all__ = ["Bounds", "Gate"]

Json = Any
T = TypeVar("T")

_log = structlog.get_logger("api")
_GIVEN_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_CALLERS_AN_ADDRESS: Final = 20
_QUIET: Final = frozenset({"/healthz", "/readyz"})
_SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a request may be, how many a minute one caller may send, and how long one may take.

    `body_bytes` and `timeout_s` hold for every path but those that a pattern of `large` or `long` names. A body is whole
    within `body_s` everywhere: it is read before anybody knows whose it is.
    """

    body_bytes: int = 2 * 1024 * 1024
    body_s: float = 60.0
    timeout_s: float = 30.0
    per_minute: int = 600
    large: Mapping[str, int] = field(default_factory=lambda: {r"/documents/.+$": 10 * 1024 * 1024})
    long: Mapping[str, float] = field(default_factory=lambda: {r"/test/chat$": 600.0, r"/documents/.+$": 120.0})


class Gate:
    """An ASGI middleware around the whole application, sockets included.

    Each request has a name, `X-Request-Id` (the caller's own where it brings one), in its answer, in every log line and
    in what the database records. One line of log sums a request up; no header, query or body is in it.
    """

    def __init__(self, app: ASGIApp, bounds: Bounds, origins: tuple[str, ...]) -> None:
        self._app = app
        self._bounds = bounds
        self._origins = origins
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(bounds.per_minute)
        self._address_rate = RateLimitItemPerMinute(_CALLERS_AN_ADDRESS * bounds.per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _GIVEN_ID.fullmatch(given) else str(uuid.uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        passage = _Passage(scope, receive, send, request_id)
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._pass(passage, headers)
            finally:
                passage.told()

    async def _pass(self, passage: _Passage, headers: Headers) -> None:
        try:
            await self._admit(passage.scope, headers)
            if passage.scope["type"] == "websocket":
                await self._app(passage.scope, passage.receive, passage.send)
                return
            passage.limit(
                _of_path(passage.path, self._bounds.large, self._bounds.body_bytes), self._bounds.body_s, headers
            )
            await self._in_time(passage)
            passage.refuse_body()
        except Problem as problem:
            await passage.answer(problem)
        except Exception:
            _log.exception("request_failed", path=passage.path)
            if passage.started:
                raise
            await passage.answer(
                Problem(500, "internal_error", "Something went wrong here.", remedy="Tell the operator the request_id.")
            )

    async def _admit(self, scope: Scope, headers: Headers) -> None:
        """Let in who is not too quick and no stranger's page."""
        origin = headers.get("origin")
        if scope["type"] == "websocket" and origin and not self._is_own(origin, headers.get("host", "")):
            raise Problem(
                403, "forbidden", "This origin may not open a socket here.", remedy="Name it in PATCHBAY_API_ORIGINS."
            )
        if scope["path"] in _QUIET:
            return
        client = scope.get("client")
        address = client[0] if client else "nobody"
        await self._count(self._address_rate, address)  # so that a new token for each request is no way round
        if token := headers.get("authorization"):
            await self._count(self._rate, hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest())
        else:
            await self._count(self._rate, f"without a token from {address}")

    async def _count(self, rate: RateLimitItem, who: str) -> None:
        if await self._limiter.hit(rate, who):
            return
        reset, _ = await self._limiter.get_window_stats(rate, who)
        wait = max(1, int(reset - time.time()) + 1)
        raise Problem(
            429,
            "too_many_requests",
            f"More than {rate.amount} requests in a minute.",
            remedy=f"Wait {wait} seconds.",
            headers={"Retry-After": str(wait)},
        )

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            place = urlsplit(origin).netloc
        except ValueError:  # an address in brackets that is none
            return False
        return origin.rstrip("/") in self._origins or place == host

    async def _in_time(self, passage: _Passage) -> None:
        """Bound the time to the beginning of the answer: what streams may go on."""
        seconds = _of_path(passage.path, self._bounds.long, self._bounds.timeout_s)
        try:
            async with asyncio.timeout(seconds) as bound:
                passage.on_start = lambda: bound.reschedule(None)
                await self._app(passage.scope, passage.receive, passage.send)
        except TimeoutError:
            if passage.started:
                raise
            raise Problem(
                504, "timed_out", f"This took longer than {seconds:g} seconds.", remedy="Ask for less, or try again."
            ) from None
        finally:
            passage.on_start = _nothing  # a timeout that is over cannot be lifted


class _Passage:
    """One request on its way: what was sent of its answer, and how much of its body came."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self.started = False
        self._refused: Problem | None = None
        self.on_start = _nothing
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._status = 0
        self._left: int | None = None
        self._whole_until: float | None = None
        self._began = time.perf_counter()

    def limit(self, most: int, seconds: float, headers: Headers) -> None:
        """Bound the body's size and time; raises the problem 413 where it says at once that it is larger."""
        self._left = most
        self._whole_until = asyncio.get_running_loop().time() + seconds
        said = headers.get("content-length", "0")
        if said.isdigit() and int(said) > most:
            raise _too_large(most)

    def refuse_body(self) -> None:
        """Raise the problem 413 or 504 where the body was too large or too slow, whatever the application made of that."""
        if self._refused is not None and not self.started:
            raise self._refused

    async def receive(self) -> Message:
        try:
            async with asyncio.timeout_at(self._whole_until):
                message = await self._receive()
        except TimeoutError:
            raise self._refusing(_too_slow()) from None
        if message["type"] == "http.request" and self._left is not None:
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise self._refusing(_too_large(None))
        if not message.get("more_body"):
            self._whole_until = None  # what comes now is that the caller has gone
        return message

    def _refusing(self, problem: Problem) -> Problem:
        # FastAPI turns whatever is raised here into a 400 of its own, which is not sent on then.
        self._refused = problem
        return problem

    async def send(self, message: Message) -> None:
        if self._refused is not None and not self.started:
            return
        await self._sent(message)

    async def _sent(self, message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.http.response.start"}:
            self.started = True
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            for name, value in _SAFE.items():
                headers.setdefault(name, value)
            self.on_start()
        elif message["type"] == "websocket.accept":
            self.started, self._status = True, 101
        await self._send(message)

    async def answer(self, problem: Problem) -> None:
        """Answer with the problem; a socket that is open already is closed instead."""
        if self.scope["type"] == "websocket":
            self._status = problem.status
            await self._send({"type": "websocket.close", "code": 4000 + problem.status, "reason": problem.code})
            return
        response = JSONResponse(
            problem.body(self._request_id), problem.status, headers=problem.headers, media_type=PROBLEM_TYPE
        )
        await response(self.scope, self.receive, self._sent)

    def _template(self) -> str | None:
        """Return the route's path with the names of its parameters: what is in their place may be a telephone number."""
        path: str | None = getattr(self.scope.get("route"), "path", None)
        if path is None or path.startswith("/api/") or not self.path.startswith("/api/"):
            return path
        return f"/api{path}"

    def told(self) -> None:
        """Sum the request up in one line."""
        if self.path in _QUIET:
            return
        _log.info(
            "request",
            method=self.scope.get("method", "WS"),
            route=self._template(),
            status=self._status,
            ms=round(1000 * (time.perf_counter() - self._began), 1),
            actor=getattr(self.scope.get("state", {}).get("principal"), "actor", None),
        )


def _of_path(path: str, special: Mapping[str, T], usual: T) -> T:
    return next((value for pattern, value in special.items() if re.search(pattern, path)), usual)


def _too_large(most: int | None) -> Problem:
    size = f" than {most // 1024 // 1024} MiB" if most else ""
    return Problem(413, "too_large", f"The body is larger{size or ' than it may be'}.")


def _too_slow() -> Problem:
    return Problem(504, "timed_out", "The body took too long to come.", headers={"Connection": "close"})


def _nothing() -> None:
    """Nobody waits for the answer's beginning."""
