"""Has a workflow's own model read a call that is over: a summary, an outcome and typed fields, within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import structlog
from livekit.agents import APIConnectOptions, APIError, APIStatusError, APITimeoutError, inference, llm
from livekit.agents.types import NOT_GIVEN, NotGivenOr

from runtime.errors import ConfigRefused, PatchbayError, ProviderMissing, Unreachable
from runtime.session.after_call_ports import Analysis, EndedCall
from runtime.session.ports import Clock, WorkspaceVariableRow
from runtime.voice.analysis_answer import Reading, read_answer
from runtime.voice.analysis_names import RECORD
from runtime.voice.analysis_request import Request, request_of
from runtime.voice.analysis_transcript import anything_said
from runtime.voice.chat_completions import ChatModel
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.pipeline import Providers
from runtime.voice.providers import parameters

__all__ = ["ModelAnalyst", "OpenProviders", "workshop_providers"]

OpenProviders: TypeAlias = Callable[[EndedCall], Awaitable[Providers]]
"""Makes the providers of one ended call, which the analyst closes; raises PatchbayError where it cannot."""
Workspace: TypeAlias = Callable[[str], Awaitable[Sequence[WorkspaceVariableRow]]]
"""Reads an organization's variables, secrets as stored."""

_TIMEOUT_S: Final = 30.0
_ASKED: Final = 2
"""Requests to the model about one call: the second tells it the faults of the first, or follows a passing failure."""
_OUTPUT_TOKENS: Final = 4000
_OUTPUT_CHARACTERS: Final = 20_000  # for a model that takes no limit
_LIMITS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_REFUSED: Final = frozenset({400, 422})

_log = structlog.get_logger("analyst")


class ModelAnalyst:
    """Asks the model of each call's entry agent; at most 2 requests and 30 s a call.

    Error codes: `nothing_asked`, `nothing_said` (no model was asked), `provider_missing`, `provider_refused`,
    `unreachable`, `timeout`, `model_failed`, `no_answer`, `invalid_answer` (what is valid of it is there), `failed`.
    """

    def __init__(self, providers: OpenProviders, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._providers = providers
        self._timeout_s = timeout_s

    async def analyse(self, call: EndedCall) -> Analysis:
        """Return what the call came to. Never raises; a failure is an `error_code`."""
        request = request_of(call)
        if request is None:
            return _unasked("nothing_asked")
        if not anything_said(call.events):
            return _unasked("nothing_said")
        asking: _Asking | None = None
        try:
            async with asyncio.timeout(self._timeout_s), self._opened(call) as providers:
                asking = _Asking(providers.llm(call.workflow.entry), request)
                code = await asking.run()
        except Exception as fault:  # noqa: BLE001 - a plugin may raise anything, and the call's webhooks wait for us
            code = _code_of(fault)
            reason = fault.message if isinstance(fault, PatchbayError) else type(fault).__name__
            _log.warning("analysis_failed", session_id=call.row.id, code=code, reason=reason)
        return _unasked(code) if asking is None else asking.analysis(call, code)

    @asynccontextmanager
    async def _opened(self, call: EndedCall) -> AsyncIterator[Providers]:
        providers = await self._providers(call)
        try:
            yield providers
        finally:
            await providers.aclose()


def workshop_providers(
    workshop: Workshop, workspace: Workspace, clock: Clock, *, stored: bool = True, offline: bool = False
) -> OpenProviders:
    """Return what makes providers as the calls of `workshop` get theirs, under the same rules on keys and addresses.

    `stored` and `offline` are as in `Ordered`.
    """

    async def opened(call: EndedCall) -> Providers:
        variables = await workspace(call.row.organization_id)
        ordered = Ordered(
            workflow=call.workflow, row=call.row, clock=clock, workspace=variables, stored=stored, offline=offline
        )
        return workshop.providers(ordered)

    return opened


@dataclass(slots=True)
class _Heard:
    """One answer as it came: the function's arguments, None where the model did not call it."""

    arguments: str | None = None
    length: int = 0
    usage: llm.CompletionUsage | None = None

    def note(self, chunk: llm.ChatChunk) -> None:
        self.usage = chunk.usage or self.usage
        if chunk.delta is None:
            return
        self.length += len(chunk.delta.content or "")
        for call in chunk.delta.tool_calls:
            self.length += len(call.arguments)
            if call.name == RECORD and self.arguments is None:
                self.arguments = call.arguments


class _Asking:
    """The requests about one call, what they cost, and the best of what they brought."""

    def __init__(self, model: llm.LLM[Any], request: Request) -> None:
        self._model = model
        self._request = request
        self._chat = request.chat_context()
        self._function = request.function()
        self._limit = _output_limit(model)
        self._reading: Reading | None = None
        self._input_tokens = 0
        self._output_tokens = 0

    async def run(self) -> str:
        """Ask until the answer is in order; return the error code, empty where it can be used. Raises what the model does."""
        for left in reversed(range(_ASKED)):
            try:
                heard = await self._once()
            except APIError as fault:
                if not left or not self._may_help(fault):
                    raise
                continue
            reading = None if heard.arguments is None else read_answer(self._request, heard.arguments)
            self._reading = _better(self._reading, reading)
            if reading is not None and not reading.faults:
                break
            self._tell(heard, reading)
        if self._reading is None:
            return "no_answer"
        return "" if self._reading.usable else "invalid_answer"

    def analysis(self, call: EndedCall, code: str) -> Analysis:
        """Return what there is, and log which fields were left empty and why."""
        reading = self._reading or Reading()
        for name, why in reading.faults.items():
            _log.info("analysis_value_left_out", session_id=call.row.id, name=name, why=why)
        return Analysis(
            summary=reading.summary,
            outcome=reading.outcome,
            fields=reading.fields,
            provider=self._model.provider,
            model=self._model.model,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
            error_code="" if reading.usable and self._reading is not None else code,
        )

    async def _once(self) -> _Heard:
        heard = _Heard()
        stream = self._model.chat(
            chat_ctx=self._chat,
            tools=[self._function],
            tool_choice={"type": "function", "function": {"name": RECORD}},
            conn_options=APIConnectOptions(max_retry=0, timeout=_TIMEOUT_S),
            extra_kwargs=self._limit,
        )
        try:
            async with stream:
                async for chunk in stream:
                    heard.note(chunk)
                    if heard.length > _OUTPUT_CHARACTERS:
                        break
        finally:
            if heard.usage is not None:
                self._input_tokens += heard.usage.prompt_tokens
                self._output_tokens += heard.usage.completion_tokens
        return heard

    def _may_help(self, fault: APIError) -> bool:
        """Tell whether another request is worth it. A server that does not know our limit is asked without it."""
        if isinstance(fault, APIStatusError) and fault.status_code in _REFUSED and self._limit is not NOT_GIVEN:
            self._limit = NOT_GIVEN
            return True
        return fault.retryable

    def _tell(self, heard: _Heard, reading: Reading | None) -> None:
        """Put into the history what was wrong. Arguments that are no JSON stay out of it: some plugins parse them."""
        if heard.arguments is None or reading is None:
            self._chat.add_message(role="user", content=f"Call {RECORD} now, with a JSON object of every parameter.")
            return
        ids = {"call_id": RECORD, "name": RECORD}
        self._chat.insert(llm.FunctionCall(**ids, arguments=heard.arguments))
        self._chat.insert(llm.FunctionCallOutput(**ids, output=reading.told, is_error=True))


def _better(before: Reading | None, after: Reading | None) -> Reading | None:
    if before is None or after is None:
        return after or before
    return after if len(after.faults) <= len(before.faults) else before


def _output_limit(model: llm.LLM[Any]) -> NotGivenOr[dict[str, Any]]:
    """Return the limit on the answer in the plugin's own word; a plugin without one is cut off as it streams."""
    if isinstance(model, inference.LLM | ChatModel):
        return {_LIMITS[0]: _OUTPUT_TOKENS}
    known = parameters(type(model)) or frozenset()
    name = next((each for each in _LIMITS if each in known), None)
    return NOT_GIVEN if name is None else {name: _OUTPUT_TOKENS}


def _unasked(code: str) -> Analysis:
    return Analysis(None, None, {}, "", "", 0, 0, code)


def _code_of(fault: Exception) -> str:
    match fault:
        case TimeoutError() | APITimeoutError():
            return "timeout"
        case APIError():
            return "model_failed"
        case ProviderMissing():
            return "provider_missing"
        case ConfigRefused():
            return "provider_refused"
        case Unreachable():
            return "unreachable"
        case _:
            return "failed"
