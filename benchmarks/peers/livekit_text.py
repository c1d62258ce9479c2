"""`python -m benchmarks.peers.livekit_text URL`: a bare AgentSession by text, as LiveKit's documentation writes it, as shipped."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from livekit.agents import AgentSession, ConversationItemAddedEvent, function_tool, llm
from livekit.agents.voice import Agent, RunContext
from livekit.plugins import openai

from benchmarks.peers.script import AGENTS, REMEMBER, TOOLS, TOPIC
from benchmarks.peers.serving import serve, text_orders
from benchmarks.peers.speeches import Speeches

__all__ = ["LiveKitSide", "LiveKitTalk", "ToolsOf"]

Json = Any
ToolsOf = Callable[["LiveKitTalk", "ScriptAgent"], list[llm.Tool]]
"""Makes the functions of an agent of a conversation."""


class ScriptAgent(Agent):
    """One of the three agents; the next one gets the history and opens by asking the model."""

    def __init__(self, talk: LiveKitTalk, key: str, chat_ctx: llm.ChatContext | None = None) -> None:
        self.key = key
        self.talk = talk
        given = {} if chat_ctx is None else {"chat_ctx": chat_ctx}
        super().__init__(instructions=AGENTS[key].prompt, tools=talk.tools_of(talk, self), **given)

    async def on_enter(self) -> None:
        self.session.generate_reply()
        self.talk.entered.set()

    def next(self, key: str) -> ScriptAgent:
        """Return the agent that takes over."""
        self.talk.handoffs += 1
        return ScriptAgent(self.talk, key, self.chat_ctx.copy(exclude_instructions=True))


class LiveKitTalk:
    """A conversation under way."""

    def __init__(self, model: llm.LLM[Any], tools_of: ToolsOf) -> None:
        self.tools = 0
        self.handoffs = 0
        self.tools_of = tools_of
        self.entered = asyncio.Event()
        self.known: dict[str, str] = {}
        self._said = ""
        # Without audio there is nothing to detect; the defaults would load the detector and the end-of-turn model.
        self._session: AgentSession[None] = AgentSession(
            llm=model, vad=None, turn_handling={"turn_detection": None}, user_away_timeout=None
        )
        self._speeches = Speeches(self._session)
        self._session.on("conversation_item_added", self._added)

    async def begin(self) -> None:
        await self._session.start(ScriptAgent(self, "front_desk"), record=False)
        await self._speeches.over()

    async def say(self, text: str, *, moves: bool) -> str:
        self.entered.clear()
        self._session.generate_reply(user_input=text)
        await self._speeches.over()
        if moves:
            await self.entered.wait()
            await self._speeches.over()
        return self._said

    async def aclose(self) -> None:
        await self._session.aclose()

    async def run_tool(self, name: str) -> str:
        self.tools += 1
        return json.dumps(dict(TOOLS[name].result))

    def _added(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage) and event.item.role == "assistant":
            self._said = event.item.text_content or ""


class LiveKitSide:
    """Opens conversations; each has a model object of its own, for they must not be shared."""

    def __init__(self, model: Callable[[], llm.LLM[Any]], tools_of: ToolsOf) -> None:
        self._model = model
        self._tools_of = tools_of

    async def open(self) -> LiveKitTalk:
        talk = LiveKitTalk(self._model(), self._tools_of)
        await talk.begin()
        return talk

    async def settle(self) -> None:
        """Nothing is stored here, so nothing is waited for."""


def decorated(talk: LiveKitTalk, agent: ScriptAgent) -> list[llm.Tool]:
    """Return the agent's functions as the examples write them: typed and decorated."""
    paths = [_decorated_path(agent, key) for key in AGENTS[agent.key].paths]
    return [*paths, _decorated_remember(talk), *(_decorated_tool(talk, name) for name in AGENTS[agent.key].tools)]


def _decorated_path(agent: ScriptAgent, key: str) -> llm.Tool:
    @function_tool(name=f"to_{key}", description=f"The caller is to talk to the {AGENTS[key].name}.")
    async def follow(context: RunContext[None], topic: str | None = None) -> Agent:
        """Hand the call on.

        Args:
            topic: what the call is about
        """
        del context, topic
        return agent.next(key)

    return follow


def _decorated_remember(talk: LiveKitTalk) -> llm.Tool:
    @function_tool(name="remember", description=REMEMBER)
    async def remember(context: RunContext[None], topic: str | None = None) -> str:
        """Record it.

        Args:
            topic: what the call is about
        """
        del context
        talk.known |= {"topic": topic or ""}
        return "Recorded."

    return remember


def _decorated_tool(talk: LiveKitTalk, name: str) -> llm.Tool:
    tool = TOOLS[name]
    if tool.argument == "order_number":

        @function_tool(name=name, description=tool.description)
        async def check(context: RunContext[None], order_number: str) -> str:
            del context, order_number
            return await talk.run_tool(name)

        return check

    @function_tool(name=name, description=tool.description)
    async def read(context: RunContext[None], invoice_number: str) -> str:
        del context, invoice_number
        return await talk.run_tool(name)

    return read


def raw(talk: LiveKitTalk, agent: ScriptAgent) -> list[llm.Tool]:
    """Return the agent's functions from JSON schemas, of which no pydantic model is built on each request."""
    paths = [_raw_path(agent, key) for key in AGENTS[agent.key].paths]
    return [*paths, _raw_remember(talk), *(_raw_tool(talk, name) for name in AGENTS[agent.key].tools)]


def _raw_path(agent: ScriptAgent, key: str) -> llm.Tool:
    async def follow(raw_arguments: dict[str, object], context: RunContext[None]) -> Agent:
        del raw_arguments, context
        return agent.next(key)

    return function_tool(follow, raw_schema=_schema(f"to_{key}", f"The caller is to talk to the {AGENTS[key].name}."))


def _raw_remember(talk: LiveKitTalk) -> llm.Tool:
    async def remember(raw_arguments: dict[str, object], context: RunContext[None]) -> str:
        del context
        talk.known |= {name: str(value) for name, value in raw_arguments.items()}
        return "Recorded."

    return function_tool(remember, raw_schema=_schema("remember", REMEMBER))


def _raw_tool(talk: LiveKitTalk, name: str) -> llm.Tool:
    async def run(raw_arguments: dict[str, object], context: RunContext[None]) -> str:
        del raw_arguments, context
        return await talk.run_tool(name)

    tool = TOOLS[name]
    return function_tool(run, raw_schema=_schema(name, tool.description, required=tool.argument))


def _schema(name: str, description: str, *, required: str | None = None) -> dict[str, Json]:
    properties: Mapping[str, Json] = {required or "topic": {"type": "string", "description": "" if required else TOPIC}}
    parameters = {
        "type": "object",
        "properties": properties,
        "required": [required] if required else [],
        "additionalProperties": False,
    }
    return {"name": name, "description": description, "parameters": parameters}


async def _main(url: str) -> None:
    def model() -> llm.LLM[Any]:
        return openai.LLM(model="mock", base_url=f"{url}/v1", api_key="none")

    await serve(text_orders(LiveKitSide(model, decorated)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
