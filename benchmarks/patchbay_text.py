"""`python -m benchmarks.patchbay_text URL DSN FOLDER`: Patchbay by text, events on and stored in Postgres, as its worker runs a call."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from cryptography.fernet import Fernet

from benchmarks.calls import call_row, open_calls
from benchmarks.peers.script import AGENTS, TOOLS, TOPIC, Agent
from benchmarks.peers.serving import serve, text_orders
from patchbay import Tool, ToolConfig, ToolContext
from runtime.addresses import nothing_private
from runtime.harness.chat import ChatCaller
from runtime.harness.script import Say
from runtime.logging import configure_logging
from runtime.session.call_session import SystemClock
from runtime.session.ports import EventRow, RunnerOrder
from runtime.store.postgres import PostgresStore
from runtime.store.secrets import Keyring
from runtime.voice.composing import Ordered, Workshop
from runtime.voice.live_call import LiveCall, open_call
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from tools.registry import Registry
from tools.runner import Runner

__all__ = ["PatchbaySide", "open_workshop", "script_workflow"]

Json = Any


class _Scripted(Tool[ToolConfig]):
    """A tool of the script: it answers at once, as nothing real does."""

    Config = ToolConfig

    def parameters(self) -> Mapping[str, Json]:
        argument = TOOLS[self.tool_type].argument
        return {
            "type": "object",
            "properties": {argument: {"type": "string"}},
            "required": [argument],
            "additionalProperties": False,
        }

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> Json:
        del arguments, context
        return dict(TOOLS[self.tool_type].result)


class CheckOrder(_Scripted):
    tool_type: ClassVar[str] = "check_order"


class ReadInvoice(_Scripted):
    tool_type: ClassVar[str] = "read_invoice"


_REGISTRY = Registry((CheckOrder, ReadInvoice))


def script_workflow(model_url: str | None) -> Workflow:
    """Return the script's agents as a workflow: each opens by asking its model, and knows of one variable."""
    server = {} if model_url is None else {"base_url": f"{model_url}/v1", "api_key": "none"}
    config = {
        "schema_version": 1,
        "session": {"silence": {"after_s": 3000}},  # while another side is measured nobody speaks here
        "defaults": {
            "llm": {"provider": "openai", "model": "mock", **server},
            "turn": {"endpointing": {"min_delay_s": 0, "dictation_delay_s": 0}},
        },
        "variables": [{"name": "topic", "data_type": "string", "description": TOPIC}],
        "agents": [_agent(agent) for agent in AGENTS.values()],
    }
    return compile_workflow(WorkflowConfig.model_validate(config))


def _agent(agent: Agent) -> dict[str, Json]:
    return {
        "id": agent.key,
        "name": agent.name,
        "instructions": agent.prompt,
        "greeting": {"mode": "generate", "on_return": "generate"},
        "tools": [{"tool_type": name, "config": {"description": TOOLS[name].description}} for name in agent.tools],
        "paths": [
            {
                "id": f"{agent.key}-{key}",
                "name": f"To {key.replace('_', ' ')}",
                "description": f"The caller is to talk to the {AGENTS[key].name}.",
                "target_agent_id": key,
                "required_variables": [{"name": "topic", "is_required": False}],
            }
            for key in agent.paths
        ],
    }


@asynccontextmanager
async def open_workshop(dsn: str, folder: Path) -> AsyncIterator[tuple[Workshop, str]]:
    """Yield what calls share and their organization: a log in `folder` whose events go to Postgres, the script's tools."""
    async with AsyncExitStack() as stack:
        store = PostgresStore(dsn)
        stack.push_async_callback(store.aclose)
        calls = await stack.enter_async_context(open_calls(store, folder))

        def runner(order: RunnerOrder) -> Runner:
            return Runner(_REGISTRY, calls.services, order)

        keyring = Keyring([Fernet.generate_key().decode()])
        workshop = Workshop(calls.log, keyring.encrypt, keyring.decrypt, runner, nothing_private, "benchmark")
        yield workshop, calls.organization_id


class PatchbayTalk:
    """A call of Patchbay's under way."""

    def __init__(self, live: LiveCall, clock: SystemClock, closing: AsyncExitStack) -> None:
        self.tools = 0
        self.handoffs = 0
        self.events = 0
        self._said = ""
        self._caller = ChatCaller(live, clock)
        self._closing = closing
        live.plan.log.subscribe(self._happened)

    async def begin(self) -> None:
        await self._caller.begin()

    async def say(self, text: str, *, moves: bool) -> str:
        del moves  # the call is settled once the next agent has spoken
        await self._caller.take(Say(text))
        return self._said

    async def aclose(self) -> None:
        await self._caller.leave()
        await self._closing.aclose()

    def _happened(self, event: EventRow) -> None:
        self.events += 1
        match event.event_type:
            case "agent_turn":
                self._said = event.payload["text"]
            case "tool_succeeded":
                self.tools += 1
            case "path_taken":
                self.handoffs += 1
            case _:
                pass


class PatchbaySide:
    """Opens calls of one workflow."""

    def __init__(self, workshop: Workshop, workflow: Workflow, organization_id: str) -> None:
        self._workshop = workshop
        self._workflow = workflow
        self._organization_id = organization_id

    async def open(self) -> PatchbayTalk:
        clock = SystemClock()
        # As a file run by hand: its server is not guarded, and neither is OpenAI's own in a stored version.
        ordered = Ordered(self._workflow, call_row(self._organization_id, "chat_test"), clock, stored=False)
        async with AsyncExitStack() as stack:
            live = await stack.enter_async_context(open_call(self._workshop.plan(ordered), text=True))
            talk = PatchbayTalk(live, clock, stack.pop_all())
        await talk.begin()
        return talk

    async def settle(self) -> None:
        """Wait until every event is in the database."""
        await self._workshop.log.flush()


async def _main(url: str, dsn: str, folder: Path) -> None:
    configure_logging("warning", "console")
    async with open_workshop(dsn, folder) as (workshop, organization_id):
        await serve(text_orders(PatchbaySide(workshop, script_workflow(url), organization_id)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
