"""The same conversation on a bare AgentSession, written as LiveKit's documentation writes it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

from livekit.agents import NOT_GIVEN, AgentSession, RunContext, TurnHandlingOptions, llm
from livekit.agents.llm import function_tool
from livekit.agents.voice import Agent

from benchmarks.fakes import RATE, Ear, ScriptedLLM, ScriptedSTT, SlowVoice
from benchmarks.peers.speeches import Speeches
from benchmarks.sides import FOUND, GREETINGS, Talk, order_schema, workflow
from runtime.voice.audio import PcmInput, PcmOutput
from runtime.voice.pipeline import turn_options
from runtime.workflow.graph import Agent as Node
from runtime.workflow.graph import Workflow

__all__ = ["LiveKit", "LiveKitTalk", "LookUp"]

Json = Any
Opening = Literal["say", "generate"]
LookUp = Callable[[dict[str, object], str], Awaitable[str]]
"""Looks an order up, given the arguments and the call's id."""


async def found(arguments: dict[str, object], tool_call_id: str) -> str:
    """Answer at once, as nothing real does."""
    del arguments, tool_call_id
    return json.dumps(FOUND)


class BareAgent(Agent):
    """One of the two agents: the history goes along, and it speaks as it enters."""

    def __init__(self, flow: Workflow, key: str, talk: LiveKitTalk, chat_ctx: llm.ChatContext | None = None) -> None:
        node = flow.agents[key]
        super().__init__(
            instructions=node.instructions.render({"caller": {"number": "+15550100"}}),
            chat_ctx=NOT_GIVEN if chat_ctx is None else chat_ctx,
            tools=[*self._paths(node), self._remember(flow), self._order()],
        )
        self._flow = flow
        self._key = key
        self._talk = talk

    async def on_enter(self) -> None:
        if self._talk.opening == "say":
            self.session.say(GREETINGS[self._key])
        else:
            self.session.generate_reply(instructions="Greet the caller.")

    def _paths(self, node: Node) -> list[llm.Tool]:
        return [self._path(path.target_agent_id or "", path.schema) for path in node.offered]

    def _path(self, target: str, schema: dict[str, Json]) -> llm.Tool:
        async def follow(raw_arguments: dict[str, object], context: RunContext[None]) -> Agent:
            del raw_arguments, context
            return BareAgent(self._flow, target, self._talk, self.chat_ctx.copy(exclude_instructions=True))

        return function_tool(follow, raw_schema=cast("Any", schema))

    def _remember(self, flow: Workflow) -> llm.Tool:
        async def remember(raw_arguments: dict[str, object], context: RunContext[None]) -> str:
            del context
            self._talk.known |= raw_arguments
            return "Recorded."

        return function_tool(remember, raw_schema=cast("Any", flow.remember))

    def _order(self) -> llm.Tool:
        async def check_order(raw_arguments: dict[str, object], context: RunContext[None]) -> str:
            return await self._talk.look_up(raw_arguments, context.function_call.call_id)

        return function_tool(check_order, raw_schema=cast("Any", order_schema()))


class LiveKitTalk:
    """A bare session under way. `opening`: how an agent that is handed the call speaks first."""

    def __init__(self, flow: Workflow, voice: tuple[float, float] | None, look_up: LookUp) -> None:
        self.look_up = look_up
        model_s, voice_s = voice or (0.0, 0.0)
        self.llm = ScriptedLLM(model_s)
        self.ear = Ear()
        self.known: dict[str, Json] = {}
        self.opening: Opening = "say"
        self._spoken = voice is not None
        self._flow = flow
        self._listener = ScriptedSTT()
        options = turn_options(flow.entry) if voice else {"turn_detection": None}
        self.session: AgentSession[None] = AgentSession(
            llm=self.llm,
            stt=self._listener if voice else NOT_GIVEN,
            tts=SlowVoice(voice_s) if voice else NOT_GIVEN,
            vad=None,
            turn_handling=cast("TurnHandlingOptions", options),
            user_away_timeout=None,
            aec_warmup_duration=None,
            session_close_transcript_timeout=0.2,
        )
        self._speeches = Speeches(self.session)

    async def begin(self) -> None:
        self.session.output.transcription = self.ear
        if self._spoken:
            self.session.input.audio = PcmInput()
            self.session.output.audio = PcmOutput(self.ear.on_frame, rate=RATE)
        await self.session.start(BareAgent(self._flow, "desk", self), record=False)
        await self._speeches.over()

    async def turn(self, text: str) -> None:
        self.ear.listen()
        if self._spoken:
            self._listener.hear(text)
            await self.ear.sound()
        else:
            self.session.generate_reply(user_input=text)
        await self._speeches.over()

    async def settle(self) -> None:
        """Nothing is stored here, so nothing is waited for."""

    async def handed_over(self) -> None:
        """Wait until the agent that was handed the call has spoken; beyond the handoff's own speech it is a task apart."""
        await self.ear.text()
        await self._speeches.over()


class LiveKit:
    """The side of a bare AgentSession."""

    def __init__(self, look_up: LookUp = found) -> None:
        self._workflow = workflow()
        self._look_up = look_up

    @asynccontextmanager
    async def open(self, voice: tuple[float, float] | None = None) -> AsyncIterator[Talk]:
        talk = LiveKitTalk(self._workflow, voice, self._look_up)
        try:
            await talk.begin()
            yield talk
        finally:
            await talk.session.aclose()
