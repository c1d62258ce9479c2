"""What every request passes: its name, its size, its pace, its time, and what it may learn from an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse
from starlette.types import Message
from structlog.testing import capture_logs

from api.app import create_app
from api.gate import Bounds
from api.problems import Problem
from runtime.errors import StoreUnreachable
from runtime.settings import Settings

Client = Callable[..., httpx.AsyncClient]


class Nobody:
    """Services that no route here needs."""

    settings = Settings.model_validate({"PATCHBAY_API_ORIGINS": "https://app.acme.example"})


@pytest.fixture
def client() -> Client:
    def make(bounds: Bounds | None = None, address: str = "198.51.100.7") -> httpx.AsyncClient:
        app = create_app(Nobody(), bounds)  # type: ignore[arg-type]
        _routes(app)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://api.test")

    return make


def _routes(app: FastAPI) -> None:
    _that_read(app)
    _that_take_time(app)
    _that_fail(app)


def _that_read(app: FastAPI) -> None:
    @app.post("/echo")
    async def echo(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.post("/echo/json")
    async def echo_json(body: dict[str, str]) -> dict[str, str]:
        return body


def _that_take_time(app: FastAPI) -> None:
    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(30)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(5):
                await asyncio.sleep(0.05)
                yield b"x"

        return StreamingResponse(parts())


def _that_fail(app: FastAPI) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret is 4711")

    @app.get("/away")
    async def away() -> None:
        raise StoreUnreachable("The database db.internal:5432 cannot be used.")

    @app.get("/refused")
    async def refused() -> None:
        raise Problem(409, "conflict", "It is there already.", remedy="Take another.", other="kept")


async def test_a_request_has_a_name_in_its_answer_and_in_the_logs(client: Client) -> None:
    async with client() as http:
        with capture_logs(processors=[_merged]) as logs:
            named = await http.get("/refused", headers={"X-Request-Id": "trace-1.a:b_c"})
            nameless = await http.get("/refused", headers={"X-Request-Id": "a b\tc"})
    assert named.headers["x-request-id"] == named.json()["request_id"] == "trace-1.a:b_c"
    assert len(nameless.headers["x-request-id"]) == 36
    (line, other) = [entry for entry in logs if entry["event"] == "request"]
    assert (line["request_id"], line["status"], line["method"], line["route"]) == (
        "trace-1.a:b_c",
        409,
        "GET",
        "/refused",
    )
    assert other["request_id"] == nameless.headers["x-request-id"]


def _merged(logger: object, method: str, event: dict[str, object]) -> dict[str, object]:
    import structlog  # noqa: PLC0415 - for this one processor

    return structlog.contextvars.merge_contextvars(logger, method, event)  # type: ignore[arg-type, return-value]


async def test_a_problem_says_what_and_what_to_do(client: Client) -> None:
    async with client() as http:
        answer = await http.get("/refused")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["code"], body["detail"], body["remedy"], body["other"]) == (
        "conflict",
        "It is there already.",
        "Take another.",
        "kept",
    )


@pytest.mark.parametrize(
    ("path", "status", "code"), [("/broken", 500, "internal_error"), ("/away", 503, "unavailable")]
)
async def test_what_goes_wrong_inside_is_not_told(client: Client, path: str, status: int, code: str) -> None:
    async with client() as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "4711" not in answer.text
    assert "db.internal" not in answer.text


async def test_an_address_without_a_route_and_a_wrong_method(client: Client) -> None:
    async with client() as http:
        assert (await http.get("/api/nothing")).json()["code"] == "not_found"
        assert (await http.delete("/echo")).json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/echo", "/echo/json"])
@pytest.mark.parametrize("said", [True, False])
async def test_a_body_that_is_too_large(client: Client, path: str, said: bool) -> None:
    body = json.dumps({"text": "x" * 2000}).encode()

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 100):
            yield body[at : at + 100]

    async with client(Bounds(body_bytes=1000)) as http:
        headers = {"Content-Type": "application/json"}
        answer = await http.post(path, content=body if said else parts(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert (await http.post("/echo", content=body[:1000])).json() == {"size": 1000}


@pytest.mark.parametrize("path", ["/echo", "/echo/json"])
async def test_a_body_that_does_not_come(client: Client, path: str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    headers = {"Content-Type": "application/json"}
    async with client(Bounds(body_s=0.1, long={r"^/echo": 30.0})) as http:
        answer = await http.post(path, content=parts(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (504, "timed_out")
        assert (await http.get("/stream")).text == "xxxxx", "without a body nothing is waited for"


async def test_some_paths_take_more(client: Client) -> None:
    async with client(Bounds(body_bytes=10, large={r"^/echo$": 100})) as http:
        assert (await http.post("/echo", content=b"x" * 100)).status_code == 200
        assert (await http.post("/echo", content=b"x" * 101)).status_code == 413
        assert (await http.post("/echo/json", content=b"x" * 11)).status_code == 413


async def test_what_takes_too_long_is_given_up(client: Client) -> None:
    async with client(Bounds(timeout_s=0.1)) as http:
        answer = await http.get("/slow")
        assert (answer.status_code, answer.json()["code"]) == (504, "timed_out")
        assert (await http.get("/stream")).text == "xxxxx", "what has begun to answer goes on"


async def test_a_caller_is_slowed_down_and_others_are_not(client: Client) -> None:
    async with client(Bounds(per_minute=3)) as http:
        mine, other = {"Authorization": "Bearer mine"}, {"Authorization": "Bearer other"}
        assert [(await http.get("/refused", headers=mine)).status_code for _ in range(4)] == [409, 409, 409, 429]
        answer = await http.get("/refused", headers=mine)
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert answer.json()["code"] == "too_many_requests"
        assert (await http.get("/refused", headers=other)).status_code == 409


async def test_a_new_token_for_each_request_is_no_way_round(client: Client) -> None:
    async with client(Bounds(per_minute=1)) as http:
        statuses = [
            (await http.get("/refused", headers={"Authorization": f"Bearer {n}"})).status_code for n in range(21)
        ]
    assert statuses == [409] * 20 + [429]


async def test_only_named_origins_may_ask_from_a_browser(client: Client) -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with client() as http:
        known = await http.options("/echo", headers={"Origin": "https://app.acme.example", **preflight})
        stranger = await http.options("/echo", headers={"Origin": "https://evil.example", **preflight})
        plain = await http.get("/refused", headers={"Origin": "https://evil.example"})
    assert known.headers["access-control-allow-origin"] == "https://app.acme.example"
    assert "access-control-allow-credentials" not in known.headers
    assert "access-control-allow-origin" not in stranger.headers
    assert "access-control-allow-origin" not in plain.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "http://[", "null"])
async def test_a_strangers_page_opens_no_socket(origin: str) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/api/live",
        "headers": [(b"host", b"api.test"), (b"origin", origin.encode())],
        "client": None,
    }
    await create_app(Nobody())(scope, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 4403, "reason": "forbidden"}]


async def test_answers_are_not_kept_and_not_framed(client: Client) -> None:
    async with client() as http:
        headers = (await http.get("/refused")).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


async def test_the_description_and_its_page_need_nobody_else(client: Client) -> None:
    async with client() as http:
        page = (await http.get("/docs")).text
        described = (await http.get("/openapi.json")).json()
        for script in ("swagger-ui-bundle.js", "swagger-ui.css"):
            assert (await http.get(f"/static-offline-docs/{script}")).status_code == 200
    assert "https://" not in page.replace("https://api.test", "")
    assert described["info"]["title"] == "Patchbay"
    assert "ProblemBody" in described["components"]["schemas"]
    assert "HTTPValidationError" not in described["components"]["schemas"]
