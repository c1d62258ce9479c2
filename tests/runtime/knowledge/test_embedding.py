"""Embedding providers: the local one, and an OpenAI-compatible server that misbehaves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from runtime.errors import ProviderMissing
from runtime.knowledge import embedding_service
from runtime.knowledge.embedding import LocalEmbedder, as_literal, open_embedder
from runtime.knowledge.embedding_service import EmbeddingFailed, EmbeddingService
from runtime.settings import Settings

Json = Any


class Server:
    """Answers by the scripted statuses, then well; remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.asked: list[Json] = []
        self.keys: list[str | None] = []
        self.answer: Callable[[list[str]], Json] = lambda texts: {
            "data": [{"index": n, "embedding": [float(len(text)), 1.0]} for n, text in reversed(list(enumerate(texts)))]
        }

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("Authorization"))
        if self.statuses and (status := self.statuses.pop(0)) != 200:
            return web.Response(status=status, headers={"Retry-After": "0"}, text="details that nobody is told")
        return web.json_response(self.answer(body["input"]))


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(embedding_service, "_FIRST_PAUSE_S", 0.001)
    here = Server()
    app = web.Application()
    app.router.add_post("/v1/embeddings", here.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/"
    yield here
    await runner.cleanup()


@pytest.fixture
async def service(server: Server) -> AsyncIterator[EmbeddingService]:
    service = EmbeddingService("small", key="k", base_url=server.url)
    yield service
    await service.aclose()


async def test_texts_are_embedded_in_batches_and_in_their_order(server: Server, service: EmbeddingService) -> None:
    vectors = await service.embed(["x" * (number % 7) for number in range(200)], timeout_s=10)
    assert [vector[0] for vector in vectors] == [number % 7 for number in range(200)]
    assert [len(body["input"]) for body in server.asked] == [96, 96, 8]
    assert server.asked[0]["model"] == "small"
    assert set(server.keys) == {"Bearer k"}


async def test_what_fails_in_passing_is_tried_again(server: Server, service: EmbeddingService) -> None:
    server.statuses = [429, 503, 500]
    assert await service.embed(["abc"], timeout_s=10) == [[3.0, 1.0]]
    assert len(server.asked) == 4


@pytest.mark.parametrize(("statuses", "asked"), [([401], 1), ([400], 1), ([500] * 4, 4)])
async def test_what_fails_for_good_is_told_without_the_texts(
    server: Server, service: EmbeddingService, statuses: list[int], asked: int
) -> None:
    server.statuses = list(statuses)
    with pytest.raises(EmbeddingFailed) as caught:
        await service.embed(["a private text"], timeout_s=10)
    assert str(statuses[-1]) in caught.value.message
    assert "private" not in str(caught.value)
    assert "details" not in str(caught.value)
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": []},
        {"data": [{"index": 3, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": ["x"]}]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
    ],
)
async def test_what_is_no_embedding_is_refused(server: Server, service: EmbeddingService, answer: Json) -> None:
    server.answer = lambda _texts: answer
    with pytest.raises(EmbeddingFailed):
        await service.embed(["a"], timeout_s=10)


async def test_a_server_that_is_away_or_slow_is_given_up(server: Server) -> None:
    away = EmbeddingService("small", key=None, base_url="http://127.0.0.1:1/v1")
    with pytest.raises(EmbeddingFailed, match="cannot be reached"):
        await away.embed(["a"], timeout_s=10)
    await away.aclose()
    held = asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.close()

    slow = await asyncio.start_server(hold, "127.0.0.1", 0)
    service = EmbeddingService("small", key=None, base_url=f"http://127.0.0.1:{slow.sockets[0].getsockname()[1]}")
    with pytest.raises(EmbeddingFailed, match=r"within 0\.1 s"):
        await service.embed(["a"], timeout_s=0.1)
    held.set()
    await service.aclose()
    slow.close()
    await slow.wait_closed()


async def test_the_local_model_knows_what_is_meant_in_two_languages() -> None:
    async with open_embedder(Settings.load({"PATCHBAY_EMBEDDING": "local"})) as model:
        assert isinstance(model, LocalEmbedder)
        money, hours, question = await model.embed(
            ["We pay your money back within a week.", "We open at nine.", "Bekomme ich mein Geld zurück?"], timeout_s=50
        )
    assert len(money) == 512
    dots = [sum(a * b for a, b in zip(each, question, strict=True)) for each in (money, hours)]
    assert dots[0] > dots[1] + 0.1


async def test_the_settings_name_the_provider() -> None:
    async with open_embedder(Settings.load({})) as none:
        assert none is None
    with pytest.raises(ProviderMissing, match="OPENAI_API_KEY"):
        async with open_embedder(Settings.load({"PATCHBAY_EMBEDDING": "openai:text-embedding-3-small"})):
            pass
    own = {"PATCHBAY_EMBEDDING": "openai:nomic", "PATCHBAY_EMBEDDING_BASE_URL": "http://127.0.0.1:11434/v1"}
    async with open_embedder(Settings.load(own)) as service:
        assert service is not None
        assert service.name == "openai:nomic"


@pytest.mark.parametrize("vector", [[], [0.0, 0.0], [math.nan], [math.inf, 1.0], [1.0] * 4001])
def test_a_vector_that_cannot_be_kept_is_refused(vector: list[float]) -> None:
    with pytest.raises(EmbeddingFailed):
        as_literal(vector)


def test_a_vector_is_kept_with_length_one() -> None:
    assert as_literal([3.0, 4.0]) == "[0.6,0.8]"
