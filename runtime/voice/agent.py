"""The livekit Agent of a call: it has the instructions, tools and models of the AgentNode the call is at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, FlushSentinel, ModelSettings, StopResponse, llm
from livekit.agents.llm import ToolResult, function_tool
from livekit.agents.voice import Agent, RunContext
from livekit.agents.voice.io import TimedString
from livekit.agents.voice.transcription.filters import filter_emoji, filter_markdown

from runtime.conversation import masking, prompts
from runtime.conversation.events import PathAsked, ValuesGiven
from runtime.conversation.scene import Reply, Scene
from runtime.session.call_session import CallSession
from runtime.voice.pipeline import connect_options
from runtime.workflow.graph import Agent as Node
from runtime.workflow.graph import CompiledTool, Path

__all__ = ["CallAgent", "TurnListener"]

Json = Any
RawTool = llm.RawFunctionTool[Any, Any]
Chunk = llm.ChatChunk | str | FlushSentinel

SIBLINGS_TURNS = 8
"""Turns of the loop in which the other calls of an answer begin; one that LiveKit refuses by itself never does."""

APOLOGIES = {
    "de": "Entschuldigung, das hat gerade nicht geklappt. Könnten Sie das bitte wiederholen?",
    "fr": "Excusez-moi, cela n'a pas fonctionné. Pouvez-vous répéter, s'il vous plaît ?",
    "es": "Disculpe, algo ha fallado. ¿Puede repetirlo, por favor?",
    "it": "Mi scusi, qualcosa non ha funzionato. Può ripetere, per favore?",
}
APOLOGY = "I'm sorry, something went wrong just now. Could you say that again, please?"


class TurnListener(Protocol):
    """Who is told that the caller's turn is final; answers whether the model is to reply to it."""

    def turn_heard(self, message: llm.ChatMessage) -> bool: ...

    def model_failed(self, code: str, error: BaseException | None) -> None: ...


@dataclass(slots=True)
class _Completion:
    """One answer of the model while it streams."""

    text: str = ""
    calls: int = 0
    begun: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def said(self) -> bool:
        """Whether there is anything in it that a voice can say: marks and emoji alone are silence."""
        return any(map(str.isalnum, self.text))


class CallAgent(Agent):
    """One for the whole call (docs/decisions/0003-one-livekit-agent.md): a handoff changes what it is, not who listens."""

    def __init__(self, call: CallSession, listener: TurnListener) -> None:
        super().__init__(instructions="")
        self._call = call
        self._listener = listener
        self._stay_tools: list[llm.Tool | llm.Toolset] = []
        self._patience = DEFAULT_API_CONNECT_OPTIONS
        self.completion = _Completion()
        self.hint: str | None = None
        self.secret_turns: set[str] = set()
        self._prompt = prompts.Instructions()

    @property
    def tools(self) -> list[llm.Tool | llm.Toolset]:
        """The functions of this stay, in the order in which the model is offered them."""
        return list(self._stay_tools)

    def enter(self, node: Node, stay: int) -> None:
        """Take on the node's functions; a call of an earlier stay's function is told that the conversation moved on."""
        self._patience = connect_options(node)
        tools: list[llm.Tool | llm.Toolset] = [
            self._path(path, stay) for path in node.offered if path.trigger == "model"
        ]
        if self._call.workflow.variables:
            tools.append(self._remember(stay))
        tools += [self._tool(tool, stay) for tool in node.tools]
        self._stay_tools = tools

    # ------------------------------------------------------------ functions

    def _path(self, path: Path, stay: int) -> RawTool:
        async def follow(raw_arguments: dict[str, object], context: RunContext[None]) -> ToolResult:
            del context
            call = self._call
            self.completion.begun += 1
            reply = call.submit(PathAsked(at=call.instant(), stay=stay, path_id=path.id, values=raw_arguments))
            return await self._result(reply, stay)

        return function_tool(follow, raw_schema=prompts.path_schema(path))

    def _remember(self, stay: int) -> RawTool:
        async def remember(raw_arguments: dict[str, object], context: RunContext[None]) -> ToolResult:
            del context
            call = self._call
            self.completion.begun += 1
            reply = call.submit(ValuesGiven(at=call.instant(), stay=stay, values=raw_arguments))
            return await self._result(reply, stay, only_records=True)

        schema = {
            "name": "remember",
            "description": "Record what the caller has told you, as soon as you hear it.",
            "parameters": prompts.parameters(tuple(self._call.workflow.variables.values())),
        }
        return function_tool(remember, raw_schema=schema)

    def _tool(self, tool: CompiledTool, stay: int) -> RawTool:
        async def run(raw_arguments: dict[str, object], context: RunContext[None]) -> ToolResult:
            self.completion.begun += 1
            answer = await self._call.run_tool(tool, context.function_call.call_id, raw_arguments, stay)
            await self.completion.ended.wait()
            return ToolResult(answer.text, reply_required=answer.needs_answer and self._still_here(stay))

        return function_tool(run, raw_schema=self._call.tools.schema(tool))

    async def _result(self, reply: Reply | None, stay: int, *, only_records: bool = False) -> ToolResult:
        """Answer the model once its completion has ended: only then is it known what else it said and asked for."""
        completion = self.completion
        await completion.ended.wait()
        for _ in range(SIBLINGS_TURNS):
            if completion.begun >= completion.calls:
                break
            await asyncio.sleep(0)
        if reply is None:
            return ToolResult("", reply_required=False)
        needed = reply.needs_answer or (only_records and not completion.said and not reply.moved)
        return ToolResult(reply.text, reply_required=needed and self._still_here(stay))

    def _still_here(self, stay: int) -> bool:
        return self._call.state.stay == stay and not self._call.state.ending

    # ------------------------------------------------------------ nodes

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        del turn_ctx
        if not self._listener.turn_heard(new_message):
            self.keep(new_message)
            raise StopResponse

    def keep(self, message: llm.ChatMessage) -> None:
        """Put a turn into the history that no model is asked to answer."""
        self._chat_ctx.insert(message)

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncGenerator[Chunk, None]:
        """Ask the node's model with fresh instructions; a model that fails, stalls or says nothing is spoken for."""
        completion = self.completion = _Completion()
        try:
            context = llm.ChatContext(self._read(chat_ctx))
            async for chunk in self._answer(context, tools, model_settings, completion):
                yield chunk
        finally:
            completion.ended.set()

    def _read(self, history: llm.ChatContext) -> list[llm.ChatItem]:
        """Return what the model reads: fresh instructions, what was said, and why it is asked where nobody has spoken."""
        said = [item for item in history.items if _is_said(item)]
        items: list[llm.ChatItem] = [_system(self._prompt(self._call.view())), *self._without_secrets(said)]
        hint, self.hint = self.hint, None
        return [*items, _system(hint)] if hint is not None else items

    def _without_secrets(self, items: list[llm.ChatItem]) -> list[llm.ChatItem]:
        """Mask sensitive values in what was said before the caller's last turn: a spoken one reaches only its own turn."""
        scene = self._call.view()
        if not any(spec.sensitive for spec in scene.workflow.variables.values()):
            return items
        last = max((at for at, item in enumerate(items) if _by_caller(item)), default=0)
        kept: list[llm.ChatItem] = []
        secret_turn = False
        for at, item in enumerate(items):
            secret_turn = item.id in self.secret_turns if _by_caller(item) else secret_turn
            kept.append(_masked(item, scene, secret_turn=secret_turn) if at < last else item)
        return kept

    async def transcription_node(
        self, text: AsyncIterable[str | TimedString], model_settings: ModelSettings
    ) -> AsyncGenerator[str, None]:
        """What counts as said is what a voice says: without markup and emoji, as the TTS gets it."""
        del model_settings
        async for piece in filter_emoji(filter_markdown(text)):
            yield piece

    async def _answer(
        self,
        context: llm.ChatContext,
        tools: list[llm.Tool],
        settings: ModelSettings,
        completion: _Completion,
    ) -> AsyncGenerator[Chunk, None]:
        if self._call.state.ending:
            return
        try:
            async for chunk in self._chat(context, tools, settings):
                _note(completion, chunk, may_call=settings.tool_choice != "none")
                yield chunk
        except TimeoutError:
            self._listener.model_failed("stalled", None)
        except Exception as error:  # noqa: BLE001 - an edge: whatever a plugin raises, the caller hears something
            self._listener.model_failed("failed", error)
        else:
            if completion.said or (completion.calls and settings.tool_choice != "none"):
                return
            self._listener.model_failed("empty", None)
        if not completion.calls or settings.tool_choice == "none":
            yield " " + APOLOGIES.get(self._call.view().language.split("-")[0], APOLOGY)

    async def _chat(
        self, context: llm.ChatContext, tools: list[llm.Tool], settings: ModelSettings
    ) -> AsyncGenerator[llm.ChatChunk, None]:
        """As LiveKit's own node does it, but each chunk within the node's patience in place of the session's."""
        model = self.llm
        assert isinstance(model, llm.LLM)
        async with model.chat(
            chat_ctx=context, tools=tools, tool_choice=settings.tool_choice, conn_options=self._patience
        ) as stream:
            while True:
                try:
                    async with asyncio.timeout(self._patience.timeout):
                        chunk = await anext(stream)
                except StopAsyncIteration:
                    return
                yield chunk


def _system(text: str) -> llm.ChatMessage:
    return llm.ChatMessage(role="system", content=[text], created_at=0)


def _by_caller(item: llm.ChatItem) -> bool:
    return item.type == "message" and item.role == "user"


def _masked(item: llm.ChatItem, scene: Scene, *, secret_turn: bool) -> llm.ChatItem:
    """Return the item without what is sensitive; of a turn in which it was awaited only the agent's words are kept."""

    def secret(text: str) -> bool:
        spoken_by_agent = item.type == "message" and item.role == "assistant"
        return (secret_turn and not spoken_by_agent) or masking.tells(scene.workflow, scene.state, text, scene.context)

    if item.type == "message" and secret(item.text_content or ""):
        return item.model_copy(update={"content": [masking.MASK]})
    if item.type == "function_call" and secret(item.arguments):
        return item.model_copy(update={"arguments": "{}"})
    if item.type == "function_call_output" and secret(item.output):
        return item.model_copy(update={"output": masking.MASK})
    return item


def _is_said(item: llm.ChatItem) -> bool:
    """Whether it is part of the conversation and no instruction or note about it."""
    if item.type == "message":
        return item.role not in {"system", "developer"}
    return item.type in {"function_call", "function_call_output"}


def _note(completion: _Completion, chunk: Chunk, *, may_call: bool) -> None:
    """Keep count of what the model says and calls; LiveKit drops calls that it forbade (after `max_tool_steps`)."""
    if isinstance(chunk, str):
        completion.text += chunk
    elif isinstance(chunk, llm.ChatChunk) and chunk.delta is not None:
        completion.text += chunk.delta.content or ""
        completion.calls += len(chunk.delta.tool_calls) if may_call else 0
