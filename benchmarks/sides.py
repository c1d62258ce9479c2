"""What both sides run: one conversation of two agents, and what a measurement asks of a side."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Protocol

from benchmarks.fakes import Ear, ScriptedLLM
from patchbay import Tool, ToolConfig, ToolContext
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from tools.registry import Registry

__all__ = ["FOUND", "GREETINGS", "REGISTRY", "Side", "Talk", "order_schema", "workflow"]

Json = Any

GREETINGS = {"desk": "Hello, this is Acme, how can I help?", "billing": "Billing here, what is it about?"}
FOUND = {"status": "shipped", "carrier": "DHL", "expected": "2026-05-06"}
_PARAMETERS = {
    "type": "object",
    "properties": {"order_number": {"type": "string"}},
    "required": ["order_number"],
    "additionalProperties": False,
}
_LOOK_UP = "Looks an order up by its number."
_PROMPT = (
    "You are the {} of Acme, a mail-order company for garden furniture. Find out what the caller wants, answer what "
    "you can from the order system, and hand the call on where somebody else is in charge. Be brief and friendly. "
    "The caller's number is {{{{ caller.number }}}}; known topic: {{{{ topic }}}}."
)


class CheckOrder(Tool[ToolConfig]):
    """Answers at once, as nothing real does."""

    tool_type: ClassVar[str] = "check_order"
    Config = ToolConfig

    def parameters(self) -> Mapping[str, Json]:
        return _PARAMETERS

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> Json:
        del arguments, context
        return FOUND


REGISTRY = Registry((CheckOrder,))


def order_schema() -> dict[str, Json]:
    """Return the order tool as a model is offered it."""
    return {"name": "check_order", "description": _LOOK_UP, "parameters": _PARAMETERS}


def workflow() -> Workflow:
    """Return the two agents: each greets in fixed words, looks orders up, and hands on to the other."""
    return compile_workflow(
        WorkflowConfig.model_validate(
            {
                "schema_version": 1,
                "defaults": {"turn": {"detection": "stt", "endpointing": {"min_delay_s": 0, "dictation_delay_s": 0}}},
                "variables": [
                    {"name": "topic", "data_type": "string", "description": "what the call is about"},
                    {"name": "customer_id", "data_type": "digits", "min_length": 4, "max_length": 8},
                ],
                "agents": [
                    _agent("desk", "Front desk", "front desk", ("To billing", "billing")),
                    _agent("billing", "Billing", "billing department", ("To front desk", "desk")),
                ],
            }
        )
    )


def _agent(key: str, name: str, job: str, path: tuple[str, str]) -> dict[str, Json]:
    variables = [{"name": "topic", "is_required": False}, {"name": "customer_id", "is_required": False}]
    return {
        "id": key,
        "name": name,
        "instructions": _PROMPT.format(job),
        "greeting": {"mode": "say", "text": GREETINGS[key]},
        "tools": [{"tool_type": "check_order", "config": {"description": _LOOK_UP}}],
        "paths": [
            {
                "id": f"from-{key}",
                "name": path[0],
                "description": f"The caller is to talk to the other side: {path[0].lower()}.",
                "target_agent_id": path[1],
                "required_variables": variables,
            }
        ],
    }


class Talk(Protocol):
    """A conversation under way on one side."""

    llm: ScriptedLLM
    ear: Ear

    async def turn(self, text: str) -> None:
        """Take a caller's turn, with the ear listening from its end on, and wait until the answer is over."""
        ...

    async def settle(self) -> None:
        """Wait until nothing is left to be done behind the conversation."""
        ...


class Side(Protocol):
    """One of the two systems. `voice`: seconds until the model's first token and until the voice's first sample."""

    def open(self, voice: tuple[float, float] | None = None) -> AbstractAsyncContextManager[Talk]:
        """Yield a conversation whose first agent has greeted."""
        ...
