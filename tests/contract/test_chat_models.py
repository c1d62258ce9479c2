"""One suite for both clients of chat completions, ours and LiveKit's openai plugin, over real connections.

Where ours does better the two are told apart by `subject.lean`, so that a plugin that is mended is noticed as well.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from livekit.agents import APIConnectionError, APIConnectOptions, APIError, APIStatusError, APITimeoutError, llm
from livekit.agents.llm import LLMError, function_tool
from livekit.plugins import openai as openai_plugin
from pydantic import BaseModel

from runtime.voice.chat_completions import ChatModel
from runtime.voice.clients import Server, lease, lease_connections, release, release_connections
from tests.fakes.raw_model import CUT, DONE, Asked, Piece, RawModel, Reply, delta, event, raw_model, says, stream

pytestmark = [pytest.mark.server, pytest.mark.timeout(30)]

Json = Any
ONCE = APIConnectOptions(max_retry=0, timeout=5.0)
TWICE = APIConnectOptions(max_retry=1, retry_interval=0.01, timeout=5.0)
USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 7,
    "total_tokens": 37,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


@dataclass
class Subject:
    """Makes models of one of the two clients."""

    lean: bool
    servers: list[Server] = field(default_factory=list)

    def model(self, url: str, **options: Json) -> llm.LLM[Any]:
        server = Server(url, "sk-1")
        self.servers.append(server)
        if self.lean:
            return ChatModel(lease_connections(server), {"model": "m", **options})
        return openai_plugin.LLM(client=lease(server), **{"model": "m", **options})

    async def aclose(self) -> None:
        give_back = release_connections if self.lean else release
        for server in self.servers:
            await give_back(server)


@pytest.fixture(params=["lean", "plugin"])
async def subject(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subject]:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    made = Subject(request.param == "lean")
    yield made
    await made.aclose()


@dataclass
class Heard:
    """What came of a request."""

    text: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    usage: llm.CompletionUsage | None = None
    ids: set[str] = field(default_factory=set)


@dataclass
class Told:
    """What a model tells of itself."""

    metrics: list[Json] = field(default_factory=list)
    errors: list[LLMError] = field(default_factory=list)

    @classmethod
    def by(cls, model: llm.LLM[Any]) -> Told:
        told = cls()
        model.on("metrics_collected", told.metrics.append)
        model.on("error", told.errors.append)
        return told


def question(text: str = "Hello") -> llm.ChatContext:
    chat = llm.ChatContext.empty()
    chat.add_message(role="system", content="Help.")
    chat.add_message(role="user", content=text)
    return chat


async def _never(raw_arguments: dict[str, object]) -> None: ...


TOOLS: list[llm.Tool] = [
    function_tool(_never, raw_schema={"name": name, "description": name, "parameters": {"type": "object"}})
    for name in ("to_billing", "remember")
]


def _nothing() -> None:
    """Done at each chunk where nothing is."""


async def ask(
    model: llm.LLM[Any],
    options: APIConnectOptions = ONCE,
    at_each: Callable[[], None] = _nothing,
    **wanted: Json,
) -> Heard:
    heard = Heard()
    async with model.chat(chat_ctx=question(), conn_options=options, **wanted) as answer:
        async for chunk in answer:
            at_each()
            heard.ids.add(chunk.id)
            heard.usage = chunk.usage or heard.usage
            if chunk.delta is not None:
                heard.text += chunk.delta.content or ""
                heard.calls += [(call.call_id, call.name, call.arguments) for call in chunk.delta.tool_calls]
    return heard


def always(*pieces: Piece, **fields: Json) -> Callable[[Asked], Reply]:
    return lambda _asked: Reply(pieces, **fields)


def in_turn(*replies: Reply | None) -> Callable[[Asked], Reply | None]:
    left = iter(replies)
    return lambda _asked: next(left)


async def answered(subject: Subject, reply: Reply, **wanted: Json) -> Heard:
    async with raw_model(lambda _asked: reply) as server:
        heard = await ask(subject.model(server.url), **wanted)
        await subject.aclose()
        return heard


async def refused(subject: Subject, reply: Reply, options: APIConnectOptions = ONCE) -> APIError:
    async with raw_model(lambda _asked: reply) as server:
        with pytest.raises(APIError) as caught:
            await ask(subject.model(server.url), options)
        await subject.aclose()
    return caught.value


# ------------------------------------------------------------ streams


def cut(data: bytes, *at: int) -> list[bytes]:
    edges = [0, *at, len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def every_byte(pieces: Iterable[bytes]) -> list[bytes]:
    return [bytes([byte]) for piece in pieces for byte in piece]


WORDS = [*says("Grüße ", "aus 東京 ", "🙂."), event(delta("stop")), DONE]
TEXT = "Grüße aus 東京 🙂."


@pytest.mark.parametrize(
    "pieces",
    [
        WORDS,
        [b"".join(WORDS)],
        every_byte(WORDS),
        cut(b"".join(WORDS), b"".join(WORDS).index("🙂".encode()) + 2),
        [piece.replace(b"\n", b"\r\n") for piece in WORDS],
        every_byte(piece.replace(b"\n", b"\r\n") for piece in WORDS),
        [piece.replace(b"\n", b"\r") for piece in WORDS],
        [piece.replace(b"data: ", b"data:") for piece in WORDS],
        [b": keep-alive\n\n", WORDS[0], b":\n\n: OPENROUTER PROCESSING\n\n", *WORDS[1:]],
        [b"event: message\nid: 7\nretry: 100\n" + piece for piece in WORDS],
        [event(), *WORDS[:2], event(choices=[], obfuscation="x"), *WORDS[2:]],
        WORDS[:-1],
        WORDS[:-2],
        [*WORDS, *says("after the end")],
    ],
    ids=[
        "plain",
        "at_once",
        "each_byte",
        "within_a_character",
        "crlf",
        "crlf_each_byte",
        "cr",
        "no_space",
        "comments",
        "other_fields",
        "no_choices",
        "no_done",
        "no_finish_nor_done",
        "after_done",
    ],
)
async def test_text_arrives_however_it_is_sent(subject: Subject, pieces: list[bytes]) -> None:
    heard = await answered(subject, Reply(pieces))
    assert heard.text == TEXT
    assert heard.ids == {"chat-1"}


async def test_a_body_without_length_ends_with_the_connection(subject: Subject) -> None:
    assert (await answered(subject, Reply(WORDS, chunked=False))).text == TEXT


@pytest.mark.parametrize("alone", [True, False])
async def test_usage(subject: Subject, alone: bool) -> None:
    counted = [event(usage=USAGE)] if alone else []
    last = event(delta("stop"), **({} if alone else {"usage": USAGE}), service_tier="default")
    usage = (await answered(subject, Reply((*says("Yes."), last, *counted, DONE)))).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (30, 7, 37)
    assert (usage.prompt_cached_tokens, usage.reasoning_tokens) == (20, 2)


@pytest.mark.parametrize("details", [{}, {"prompt_tokens_details": None, "completion_tokens_details": None}])
async def test_usage_without_details(subject: Subject, details: dict[str, Json]) -> None:
    counts = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    usage = (await answered(subject, stream(*says("Yes."), usage=counts | details))).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.prompt_cached_tokens) == (3, 0)


async def test_what_a_model_thinks_aloud_is_left_out(subject: Subject) -> None:
    assert (await answered(subject, stream(*says("<th", "ink>Hm", ".</thi", "nk>", "Yes", " < 3.")))).text == "Yes < 3."


async def test_content_in_parts(subject: Subject) -> None:
    parts = event(delta(content=[{"type": "text", "text": "Yes"}, {"type": "text", "text": "."}]))
    assert (await answered(subject, stream(parts))).text == "Yes."


async def test_a_delta_that_is_none(subject: Subject) -> None:
    odd = event({"index": 0, "delta": None, "finish_reason": None})
    assert (await answered(subject, stream(odd, *says("Yes.")))).text == "Yes."


# ------------------------------------------------------------ calls of functions


def fragment(
    index: int | None, arguments: str | None = None, name: str | None = None, call_id: str | None = None
) -> Json:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    made: dict[str, Json] = {"function": function}
    made |= {} if index is None else {"index": index}
    return made | ({"id": call_id, "type": "function"} if call_id else {})


def calls(*fragments: Json) -> bytes:
    return event(delta(tool_calls=list(fragments)))


ONE = ("call_a", "to_billing", '{"customer_id": "42 71"}')
TWO = ("call_b", "remember", '{"name": "Zoë"}')
BEGUN = calls(fragment(0, "", "to_billing", "call_a"))


@pytest.mark.parametrize(
    "pieces",
    [
        [calls(fragment(0, ONE[2], "to_billing", "call_a"))],
        [BEGUN, *(calls(fragment(0, letter)) for letter in ONE[2])],
        [calls(fragment(0, None, "to_billing", "call_a")), calls(fragment(0, ONE[2]))],
        [BEGUN, *says("One moment."), calls(fragment(0, ONE[2]))],
    ],
    ids=["whole", "letters", "no_arguments_at_first", "text_between"],
)
async def test_a_call_is_put_together(subject: Subject, pieces: list[bytes]) -> None:
    heard = await answered(subject, stream(*pieces, finish="tool_calls"), tools=TOOLS)
    assert heard.calls == [ONE]


@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
async def test_calls_beside_each_other(subject: Subject, finish: str) -> None:
    pieces = [
        calls(fragment(0, "", "to_billing", "call_a")),
        *(calls(fragment(0, part)) for part in (ONE[2][:9], ONE[2][9:])),
        calls(fragment(1, "", "remember", "call_b")),
        *(calls(fragment(1, part)) for part in (TWO[2][:3], TWO[2][3:])),
    ]
    assert (await answered(subject, stream(*pieces, finish=finish), tools=TOOLS)).calls == [ONE, TWO]


async def test_calls_in_one_event(subject: Subject) -> None:
    both = calls(fragment(0, ONE[2], "to_billing", "call_a"), fragment(1, TWO[2], "remember", "call_b"))
    assert (await answered(subject, stream(both, finish="tool_calls"), tools=TOOLS)).calls == [ONE, TWO]


async def test_a_call_without_arguments(subject: Subject) -> None:
    assert (await answered(subject, stream(BEGUN, finish="tool_calls"), tools=TOOLS)).calls == [
        ("call_a", "to_billing", "")
    ]


async def test_interleaved_fragments_go_to_their_own_call(subject: Subject) -> None:
    """Better than the plugin, which puts every fragment to the call that began last."""
    pieces = [
        calls(fragment(0, "", "to_billing", "call_a"), fragment(1, "", "remember", "call_b")),
        calls(fragment(0, ONE[2][:9]), fragment(1, TWO[2][:3])),
        calls(fragment(1, TWO[2][3:])),
        calls(fragment(0, ONE[2][9:])),
    ]
    heard = await answered(subject, stream(*pieces, finish="tool_calls"), tools=TOOLS)
    assert (heard.calls == [ONE, TWO]) is subject.lean


async def test_calls_that_share_an_index(subject: Subject) -> None:
    """Better than the plugin, which forgets all but the last: some servers number every call 0."""
    pieces = [calls(fragment(0, ONE[2], "to_billing", "call_a")), calls(fragment(0, TWO[2], "remember", "call_b"))]
    heard = await answered(subject, stream(*pieces, finish="tool_calls"), tools=TOOLS)
    assert heard.calls == ([ONE, TWO] if subject.lean else [TWO])


async def test_a_name_that_comes_with_every_fragment(subject: Subject) -> None:
    """Better than the plugin, which begins anew at each."""
    pieces = [calls(fragment(0, part, "to_billing", "call_a")) for part in (ONE[2][:9], ONE[2][9:])]
    heard = await answered(subject, stream(*pieces, finish="tool_calls"), tools=TOOLS)
    assert (heard.calls == [ONE]) is subject.lean


async def test_a_call_without_an_id(subject: Subject) -> None:
    """Better than the plugin, which drops it."""
    heard = await answered(subject, stream(calls(fragment(0, ONE[2], "to_billing")), finish="tool_calls"), tools=TOOLS)
    assert [each[1:] for each in heard.calls] == ([ONE[1:]] if subject.lean else [])
    assert all(each[0] for each in heard.calls)


async def test_a_call_that_was_cut_off_by_the_limit_is_not_made(subject: Subject) -> None:
    heard = await answered(subject, stream(BEGUN, calls(fragment(0, ONE[2][:9])), finish="length"), tools=TOOLS)
    assert heard.calls == []


async def test_a_whole_call_before_the_limit_is_made(subject: Subject) -> None:
    """Better than the plugin, which drops it."""
    heard = await answered(subject, stream(BEGUN, calls(fragment(0, ONE[2])), finish="length"), tools=TOOLS)
    assert heard.calls == ([ONE] if subject.lean else [])


async def test_an_end_within_a_call_is_a_failure(subject: Subject) -> None:
    """Better than the plugin, which says nothing at all."""
    reply = Reply((BEGUN, calls(fragment(0, ONE[2][:9]))))
    if subject.lean:
        assert (await refused(subject, reply)).retryable
    else:
        assert (await answered(subject, reply, tools=TOOLS)).calls == []


# ------------------------------------------------------------ broken streams


@pytest.mark.parametrize("spoken", [False, True])
async def test_a_stream_that_breaks(subject: Subject, spoken: bool) -> None:
    heard = asyncio.Event()
    reply = Reply((*says("Well, "), heard, CUT)) if spoken else Reply((event(), CUT))
    async with raw_model(lambda _asked: reply) as server:
        model = subject.model(server.url)
        with pytest.raises(APIConnectionError) as caught:
            await ask(model, TWICE if spoken else ONCE, heard.set)
        assert not isinstance(caught.value, APITimeoutError)
        assert caught.value.retryable is not spoken
        assert len(server.completions) == 1, "what was heard is not asked for again"
        await subject.aclose()


@pytest.mark.parametrize("spoken", [False, True])
@pytest.mark.parametrize(
    "line", [b"data: {nonsense\n\n", b"data: \xff\xfe\n\n", b"data: null\n\n", b'data: {"choices": 7}\n\n']
)
async def test_what_cannot_be_read(subject: Subject, spoken: bool, line: bytes) -> None:
    fault = await refused(subject, stream(*(says("Well, ") if spoken else ()), line))
    assert isinstance(fault, APIConnectionError)
    assert fault.retryable is not spoken


@pytest.mark.parametrize("spoken", [False, True])
async def test_an_error_in_the_stream(subject: Subject, spoken: bool) -> None:
    """Better than the plugin, which keeps the server's words to itself."""
    error = {"message": "The engine is overloaded.", "type": "server_error", "code": 503}
    fault = await refused(
        subject,
        Reply((*(says("Well, ") if spoken else ()), b"data: " + json.dumps({"error": error}).encode() + b"\n\n")),
    )
    assert fault.retryable is not spoken
    if subject.lean:
        assert isinstance(fault, APIStatusError)
        assert (fault.message, fault.status_code, fault.body) == (error["message"], 503, error)
    else:
        assert isinstance(fault, APIConnectionError)


@pytest.mark.parametrize(
    "pieces", [(), (DONE,), (b": nothing\n\n",), (event(usage=USAGE), DONE), (b'{"choices": []}',)]
)
async def test_a_stream_with_no_answer_in_it(subject: Subject, pieces: tuple[bytes, ...]) -> None:
    """Better than the plugin, which takes it for an answer."""
    if subject.lean:
        assert (await refused(subject, Reply(pieces))).retryable
    else:
        assert (await answered(subject, Reply(pieces))).text == ""


async def test_an_empty_answer_is_one(subject: Subject) -> None:
    heard = await answered(subject, stream())
    assert (heard.text, heard.calls) == ("", [])


# ------------------------------------------------------------ refusals

JSON_ERROR = (json.dumps({"error": {"message": "No.", "type": "x", "code": "y"}}).encode(), "application/json")
HTML_ERROR = (b"<html>Bad gateway</html>", "text/html")


@pytest.mark.parametrize(
    "body",
    [JSON_ERROR, HTML_ERROR, (b'{"detail": "No."}', "application/json"), (b"", "text/plain")],
    ids=["json", "html", "detail", "empty"],
)
@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (404, False),
        (408, True),
        (409, False),
        (422, False),
        (429, True),
        (500, True),
        (503, True),
    ],
)
async def test_a_status(subject: Subject, status: int, retryable: bool, body: tuple[bytes, str]) -> None:
    headers = {"content-type": body[1], "x-request-id": "req-7", "retry-after": "7"}
    fault = await refused(subject, Reply((body[0],) if body[0] else (), status, headers))
    assert isinstance(fault, APIStatusError)
    assert (fault.status_code, fault.request_id, fault.retryable) == (status, "req-7", retryable)
    expected: dict[bytes, tuple[str, Json]] = {
        JSON_ERROR[0]: (f"Error code: {status} - No.", {"message": "No.", "type": "x", "code": "y"}),
        HTML_ERROR[0]: (f"Error code: {status}", "<html>Bad gateway</html>"),
        b'{"detail": "No."}': (f"Error code: {status}", {"detail": "No."}),
        b"": (f"Error code: {status}", ""),
    }
    assert (fault.message, fault.body) == expected[body[0]]


async def test_a_refusal_that_has_no_end(subject: Subject) -> None:
    """Better than the plugin, which reads what there is to read before it says anything."""
    if not subject.lean:
        pytest.skip("the plugin would wait for all of it")
    async with raw_model(always(*[b"x" * 65536] * 3, asyncio.Event(), status=500)) as server:
        with pytest.raises(APIStatusError) as caught:
            await ask(subject.model(server.url))
        await server.until(lambda: not server.open)
    assert caught.value.status_code == 500


async def test_nobody_listens(subject: Subject) -> None:
    async with raw_model(always()) as server:
        url = server.url
    with pytest.raises(APIConnectionError) as caught:
        await ask(subject.model(url))
    assert caught.value.retryable
    assert not isinstance(caught.value, APITimeoutError)


@pytest.mark.parametrize("spoken", [None, False, True])
async def test_a_server_that_falls_silent(subject: Subject, spoken: bool | None) -> None:
    """Not a byte, not a word, not the next word."""
    reply = None if spoken is None else Reply((*(says("Well, ") if spoken else (b": wait\n\n",)), asyncio.Event()))
    async with raw_model(lambda _asked: reply) as server:
        with pytest.raises(APITimeoutError) as caught:
            await ask(subject.model(server.url), APIConnectOptions(max_retry=0, timeout=0.2))
        assert caught.value.retryable is not spoken
        await server.until(lambda: not server.open)


async def test_a_redirect_is_followed(subject: Subject) -> None:
    async with raw_model(in_turn(Reply(status=307, headers={"location": "/other"}), stream(*says("Here.")))) as server:
        assert (await ask(subject.model(server.url))).text == "Here."
        assert [each.path for each in server.asked] == ["/v1/chat/completions", "/other"]
        assert server.asked[1].body == server.asked[0].body
        await subject.aclose()


# ------------------------------------------------------------ retries


@pytest.mark.parametrize(
    "first", [Reply(status=503), Reply(status=429), Reply((event(), CUT)), Reply((b"data: {\n\n",))]
)
async def test_what_may_pass_is_asked_again(subject: Subject, first: Reply) -> None:
    async with raw_model(in_turn(first, stream(*says("Here.")))) as server:
        assert (await ask(subject.model(server.url), TWICE)).text == "Here."
        await subject.aclose()


@pytest.mark.parametrize("reply", [Reply(status=401), stream(*says("Well, "), b"data: {\n\n")])
async def test_what_may_not_is_not(subject: Subject, reply: Reply) -> None:
    async with raw_model(lambda _asked: reply) as server:
        with pytest.raises(APIError):
            await ask(subject.model(server.url), TWICE)
        assert len(server.completions) == 1
        await subject.aclose()


async def test_in_the_end_it_is_given_up(subject: Subject) -> None:
    async with raw_model(always(status=503)) as server:
        model = subject.model(server.url)
        told = Told.by(model)
        with pytest.raises(APIConnectionError, match="after 2 attempts"):
            await ask(model, TWICE)
        assert [each.recoverable for each in told.errors] == [True, False]
        assert len(server.completions) == 2
        await subject.aclose()


# ------------------------------------------------------------ connections


async def test_requests_in_turn_share_a_connection(subject: Subject) -> None:
    async with raw_model(lambda _asked: stream(*says("Yes", "."))) as server:
        models = [subject.model(server.url) for _ in range(4)]
        for number in range(200):
            assert (await ask(models[number % 4])).text == "Yes."
        # The end of a body may come a moment after its last event, and nobody waits for it: then it takes another one.
        assert server.opened <= 3
        await subject.aclose()


async def test_requests_at_once_wait_for_nobody(subject: Subject) -> None:
    gate = asyncio.Event()
    async with raw_model(lambda _asked: stream(gate, *says("Yes."))) as server:
        model = subject.model(server.url)
        answers = asyncio.gather(*(ask(model) for _ in range(20)))
        await server.until(lambda: len(server.asked) == 20)
        gate.set()
        assert [each.text for each in await answers] == ["Yes."] * 20
        await subject.aclose()


@pytest.mark.parametrize("spoken", [False, True])
async def test_an_answer_that_is_not_wanted_any_more(subject: Subject, spoken: bool) -> None:
    """Its connection is closed, and nothing of it turns up in the next answer."""
    words = says("Old ") if spoken else []
    never = asyncio.Event()
    async with raw_model(in_turn(stream(*words, never, *says("news.")), stream(*says("New.")))) as server:
        model = subject.model(server.url)
        async with model.chat(chat_ctx=question(), conn_options=ONCE) as answer:
            if spoken:
                assert (await anext(answer)).delta
            else:
                await server.until(lambda: len(server.asked) == 1)
        await server.until(lambda: not server.open)
        assert (await ask(model)).text == "New."
        assert [each.connection for each in server.asked] == [1, 2]
        await subject.aclose()


async def test_a_task_that_is_cancelled(subject: Subject) -> None:
    never = asyncio.Event()
    async with raw_model(lambda _asked: stream(*says("Old "), never)) as server:
        asking = asyncio.ensure_future(ask(subject.model(server.url)))  # noqa: TID251 - it is cancelled right here
        await server.until(lambda: len(server.asked) == 1)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await server.until(lambda: not server.open)


async def test_a_connection_is_opened_beforehand(subject: Subject) -> None:
    async with raw_model(lambda _asked: stream(*says("Yes."))) as server:
        model = subject.model(server.url)
        model.prewarm()
        model.prewarm()
        warmed = model._prewarm_task
        assert warmed is not None
        await warmed
        assert (await ask(model)).text == "Yes."
        assert [(each.method, each.path, each.connection) for each in server.asked] == [
            ("GET", "/v1/models", 1),
            ("POST", "/v1/chat/completions", 1),
        ]
        await model.aclose()
        await subject.aclose()


@pytest.mark.parametrize("decide", [lambda _asked: Reply(status=404), lambda _asked: None])
async def test_a_prewarm_that_fails_says_nothing(subject: Subject, decide: Callable[[Asked], Reply | None]) -> None:
    async with raw_model(decide) as server:
        url = server.url
    model = subject.model(url)
    told = Told.by(model)
    model.prewarm()
    assert model._prewarm_task is not None
    await model._prewarm_task
    assert told.errors == []


# ------------------------------------------------------------ models beside each other


async def test_models_share_nothing_but_connections(subject: Subject) -> None:
    async with raw_model(in_turn(stream(*says("Yes."), usage=USAGE), Reply(status=400))) as server:
        one, two = subject.model(server.url), subject.model(server.url)
        first, second = Told.by(one), Told.by(two)
        await ask(one)
        with pytest.raises(APIStatusError):
            await ask(two)
        assert [each.total_tokens for each in first.metrics] == [37]
        assert (first.errors, second.metrics) == ([], [])
        assert [each.recoverable for each in second.errors] == [False]
        assert one.provider == two.provider == server.url.removeprefix("http://").removesuffix("/v1")
        await subject.aclose()


# ------------------------------------------------------------ what is sent


class Shape(BaseModel):
    """What a model is to answer in."""

    size: int


async def sent(subject: Subject, server: RawModel, options: dict[str, Json], **wanted: Json) -> Asked:
    await ask(subject.model(server.url, **options), **wanted)
    return server.asked[-1]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, {}),
        ({"temperature": 0.2, "top_p": 0.9, "max_completion_tokens": 50, "user": "u"}, {}),
        ({"model": "gpt-5-mini", "temperature": 0.2}, {}),
        ({"model": "gpt-5.4", "temperature": 0.2}, {}),
        ({"model": "gpt-5.4", "temperature": 0.2}, {"tools": TOOLS}),
        ({"model": "o3", "temperature": 0.2, "reasoning_effort": "low"}, {}),
        ({"model": "vendor/gpt-5-mini"}, {}),
        ({"service_tier": "flex", "metadata": {"a": "b"}, "verbosity": "low", "safety_identifier": "s"}, {}),
        ({"prompt_cache_key": "k", "prompt_cache_retention": "24h"}, {}),
        ({"extra_body": {"min_p": 0.1, "chat_template_kwargs": {"x": 1}}, "extra_query": {"v": "1"}}, {}),
        ({"extra_headers": {"X-Title": "t", "Authorization": "Bearer other"}}, {}),
        ({"parallel_tool_calls": False, "tool_choice": "required"}, {"tools": TOOLS}),
        ({"tool_choice": "required"}, {}),
        ({}, {"tools": TOOLS, "tool_choice": "none", "parallel_tool_calls": True}),
        ({}, {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "remember"}}}),
        ({"temperature": 0.1}, {"extra_kwargs": {"max_completion_tokens": 9, "temperature": 0.9, "seed": 7}}),
        ({}, {"response_format": Shape}),
    ],
    ids=lambda given: "-".join(given) or "nothing",
)  # fmt: skip
async def test_both_send_the_same(options: dict[str, Json], wanted: dict[str, Json]) -> None:
    asked = []
    async with raw_model(lambda _asked: stream(*says("Yes."))) as server:
        for lean in (True, False):
            subject = Subject(lean)
            asked.append(await sent(subject, server, options, **wanted))
            await subject.aclose()
    ours, plugins = asked
    assert ours.body == plugins.body
    assert ours.path == plugins.path
    assert ours.headers["authorization"] == plugins.headers["authorization"]
    assert ours.headers.get("x-title") == plugins.headers.get("x-title")
    assert ours.headers["content-type"] == "application/json"


async def test_an_option_that_the_plugin_takes_and_forgets(subject: Subject) -> None:
    """Better than the plugin: what is stored at the server is as the config says."""
    async with raw_model(lambda _asked: stream(*says("Yes."))) as server:
        asked = await sent(subject, server, {"store": False})
        assert asked.body.get("store") == (False if subject.lean else None)
        await subject.aclose()


@pytest.mark.parametrize("strict", [True, False])
async def test_a_server_that_takes_a_system_message_at_the_beginning_alone(subject: Subject, strict: bool) -> None:
    """Better than the plugin, which fails for good: another message of the system is put to the first."""
    refusal = Reply((b'{"error": {"message": "Conversation roles must alternate"}}',), 400)

    def decide(asked: Asked) -> Reply:
        others = [each for each in asked.body["messages"][1:] if each["role"] == "system"]
        return refusal if others or not strict else stream(*says("Yes."))

    async with raw_model(decide) as server:
        chat = question()
        chat.items.insert(1, llm.ChatMessage(role="system", content=["# What is known"]))
        models = [subject.model(server.url) for _ in range(2)]
        for model in models:
            answer = model.chat(chat_ctx=chat, conn_options=ONCE)
            if strict and subject.lean:
                assert (await answer.collect()).text == "Yes."
                continue
            with pytest.raises(APIStatusError, match="alternate"):
                await answer.collect()
        if subject.lean:
            assert len(server.completions) == (3 if strict else 4)
            assert server.completions[1].body["messages"][0]["content"] == "Help.\n\n# What is known"
        await subject.aclose()
