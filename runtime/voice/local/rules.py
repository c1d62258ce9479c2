"""A deterministic stand-in for a language model, for demos and tests: no service, no key, no understanding."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from livekit.agents import llm
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr

from runtime.voice.analysis_names import RECORD
from runtime.voice.local.rules_analysis import analysed
from runtime.voice.local.rules_answer import decide
from runtime.voice.local.rules_turn import Answer
from runtime.voice.local.rules_values import prepare
from runtime.voice.local.rules_view import View, read_view

__all__ = ["RulesLLM"]

Json = Any

_CHARACTERS_A_TOKEN = 4
_PIECE = re.compile(r"\S+\s*")


class RulesLLM(llm.LLM[Any]):
    """Follows workflows whose paths carry `examples`, and says honestly what it cannot do.

    It reads what a model gets and nothing else: the system prompt, the history and the functions' schemas. The same
    input gives the same answer. English only. `delay_s` is waited before the first token, `token_delay_s` before each
    further word; both in seconds.
    """

    def __init__(self, *, delay_s: float = 0.0, token_delay_s: float = 0.0) -> None:
        super().__init__()
        self.takes_notes = True
        self.delay_s = max(0.0, delay_s)
        self.token_delay_s = max(0.0, token_delay_s)

    @property
    def model(self) -> str:
        return "rules"

    @property
    def provider(self) -> str:
        return "local"

    def prewarm(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Build what the first turn would wait for; nothing is left to be done later."""
        del loop
        prepare()

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        """Return the answer as a stream of words, then the function calls, then the usage (4 characters a token)."""
        del extra_kwargs
        return _RulesStream(
            self,
            chat_ctx=chat_ctx,
            tools=tools or [],
            conn_options=conn_options,
            choice=tool_choice or "auto",
            parallel=parallel_tool_calls is not False,
        )


class _RulesStream(llm.LLMStream):
    def __init__(
        self,
        owner: RulesLLM,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
        choice: llm.ToolChoice,
        parallel: bool,
    ) -> None:
        super().__init__(owner, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._owner = owner
        self._choice = choice
        self._parallel = parallel

    async def _run(self) -> None:
        await asyncio.sleep(self._owner.delay_s)
        view = read_view(self._chat_ctx, self._tools)
        answer = self._answer(view)
        request = _identify(self._chat_ctx)
        for number, piece in enumerate(_PIECE.findall(answer.text)):
            if number and self._owner.token_delay_s:
                await asyncio.sleep(self._owner.token_delay_s)
            self._send(request, llm.ChoiceDelta(role="assistant", content=piece))
        calls = answer.calls if self._parallel else answer.calls[-1:]
        for number, call in enumerate(calls):
            told = llm.FunctionToolCall(name=call.name, arguments=call.as_json, call_id=f"call_{request}_{number}")
            self._send(request, llm.ChoiceDelta(role="assistant", tool_calls=[told]))
        self._event_ch.send_nowait(llm.ChatChunk(id=request, usage=_usage(view, answer)))

    def _answer(self, view: View) -> Answer:
        must_call = _named(self._choice)
        if must_call == RECORD and (record := view.function(RECORD)) is not None:
            return analysed(record, "\n".join(map(_raw_text, self._chat_ctx.items)))
        return decide(view, may_call=self._choice != "none", must_call=must_call)

    def _send(self, request: str, delta: llm.ChoiceDelta) -> None:
        self._event_ch.send_nowait(llm.ChatChunk(id=request, delta=delta))


def _named(choice: llm.ToolChoice) -> str | None:
    """Return the function that the model is told to call."""
    function = choice.get("function") if isinstance(choice, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None


def _raw_text(item: llm.ChatItem) -> str:
    """Return what a user message says, unshortened: a transcript is longer than any turn."""
    return (item.raw_text_content or "") if isinstance(item, llm.ChatMessage) and item.role == "user" else ""


def _identify(chat_ctx: llm.ChatContext) -> str:
    """Return an id that is the same for the same history, and new for each that has grown."""
    last = chat_ctx.items[-1].id if chat_ctx.items else ""
    return hashlib.blake2b(f"{len(chat_ctx.items)}:{last}".encode(), digest_size=8).hexdigest()


def _usage(view: View, answer: Answer) -> llm.CompletionUsage:
    read = len(view.system) + sum(len(getattr(item, "text", "")) for item in view.items)
    read += sum(len(function.name) + len(function.description) for function in view.functions)
    said = len(answer.text) + sum(len(call.name) + len(call.as_json) for call in answer.calls)
    prompt, completion = -(-read // _CHARACTERS_A_TOKEN), -(-said // _CHARACTERS_A_TOKEN)
    return llm.CompletionUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
