"""The livekit Agent of a call: it has the instructions, tools and models of the AgentNode the call is at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Sequence
from typing import Any

import structlog
from livekit import rtc
from livekit.agents import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectionError,
    APIError,
    ModelSettings,
    StopResponse,
    llm,
    stt,
)
from livekit.agents.llm import ToolResult
from livekit.agents.types import NotGivenOr
from livekit.agents.voice import Agent, RunContext
from livekit.agents.voice.agent_activity import _SpeechHandleContextVar
from livekit.agents.voice.io import TimedString

from runtime.conversation import prompts
from runtime.conversation.events import PathAsked, ValuesGiven
from runtime.conversation.scene import Reply, Scene
from runtime.session.call_session import CallSession
from runtime.voice.completion import Chunk, Completion, Haste, faulty_calls
from runtime.voice.early import EarlyAnswer, Question, foreseen
from runtime.voice.history import Heading, Saved, Veil, is_said, system, takes_notes, with_note
from runtime.voice.interruptions import Manners, Microphone
from runtime.voice.listener import TurnListener
from runtime.voice.mouth import Mouth
from runtime.voice.offered import RawTool, offered
from runtime.voice.phrases import phrase
from runtime.voice.pipeline import connect_options
from runtime.voice.sayable import sayable
from runtime.voice.sentences import voiced
from runtime.voice.watchdog import answer_s
from runtime.workflow.graph import RESERVED_FUNCTIONS, CompiledTool, Path
from runtime.workflow.graph import Agent as Node

__all__ = ["CallAgent"]

_log = structlog.get_logger("voice")

Json = Any

SIBLINGS_TURNS = 8
"""Turns of the loop in which the other calls of an answer begin; one that LiveKit refuses by itself never does."""

APOLOGY = phrase("again", "en")


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
        self.early = EarlyAnswer(listener)
        self.hint: str | None = None
        self.secret_turns: set[str] = set()
        self._saved = Saved()
        self._veil = Veil()
        self._heading = Heading()
        self._prompt = prompts.Instructions()

    @property
    def tools(self) -> list[llm.Tool | llm.Toolset]:
        """The functions of this stay, in the order in which the model is offered them."""
        return list(self._stay_tools)

    def enter(self, node: Node, stay: int) -> None:
        """Take on the node's functions; a call of an earlier stay's function is told that the conversation moved on."""
        self.early.drop()
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

        return offered(follow, path.schema)

    def _remember(self, stay: int) -> RawTool:
        async def remember(raw_arguments: dict[str, object], context: RunContext[None]) -> ToolResult:
            del context
            call = self._call
            self.completion.begun += 1
            reply = call.submit(ValuesGiven(at=call.instant(), stay=stay, values=raw_arguments))
            return await self._result(reply, stay, only_records=True)

        return offered(remember, self._call.workflow.remember)

    def _functions_of(self, node: Node, stay: int, taken: set[str]) -> Iterator[RawTool]:
        """Yield the functions of the node's tools; those of a server that repeat another's name are called after their tool."""
        for tool in node.tools:
            for schema in self._call.tools.schemas(tool):
                function = str(schema["name"])
                if function in taken:
                    schema = {**schema, "name": f"{tool.function_name}_{function}"}  # noqa: PLW2901 - the one that is offered
                taken.add(str(schema["name"]))
                yield self._tool(tool, function, schema, stay)

    def _tool(self, tool: CompiledTool, function: str, schema: dict[str, Json], stay: int) -> RawTool:
        async def run(raw_arguments: dict[str, object], context: RunContext[None]) -> ToolResult:
            self.completion.begun += 1
            answer = await self._call.run_tool(tool, function, context.function_call.call_id, raw_arguments, stay)
            await self.completion.ended.wait()
            return ToolResult(answer.text, reply_required=answer.needs_answer and self._still_here(stay))

        return offered(run, schema)

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
        return self._saved.text(self._chat_ctx, self.secret_turns)

    async def llm_node(
        self, chat_ctx: llm.ChatContext, tools: list[llm.Tool], model_settings: ModelSettings
    ) -> AsyncGenerator[Chunk, None]:
        """Ask the node's model with fresh instructions; a model that fails, stalls or says nothing is spoken for."""
        completion = self.completion = Completion()
        try:
            if self._call.state.agent_id is None:
                return  # the call has ended since this was asked for
            items = self._read(chat_ctx.items, self._call.view())
            hint, self.hint = self.hint, None
            if hint is not None:
                items.append(system(hint))
            async for chunk in self._answer(self._question(items, tools, model_settings.tool_choice), completion):
                yield chunk
        finally:
            completion.ended.set()

    def think_ahead(self, text: str) -> None:
        """Have the model answer what the caller has said so far, where the rules let that be; it is kept back."""
        try:
            scene = foreseen(self._call, text)
            if scene is None:
                self.early.drop()
                return
            said = [*self._chat_ctx.items, llm.ChatMessage(role="user", content=[text])]
            self.early.begin(self._question(self._read(said, scene), self._stay_tools, NOT_GIVEN), self._patience)
        except Exception:  # noqa: BLE001 - an edge: rules or a plugin that fail do so again in their turn, and are reported
            _log.exception("early_answer_not_begun")

    def _question(
        self, items: Sequence[llm.ChatItem], tools: Sequence[Any], tool_choice: NotGivenOr[llm.ToolChoice]
    ) -> Question:
        model = self.llm
        assert isinstance(model, llm.LLM)
        return Question(model, items, tools, tool_choice)

    def _read(self, history: Sequence[llm.ChatItem], scene: Scene) -> list[llm.ChatItem]:
        """Return what the model reads: fresh instructions, and what was said with a note of how things stand."""
        said = [item for item in history if is_said(item)]
        instructions, standing = self._prompt(scene)
        apart = takes_notes(self.llm)
        heading = instructions if apart or not standing else f"{instructions}\n\n{standing}"
        items = [self._heading(heading), *self._veil.over(said, scene, self.secret_turns)]
        return with_note(items, standing) if apart else items

    async def transcription_node(
        self, text: AsyncIterable[str | TimedString], model_settings: ModelSettings
    ) -> AsyncGenerator[str, None]:
        """What counts as said is what a voice says: without markup and emoji, as the TTS gets it."""
        del model_settings
        async for piece in sayable(text):
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

        async for frame in self.mouth.speak(text, lambda words: voiced(self, words, model_settings), instead):
            yield frame

    async def _answer(self, question: Question, completion: Completion) -> AsyncGenerator[Chunk, None]:
        if self._call.state.ending:
            return
        may_call = question.tool_choice != "none"
        try:
            async for chunk in self.early.answer(question, self._patience, completion, self._haste()):
                completion.note(chunk, may_call=may_call)
                yield chunk
        except TimeoutError:
            self._listener.model_failed("stalled", None)
        except Exception as error:  # noqa: BLE001 - an edge: whatever a plugin raises, the caller hears something
            self._listener.model_failed("failed", error)
        else:
            if self._is_answer(completion, question.tools):
                return
            self._listener.model_failed("empty", None)
        if not completion.calls and not self._call.state.ending:
            yield " " + phrase("again", self._call.view().language)

    def _is_answer(self, completion: Completion, tools: Sequence[llm.Tool]) -> bool:
        for code, message in faulty_calls(completion, [tool.id for tool in tools]):
            self._listener.report("llm", code, message, "retry")
        return completion.answered

    def _haste(self) -> Haste:
        """Return the node's patience, in place of the session's that LiveKit's own node would have."""
        audible = self.session.output.audio is not None and self.session.output.audio_enabled
        by = asyncio.get_running_loop().time() + self._answer_s
        return Haste(by, self._patience.timeout, self._filler if audible else None)

    def _filler(self) -> str | None:
        """Return what to say while the model thinks, if that has become a silence."""
        now, limits = time.monotonic(), self._listener.limits
        silent = min(self._listener.silent_for(), now - self.completion.since)
        if silent < limits.filler_s or now - self._filled_at < limits.tool_again_s:
            return None
        self._filled_at = now
        return phrase("filler", self._call.view().language)
