"""What a model gets to know of a call that another worker began: what was said, and which tools nobody saw the end of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from livekit.agents import llm

from runtime.conversation.state import Running
from runtime.session.ports import Clock, ToolRunner
from runtime.session.recovery import Recovered
from runtime.session.retelling import tool_items
from runtime.voice.history import restored
from runtime.workflow.graph import CompiledTool, Workflow

__all__ = ["elapsed_ms", "history_of", "in_doubt"]

Json = Any
UNKNOWN: Final = "The connection broke off while this ran: it is not known whether it was done."
AGAIN: Final = f"{UNKNOWN} You may call it again."
NEVER_AGAIN: Final = f"{UNKNOWN} Do not call it again; tell the caller that it is not known, and go on."


def elapsed_ms(recovered: Recovered, clock: Clock) -> int:
    """Return how old the call is now, by the wall's clock, and in no case less than its last event said."""
    since_last = (clock.wall() - recovered.last_at).total_seconds()
    return recovered.elapsed_ms + max(0, round(since_last * 1000))


def history_of(recovered: Recovered, workflow: Workflow) -> Sequence[llm.ChatItem]:
    """Return what was said so far: by the checkpoint and since, or by the events alone where that cannot be read."""
    history = restored(recovered.history)
    items = (restored(recovered.retold) or ()) if history is None else history
    for item in items:
        if isinstance(item, llm.FunctionCall | llm.FunctionCallOutput) and item.name in workflow.paths:
            item.name = workflow.paths[item.name].function_name
    return items


def in_doubt(tools: Iterable[Running], workflow: Workflow, runner: ToolRunner) -> list[llm.ChatItem]:
    """Return the calls of tools that had not ended, each with what is to be thought of it; none runs again by itself."""
    items: list[Mapping[str, Json]] = []
    for running in tools:
        fact = running.fact
        if fact.agent_id is not None:
            tools_ = [*_named(fact.name, fact.agent_id, workflow, runner)]
            again = any(runner.is_repeatable(tool, fact.arguments) for tool in tools_)
            items += tool_items(fact, AGAIN if again else NEVER_AGAIN, failed=True)
    return restored(items) or []


def _named(name: str, agent_id: str, workflow: Workflow, runner: ToolRunner) -> Iterator[CompiledTool]:
    agent = workflow.agents.get(agent_id)
    for tool in agent.tools if agent is not None else ():
        if name == tool.function_name or any(schema["name"] == name for schema in runner.schemas(tool)):
            yield tool
