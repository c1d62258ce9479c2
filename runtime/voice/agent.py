"""The livekit Agent of a call: it has the instructions, tools and models of the AgentNode the call is at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Sequence
from typing import Any, Protocol

from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    APIConnectionError,
    APIError,
    ModelSettings,
    StopResponse,
    llm,
    stt,
)
from livekit.agents.llm import ToolResult, function_tool
from livekit.agents.voice import Agent, RunContext
from livekit.agents.voice.agent_activity import _SpeechHandleContextVar
from livekit.agents.voice.io import TimedString
from livekit.agents.voice.transcription.filters import filter_emoji, filter_markdown

from runtime.conversation import prompts
from runtime.conversation.events import PathAsked, ValuesGiven
from runtime.conversation.scene import Reply
from runtime.session.call_session import CallSession
from runtime.voice.completion import Chunk, Completion, Haste, chunks, faulty_calls
from runtime.voice.history import is_said, saved, system, without_secrets
from runtime.voice.interruptions import Manners, Microphone
from runtime.voice.mouth import Mouth, Spokesman
from runtime.voice.phrases import phrase
from runtime.voice.pipeline import connect_options
from runtime.voice.watchdog import Limits, answer_s
from runtime.workflow.graph import RESERVED_FUNCTIONS, CompiledTool, Path
from runtime.workflow.graph import Agent as Node

__all__ = ["CallAgent", "TurnListener"]

Json = Any
RawTool = llm.RawFunctionTool[Any, Any]

SIBLINGS_TURNS = 8
"""Turns of the loop in which the other calls of an answer begin; one that LiveKit refuses by itself never does."""

APOLOGY = phrase("again", "en")


class TurnListener(Spokesman, Protocol):
    """Who is told what is heard and what fails; `turn_heard` answers whether the model is to reply to the turn."""

    limits: Limits

    def turn_heard(self, message: llm.ChatMessage) -> bool: ...

    def turn_lost(self, error: BaseException) -> None: ...

    def passes(self, event: stt.SpeechEvent) -> bool: ...

    def model_failed(self, code: str, error: BaseException | None) -> None: ...

    def report(self, component: str, code: str, message: str, recovered_by: str | None) -> None: ...

    def silent_for(self) -> float: ...


class CallAgent(Agent):
    """One for the whole call (docs/decisions/0003-one-livekit-agent.md): a handoff changes what it is, not who listens."""

    def __init__(self, call: CallSession, listener: TurnListener, history: Sequence[llm.ChatItem] = ()) -> None:
        super().__init__(instructions="")
        self._chat_ctx.items.extend(history)  # given to `Agent`, it would lose the calls of functions of other stays
        self._call = call
        self._listener = listener
        self._stay_tools: list[llm.Tool | llm.Toolset] = []
        self._patience = DEFAULT_API_CONNECT_OPTIONS
        self._answer_s = DEFAULT_API_CONNECT_OPTIONS.timeout
        self._filled_at = 0.0
        self.mouth = Mouth(listener, lambda: listener.limits)
        self.manners = Manners()
        self.unsaid: dict[str, str] = {}
        """By speech: what was heard in place of a text that could not be spoken."""
        self.completion = Completion()
        self.hint: str | None = None
        self.secret_turns: set[str] = set()
        self._saved: dict[str, dict[str, Json]] = {}
        self._prompt = prompts.Instructions()

    @property
    def tools(self) -> list[llm.Tool | llm.Toolset]:
        """The functions of this stay, in the order in which the model is offered them."""
        return list(self._stay_tools)

    def enter(self, node: Node, stay: int) -> None:
        """Take on the node's functions; a call of an earlier stay's function is told that the conversation moved on."""
        self._patience = connect_options(node)
        self._answer_s = answer_s(node, self._listener.limits)
        self.manners = Manners.of(node)
        tools: list[llm.Tool | llm.Toolset] = [
            self._path(path, stay) for path in node.offered if path.trigger == "model"
        ]
        if self._call.workflow.variables:
            tools.append(self._remember(stay))
        tools += self._functions_of(node, stay, {*RESERVED_FUNCTIONS, *(path.function_name for path in node.offered)})
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

    def _functions_of(self, node: Node, stay: int, taken: set[str]) -> Iterator[RawTool]:
        """Yield the functions of the node's tools; those of a server that repeat another's name are called after their tool."""
        for tool in node.tools:
            for schema in self._call.tools.schemas(tool):
                function = offered = str(schema["name"])
                if offered in taken:
                    offered = f"{tool.function_name}_{function}"
                taken.add(offered)
                yield self._tool(tool, function, {**schema, "name": offered}, stay)

    def _tool(self, tool: CompiledTool, function: str, schema: dict[str, Json], stay: int) -> RawTool:
        async def run(raw_arguments: dict[str, object], context: RunContext[None]) -> ToolResult:
            self.completion.begun += 1
            answer = await self._call.run_tool(tool, function, context.function_call.call_id, raw_arguments, stay)
            await self.completion.ended.wait()
            return ToolResult(answer.text, reply_required=answer.needs_answer and self._still_here(stay))

        return function_tool(run, raw_schema=schema)

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
        try:
            answered = self._listener.turn_heard(new_message)
        except Exception as error:  # noqa: BLE001 - an edge: LiveKit would only log it, and the caller wait for ever
            self._listener.turn_lost(error)
            answered = False
        if not answered:
            self.keep(new_message)
            raise StopResponse

    def keep(self, *items: llm.ChatItem) -> None:
        """Put into the history what no model is asked to answer."""
        self._chat_ctx.insert(items)

    def saved(self) -> str:
        """Return the history as a checkpoint's text."""
        return saved(self._chat_ctx, self.secret_turns, self._saved)

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncGenerator[Chunk, None]:
        """Ask the node's model with fresh instructions; a model that fails, stalls or says nothing is spoken for."""
        completion = self.completion = Completion()
        try:
            context = llm.ChatContext(self._read(chat_ctx))
            async for chunk in self._answer(context, tools, model_settings, completion):
                yield chunk
        finally:
            completion.ended.set()

    def _read(self, history: llm.ChatContext) -> list[llm.ChatItem]:
        """Return what the model reads: fresh instructions, what was said, and why it is asked where nobody has spoken."""
        scene = self._call.view()
        said = [item for item in history.items if is_said(item)]
        items: list[llm.ChatItem] = [system(self._prompt(scene)), *without_secrets(said, scene, self.secret_turns)]
        hint, self.hint = self.hint, None
        return [*items, system(hint)] if hint is not None else items

    async def transcription_node(
        self, text: AsyncIterable[str | TimedString], model_settings: ModelSettings
    ) -> AsyncGenerator[str, None]:
        """What counts as said is what a voice says: without markup and emoji, as the TTS gets it."""
        del model_settings
        async for piece in filter_emoji(filter_markdown(text)):
            yield piece

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncGenerator[stt.SpeechEvent, None]:
        """Keep from LiveKit what is said along with a sentence of the agent's; a recogniser that ends is asked again."""
        ears = Microphone(audio)
        try:
            async for event in Agent.default.stt_node(self, ears.frames(), model_settings):
                if self._listener.passes(event):
                    yield event
        except APIError:
            raise
        except Exception as error:  # LiveKit starts the recogniser anew after its own kind of error alone
            raise APIConnectionError("the recogniser failed") from error
        if not ears.closed:
            self._listener.report("stt", "stt_ended", "The recogniser ended while the caller was there.", "reconnect")
            raise APIConnectionError("the recogniser ended")

    async def tts_node(
        self, text: AsyncIterable[str], model_settings: ModelSettings
    ) -> AsyncGenerator[rtc.AudioFrame, None]:
        """Speak; a voice that fails, stalls or stays silent is spoken for."""
        speech = _SpeechHandleContextVar.get(None)

        def instead(heard: str) -> None:
            if speech is not None:
                self.unsaid[speech.id] = heard

        async for frame in self.mouth.speak(
            text, lambda words: Agent.default.tts_node(self, words, model_settings), instead
        ):
            yield frame

    async def _answer(
        self,
        context: llm.ChatContext,
        tools: list[llm.Tool],
        settings: ModelSettings,
        completion: Completion,
    ) -> AsyncGenerator[Chunk, None]:
        if self._call.state.ending:
            return
        may_call = settings.tool_choice != "none"
        try:
            async for chunk in self._chat(context, tools, settings, completion):
                completion.note(chunk, may_call=may_call)
                yield chunk
        except TimeoutError:
            self._listener.model_failed("stalled", None)
        except Exception as error:  # noqa: BLE001 - an edge: whatever a plugin raises, the caller hears something
            self._listener.model_failed("failed", error)
        else:
            if self._is_answer(completion, tools):
                return
            self._listener.model_failed("empty", None)
        if not completion.calls and not self._call.state.ending:
            yield " " + phrase("again", self._call.view().language)

    def _is_answer(self, completion: Completion, tools: list[llm.Tool]) -> bool:
        for code, message in faulty_calls(completion, [tool.id for tool in tools]):
            self._listener.report("llm", code, message, "retry")
        return completion.said or completion.calls > 0

    async def _chat(
        self, context: llm.ChatContext, tools: list[llm.Tool], settings: ModelSettings, completion: Completion
    ) -> AsyncGenerator[Chunk, None]:
        """As LiveKit's own node does it, but within the node's patience in place of the session's."""
        model = self.llm
        assert isinstance(model, llm.LLM)
        audible = self.session.output.audio is not None and self.session.output.audio_enabled
        haste = Haste(self._answer_s, self._patience.timeout, self._filler if audible else None)
        async with model.chat(
            chat_ctx=context, tools=tools, tool_choice=settings.tool_choice, conn_options=self._patience
        ) as stream:
            async for chunk in chunks(stream, completion, haste):
                yield chunk

    def _filler(self) -> str | None:
        """Return what to say while the model thinks, if that has become a silence."""
        now, limits = time.monotonic(), self._listener.limits
        silent = min(self._listener.silent_for(), now - self.completion.since)
        if silent < limits.filler_s or now - self._filled_at < limits.tool_again_s:
            return None
        self._filled_at = now
        return phrase("filler", self._call.view().language)
