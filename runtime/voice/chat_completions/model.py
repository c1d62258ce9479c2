"""LiveKit's language model over chat completions, without an SDK in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from livekit.agents import APIConnectOptions, APIError, APIStatusError, llm
from livekit.agents.inference.llm import drop_unsupported_params, min_reasoning_effort
from livekit.agents.llm import utils as llm_utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import is_given

from runtime.voice.chat_completions.answer import Answer
from runtime.voice.chat_completions.body import Bodies
from runtime.voice.chat_completions.connections import Connections, Post
from runtime.voice.chat_completions.events import Events
from runtime.voice.chat_completions.faults import FAULTS, raise_for_status, translated
from runtime.voice.chat_completions.templates import merged, wants_system_first

__all__ = ["OPTIONS", "ChatModel"]

Json = Any

OPTIONS: Final = frozenset(
    {
        "extra_body",
        "extra_headers",
        "extra_query",
        "max_completion_tokens",
        "metadata",
        "model",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "service_tier",
        "store",
        "temperature",
        "tool_choice",
        "top_p",
        "user",
        "verbosity",
    }
)
"""The options of LiveKit's openai plugin that are known here; each but `model` is sent under its own name."""
_MODEL: Final = "gpt-4.1"  # the plugin's default
_STREAMED: Final = {"stream": True, "stream_options": {"include_usage": True}}


class ChatModel(llm.LLM[Any]):
    """A model for one call: only the connections below it may be shared.

    `options` are of `OPTIONS`. A GPT that can think is told to think as little as it can, as silence is what a caller
    would hear of it.
    """

    def __init__(self, connections: Connections, options: Mapping[str, Json]) -> None:
        super().__init__()
        self.takes_notes = True  # runtime/voice/history.py: a server that cannot is told otherwise here
        self._connections = connections
        self._model = str(options.get("model", _MODEL))
        self._options = {name: value for name, value in options.items() if name != "model" and is_given(value)}
        effort = None if "/" in self._model else min_reasoning_effort(self._model)
        if effort is not None:
            self._options.setdefault("reasoning_effort", effort)
        self.bodies = Bodies()

    @property
    def connections(self) -> Connections:
        """The connections it asks over."""
        return self._connections

    @property
    def system_first(self) -> bool:
        """Whether the server takes no system message but the first, as has turned out."""
        return self._model in self._connections.system_first

    @system_first.setter
    def system_first(self, value: bool) -> None:
        known = self._connections.system_first
        (known.add if value else known.discard)(self._model)

    @property
    def model(self) -> str:
        return self._model

    @property
    def provider(self) -> str:
        """Return the server's host and port, as the plugin does."""
        return self._connections.endpoint.host

    def chat(  # noqa: PLR0913 - what LiveKit's own plugin takes
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        response_format: NotGivenOr[Any] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> ChatStream:
        """Begin a request. `extra_kwargs` are further fields of its body, `extra_headers`, `extra_query`, `extra_body`."""
        wanted: dict[str, Json] = {**(extra_kwargs if is_given(extra_kwargs) else {}), **self._options}
        if is_given(parallel_tool_calls):
            wanted["parallel_tool_calls"] = parallel_tool_calls
        if is_given(tool_choice):
            wanted["tool_choice"] = tool_choice
        if is_given(response_format):
            wanted["response_format"] = llm_utils.to_openai_response_format(response_format)
        choice = _choice(wanted.pop("tool_choice", None))
        if tools and choice is not None:
            wanted["tool_choice"] = choice
        wanted = drop_unsupported_params(self._model, wanted, tools=tools)
        return ChatStream(self, wanted, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)

    async def _prewarm_impl(self) -> None:
        await self._connections.warm()


class ChatStream(llm.LLMStream):
    """One request with its retries, which are LiveKit's own."""

    def __init__(
        self,
        model: ChatModel,
        wanted: dict[str, Json],
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(model, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._asked = model
        self._wanted = wanted

    async def _run(self) -> None:
        answer = Answer()
        try:
            await self._ask(answer)
        except APIError as fault:
            fault.retryable = fault.retryable and not answer.given
            raise
        except FAULTS as fault:
            raise translated(fault, retryable=not answer.given) from fault

    async def _ask(self, answer: Answer) -> None:
        """Ask; a server whose template takes no system message but the first is asked anew, and so from then on."""
        model = self._asked
        try:
            await self._read(answer)
        except APIStatusError as fault:
            if answer.given or model.system_first or not wants_system_first(fault, self._chat_ctx.items):
                raise
            answer.fault = None
            await self._read_merged(answer)

    async def _read_merged(self, answer: Answer) -> None:
        self._asked.system_first = True
        try:
            await self._read(answer)
        except BaseException:  # also where it was broken off: nothing is proven then
            self._asked.system_first = False
            raise

    async def _read(self, answer: Answer) -> None:
        events = Events()
        async with self._asked.connections.answer(self._post()) as reply:
            await raise_for_status(reply)
            async for piece in reply.content.iter_any():
                self._send(answer, events.feed(piece))
                if answer.done:
                    break
            else:
                self._send(answer, events.close())
        for chunk in answer.end():
            self._event_ch.send_nowait(chunk)

    def _send(self, answer: Answer, events: list[bytes]) -> None:
        for chunk in answer.take(events):
            self._event_ch.send_nowait(chunk)
        if answer.fault is not None:
            raise answer.fault

    def _post(self) -> Post:
        fields = {**self._wanted, "model": self._asked.model, **_STREAMED}
        headers, query = fields.pop("extra_headers", {}), fields.pop("extra_query", {})
        fields |= fields.pop("extra_body", {})
        items = self._chat_ctx.items
        body = self._asked.bodies.made(merged(items) if self._asked.system_first else items, self._tools, fields)
        return Post(body, self._conn_options.timeout, headers, query)


def _choice(choice: Json) -> Json:
    """Return a choice of tools in the server's words; None for what is none."""
    if isinstance(choice, Mapping):
        return {"type": "function", "function": {"name": choice["function"]["name"]}}
    return choice if choice in {"auto", "required", "none"} else None
