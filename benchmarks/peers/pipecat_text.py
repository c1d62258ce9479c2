"""`python -m benchmarks.peers.pipecat_text URL [tuned]`: pipecat with its flows, as shipped or with the thin client."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
from loguru import logger
from openai._types import NotGiven, Omit
from pipecat.flows import FlowArgs, FlowManager, FlowsFunctionSchema, NodeConfig
from pipecat.frames.frames import LLMMessagesAppendFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from benchmarks.peers.script import AGENTS, REMEMBER, TOOLS, TOPIC
from benchmarks.peers.serving import serve, text_orders
from benchmarks.peers.thin_client import completion, open_http

Json = Any


class ThinService(OpenAILLMService):
    """Pipecat's service with the thin client under it in place of the SDK's."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str) -> None:
        self._http = http
        self._base_url = base_url
        super().__init__(api_key="none", settings=OpenAILLMService.Settings(model="mock"))

    def create_client(self, **_kwargs: Json) -> None:
        """Nothing asks for it: `get_chat_completions` has the shared connections."""

    async def get_chat_completions(self, context: LLMContext) -> AsyncIterator[Json]:
        invocation = await self.get_llm_adapter().get_llm_invocation_params(
            context,
            system_instruction=self._settings.system_instruction,
            convert_developer_to_user=not self.supports_developer_role,
        )
        params = self.build_chat_completion_params(invocation)
        given = {name: value for name, value in params.items() if not isinstance(value, NotGiven | Omit)}
        return self._chunks({name: value for name, value in given.items() if value is not None})

    async def _chunks(self, body: Mapping[str, Json]) -> AsyncIterator[Json]:
        async for chunk in completion(self._http, self._base_url, body):
            yield _as_sdk(chunk)


def _as_sdk(chunk: Mapping[str, Json]) -> SimpleNamespace:
    """Return the chunk as an object with what the service reads of the SDK's."""
    choices = [SimpleNamespace(delta=_delta(choice["delta"])) for choice in chunk["choices"]]
    usage = chunk.get("usage")
    counted = SimpleNamespace(**usage, prompt_tokens_details=None, completion_tokens_details=None) if usage else None
    return SimpleNamespace(model=chunk["model"], choices=choices, usage=counted)


def _delta(delta: Mapping[str, Json]) -> SimpleNamespace:
    calls = [
        SimpleNamespace(
            index=call["index"],
            id=call.get("id"),
            function=SimpleNamespace(name=call["function"].get("name"), arguments=call["function"].get("arguments")),
        )
        for call in delta.get("tool_calls", ())
    ]
    return SimpleNamespace(content=delta.get("content"), tool_calls=calls)


class PipecatTalk:
    """A conversation under way: one pipeline of the two aggregators and the service, and its flow."""

    def __init__(self, service: OpenAILLMService, *, tuned: bool) -> None:
        self.tools = 0
        self.handoffs = 0
        self._said: asyncio.Queue[str] = asyncio.Queue()
        # By text nobody's voice ends a turn; the default would load an end-of-turn model for each conversation.
        turns = LLMUserAggregatorParams(user_turn_strategies=ExternalUserTurnStrategies())
        pair = LLMContextAggregatorPair(LLMContext(), user_params=turns)
        pair.assistant().add_event_handler("on_assistant_turn_stopped", self._stopped)
        bare = {"enable_rtvi": False, "enable_turn_tracking": False} if tuned else {}
        self._worker = PipelineWorker(
            Pipeline([pair.user(), service, pair.assistant()]), idle_timeout_secs=None, **bare
        )
        self._worker.add_event_handler("on_pipeline_started", self._begun)
        self._started = asyncio.Event()
        self._runner = WorkerRunner(handle_sigint=False)
        self._flow = FlowManager(worker=self._worker, llm=service, context_aggregator=pair)
        self._running: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        await self._runner.add_workers(self._worker)
        self._running = asyncio.create_task(self._runner.run())  # noqa: TID251 - Patchbay is not in this environment
        await self._started.wait()
        await self._flow.initialize(self._node("front_desk"))
        await self._said.get()

    async def say(self, text: str, *, moves: bool) -> str:
        del moves  # a turn has one text on every kind of line
        message = {"role": "user", "content": text}
        await self._worker.queue_frame(LLMMessagesAppendFrame(messages=[message], run_llm=True))
        return await self._said.get()

    async def aclose(self) -> None:
        await self._runner.cancel()
        if self._running is not None:
            await self._running

    async def _begun(self, *_event: Json) -> None:
        self._started.set()

    async def _stopped(self, _aggregator: Json, message: Json) -> None:
        if message.content:
            self._said.put_nowait(message.content)

    def _node(self, key: str) -> NodeConfig:
        agent = AGENTS[key]
        functions = [self._path(path) for path in agent.paths]
        functions += [_schema("remember", REMEMBER, None, self._remember)]
        functions += [
            _schema(name, TOOLS[name].description, TOOLS[name].argument, self._tool(name)) for name in agent.tools
        ]
        task = {"role": "developer", "content": f"You are at the {agent.name} now. Greet the caller."}
        return NodeConfig(name=key, role_message=agent.prompt, task_messages=[task], functions=functions)

    def _path(self, key: str) -> FlowsFunctionSchema:
        async def follow(_arguments: FlowArgs, _flow: FlowManager) -> tuple[Json, NodeConfig]:
            self.handoffs += 1
            return None, self._node(key)

        return _schema(f"to_{key}", f"The caller is to talk to the {AGENTS[key].name}.", None, follow)

    def _tool(self, name: str) -> Callable[..., Json]:
        async def run(_arguments: FlowArgs, _flow: FlowManager) -> tuple[Json, None]:
            self.tools += 1
            return dict(TOOLS[name].result), None

        return run

    async def _remember(self, arguments: FlowArgs, flow: FlowManager) -> tuple[Json, None]:
        flow.state.update(arguments)
        return "Recorded.", None


def _schema(name: str, description: str, required: str | None, handler: Callable[..., Json]) -> FlowsFunctionSchema:
    return FlowsFunctionSchema(
        name=name,
        description=description,
        properties={required or "topic": {"type": "string", "description": "" if required else TOPIC}},
        required=[required] if required else [],
        handler=handler,
    )


class PipecatSide:
    """Opens conversations, each with a service of its own, as pipecat's examples make them."""

    def __init__(self, url: str, http: aiohttp.ClientSession | None) -> None:
        self._url = f"{url}/v1"
        self._http = http

    async def open(self) -> PipecatTalk:
        talk = PipecatTalk(self._service(), tuned=self._http is not None)
        await talk.begin()
        return talk

    async def settle(self) -> None:
        """Nothing is stored here, so nothing is waited for."""

    def _service(self) -> OpenAILLMService:
        if self._http is not None:
            return ThinService(self._http, self._url)
        settings = OpenAILLMService.Settings(model="mock")
        return OpenAILLMService(api_key="none", base_url=self._url, settings=settings)


async def _main(url: str, *, tuned: bool) -> None:
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    if not tuned:
        await serve(text_orders(PipecatSide(url, None)))
        return
    async with open_http() as http:
        await serve(text_orders(PipecatSide(url, http)))


async def _served(url: str, *, tuned: bool) -> None:
    await _main(url, tuned=tuned)
    os._exit(0)  # runners of conversations that are still open swallow the cancellation by which asyncio would end them


if __name__ == "__main__":
    asyncio.run(_served(sys.argv[1], tuned="tuned" in sys.argv[2:]))
