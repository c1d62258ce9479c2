"""`python -m benchmarks.tools`: what the runner adds to a tool turn of a bare AgentSession, in alternating turns of one run."""

from __future__ import annotations

import asyncio
import statistics
import sys

import httpx

from benchmarks.livekit_side import LiveKit, LookUp
from benchmarks.measures import text_turns
from benchmarks.sides import REGISTRY, workflow
from runtime.logging import configure_logging
from runtime.session.ports import RunnerOrder, ToolCall
from tools.runner import Runner
from tools.services import Services

_ROUNDS, _TURNS = 9, 60
_SECRETS = {"ORDERS_KEY": "sk-orders-0123456789", "CRM_KEY": "crm-key-abcdefghijkl"}


def through(services: Services) -> LookUp:
    """Return the look-up done by the runner of a call: arguments checked, attempts bounded, secrets blotted out."""
    flow = workflow()
    runner = Runner(REGISTRY, services, RunnerOrder("o", flow, secrets=_SECRETS))
    tool = flow.entry.tools[0]

    async def look_up(arguments: dict[str, object], tool_call_id: str) -> str:
        asked = ToolCall(
            tool=tool,
            function=tool.function_name,
            tool_call_id=tool_call_id,
            arguments=arguments,
            variables={},
            caller={},
            call={},
            workspace={},
        )
        return (await runner.run(asked)).text

    return look_up


async def measure() -> None:
    async with httpx.AsyncClient() as http:
        sides = {"runner": LiveKit(through(Services(http))), "livekit": LiveKit()}
        await text_turns(sides, "tool_turn", turns=20)  # what is imported and compiled at first use
        rounds = []
        for number in range(_ROUNDS):
            print(f"round {number + 1} of {_ROUNDS}", file=sys.stderr)
            rounds.append(await text_turns(sides, "tool_turn", turns=_TURNS))
    for key in ("tool_turn_cpu_ms", "tool_turn_wall_ms"):
        ours, theirs = ([found[side][key] for found in rounds] for side in ("runner", "livekit"))
        added = statistics.median(a - b for a, b in zip(ours, theirs, strict=True))
        row = f"{statistics.median(ours):8.2f} {statistics.median(theirs):8.2f}"
        print(
            f"{key:24}{row}   added {added:+.3f} ms   ratio {statistics.median(ours) / statistics.median(theirs):.3f}"
        )


if __name__ == "__main__":
    configure_logging("warning", "console")
    asyncio.run(measure())
