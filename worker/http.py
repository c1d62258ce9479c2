"""Health, readiness and metrics over HTTP, on a port of our own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from worker.address import Address
from worker.supervising.states import ProcessState

__all__ = ["healthz", "readyz", "serving"]

States = Callable[[], Sequence[ProcessState]]
Metrics = Callable[[Sequence[ProcessState]], bytes]
Body = dict[str, object]

# aiohttp's own says which release of it and of Python answers.
_BANNER = {"Server": "patchbay"}


def healthz(states: Sequence[ProcessState]) -> tuple[int, Body]:
    """Return status and body: 200 while at least one process lives and reports."""
    healthy = any(state.reporting for state in states)
    return (200 if healthy else 503), {"healthy": healthy, "processes": [_described(state) for state in states]}


def readyz(states: Sequence[ProcessState]) -> tuple[int, Body]:
    """Return status and body: 200 while at least one process takes calls; else 503 with the reasons."""
    ready = any(state.condition == "ready" for state in states)
    reasons = [f"process {state.number}: {state.why}" for state in states if state.why]
    body = {"ready": ready, "reasons": reasons, "processes": [_described(state) for state in states]}
    return (200 if ready else 503), body


@asynccontextmanager
async def serving(address: Address, states: States, metrics: Metrics) -> AsyncIterator[None]:
    """Serve on `address` until left. `metrics(states)` is called in a thread. Raises UsageFault, as `held`."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        match request.path if request.method in {"GET", "HEAD"} else "":
            case "/healthz":
                return _json(*healthz(states()))
            case "/readyz":
                return _json(*readyz(states()))
            case "/metrics":
                text = await asyncio.to_thread(metrics, states())
                return web.Response(body=text, headers={**_BANNER, "Content-Type": CONTENT_TYPE_LATEST})
            case _:
                return web.Response(status=404, text="Not found.\n", headers=_BANNER)

    server = _Server(answer)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await address.answer(server)
        yield
    finally:
        address.close()
        await runner.cleanup()


class _Handler(web.RequestHandler):
    """One connection; what is no HTTP is answered without a word about who answers, and is not worth a log line."""

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what was sent
    ) -> web.StreamResponse:
        if status >= 500:
            self.log_exception("request_failed", exc_info=exc)
        response = web.Response(status=status, headers=_BANNER)
        response.force_close()
        return response


class _Server(web.Server):
    def __init__(self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(answer)

    def __call__(self) -> web.RequestHandler:
        return _Handler(self, loop=asyncio.get_running_loop(), keepalive_timeout=75.0)


def _described(state: ProcessState) -> Body:
    told = state.status
    return {
        "process": state.number,
        "condition": state.condition,
        "calls": told.calls if told else 0,
        "max_calls": told.max_calls if told else 0,
        "restarts": state.restarts,
        "why": state.why,
    }


def _json(status: int, body: Body) -> web.Response:
    return web.Response(status=status, text=json.dumps(body) + "\n", content_type="application/json", headers=_BANNER)
