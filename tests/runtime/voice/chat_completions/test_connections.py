"""Connections that are shared, guarded and kept."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from runtime.addresses import AddressRefused, nothing_private
from runtime.voice.chat_completions import connections
from runtime.voice.chat_completions.connections import Connections, Endpoint, Post
from tests.fakes.raw_model import Asked, RawModel, Reply, raw_model, says, stream

pytestmark = [pytest.mark.server, pytest.mark.timeout(20)]


def allow(_host: str, _port: int) -> bool:
    return True


@asynccontextmanager
async def served(
    decide: Callable[[Asked], Reply | None], guard: Callable[[str, int], bool] | None = None
) -> AsyncIterator[tuple[RawModel, Connections]]:
    async with raw_model(decide) as server:
        made = Connections(
            Endpoint(server.url, {"authorization": "Bearer k"}), ssl.create_default_context(), guard=guard
        )
        yield server, made
        await made.aclose()


async def read(made: Connections) -> bytes:
    async with made.answer(Post(b"{}", 5.0)) as reply:
        return await reply.read()


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254"])
async def test_a_private_address_is_not_connected_to(host: str) -> None:
    made = Connections(Endpoint(f"http://{host}:9/v1", {}), ssl.create_default_context(), guard=nothing_private)
    with pytest.raises(AddressRefused):
        await made.warm()
    with pytest.raises(AddressRefused):
        await read(made)
    await made.aclose()


async def test_a_guarded_server_redirects_nowhere() -> None:
    moved = Reply(status=307, headers={"location": "/elsewhere"})
    async with served(lambda _asked: moved, allow) as (server, made):
        async with made.answer(Post(b"{}", 5.0)) as reply:
            assert reply.status == 307
        assert len(server.asked) == 1


async def test_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with served(lambda _asked: stream(*says("Yes.")), allow) as (_server, made):
        assert b"Yes." in await read(made)


async def test_a_connection_that_was_just_used_needs_no_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(lambda _asked: stream(*says("Yes."))) as (server, made):
        await made.warm()
        await made.warm()
        await read(made)
        await made.warm()
        assert [each.method for each in server.asked] == ["GET", "POST"]
        monkeypatch.setattr(connections, "_FRESH_S", -1.0)
        await made.warm()
        assert [each.method for each in server.asked] == ["GET", "POST", "GET"]
        assert server.opened == 1


async def test_while_one_is_in_use_another_is_opened() -> None:
    gate = asyncio.Event()
    async with served(lambda _asked: stream(gate, *says("Yes."))) as (server, made):
        async with made.answer(Post(b"{}", 5.0)) as reply:
            await made.warm()
            gate.set()
            await reply.read()
        assert server.opened == 2


async def test_a_body_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_DRAIN_S", 0.05)
    never = asyncio.Event()
    async with served(lambda _asked: stream(*says("Yes."), never)) as (server, made):
        async with made.answer(Post(b"{}", 5.0)) as reply:
            await reply.content.readany()
        await server.until(lambda: not server.open)


async def test_closing_ends_what_is_being_drained() -> None:
    never = asyncio.Event()
    async with served(lambda _asked: stream(*says("Yes."), never)) as (server, made):
        async with made.answer(Post(b"{}", 5.0)) as reply:
            await reply.content.readany()
        await made.aclose()
        await made.aclose()
        assert made.closed
        await server.until(lambda: not server.open)


def test_a_key_is_in_no_text() -> None:
    endpoint = Endpoint("https://user:secret@api.example:8443/v1", {"authorization": "Bearer sk-1"})
    assert "sk-1" not in repr(endpoint)
    assert endpoint.host == "api.example:8443"
