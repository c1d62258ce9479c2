"""Calls in virtual time whose model may be asked before the caller's turn is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from runtime.session.ports import ToolOutcome
from runtime.voice.watchdog import Limits
from tests.fakes.virtual_time import in_virtual_time
from tests.fakes.voice_providers import Answer, Asked
from tests.runtime.voice.stage import Stage, config, on_stage
from tests.runtime.voice.test_no_dead_air import Tools

Json = Any
Play = Callable[[Stage], Coroutine[Any, Any, None]]
Perform = Callable[..., Stage]

ENDPOINT_S = 0.8
"""From the caller's last sound to the end of the turn."""
VAD_LAG_S = 0.05
"""What the stand-in detector needs to feel that a voice has ended."""
FINE = "All is well."
NUMBER = {"name": "customer_id", "data_type": "digits", "min_length": 4, "max_length": 8, "dtmf": True}
TO_BILLING = {"id": "p", "name": "To Billing", "description": "Invoices", "target_agent_id": "billing"}
BILLING = {"id": "billing", "name": "Billing", "instructions": "Help.", "greeting": {"mode": "say", "text": "Billing."}}
ORDERS = {"tool_type": "check_order", "config": {}}
PATIENT = Limits(filler_s=60.0, transcript_s=60.0, turn_s=60.0)


def desk(*, preemptive: bool = True, **changes: Json) -> dict[str, Json]:
    """Return a workflow whose first agent waits `ENDPOINT_S` for the end of a turn."""
    delays = {"min_delay_s": ENDPOINT_S, "max_delay_s": ENDPOINT_S, "dictation_delay_s": 2 * ENDPOINT_S}
    turn = {"endpointing": delays, "interruption": {"resume_after_s": 0.5}, "preemptive": preemptive}
    raw = config(turn=turn, **changes)
    raw["agents"].append({**BILLING, "turn": turn})
    if "paths" not in changes:
        raw["agents"][0]["paths"] = [TO_BILLING]
    return raw


def now() -> float:
    return asyncio.get_running_loop().time()


async def says(stage: Stage, *texts: str, pause_s: float = 0.3) -> float:
    """Let the caller say it bit by bit, each understood at once; return when the turn will be over."""
    for number, text in enumerate(texts):
        stage.throb.begin()
        if number:
            stage.ears.hear(text.split()[0], final=False)
        await asyncio.sleep(pause_s)
        stage.ears.hear(text)
    await asyncio.sleep(0.1)
    stage.throb.end(0.4)
    await asyncio.sleep(0)
    return now() - VAD_LAG_S + ENDPOINT_S


async def answered(stage: Stage) -> None:
    """Wait until the turn has been taken and answered."""
    turn = stage.live.call.state.turn
    await stage.until(lambda: stage.live.call.state.turn > turn)
    await asyncio.sleep(0)
    await stage.live.line.wait_idle()


async def waits(stage: Stage, *texts: str) -> tuple[float, float]:
    """Let the caller say it; return when the turn was over, and when the first sound of the answer was heard."""
    heard = len(stage.heard)
    over = await says(stage, *texts)
    await stage.until(lambda: len(stage.heard) > heard)
    return over, stage.heard[heard]


def discarded(stage: Stage) -> int:
    return sum(
        usage.get("discarded", 0) for payload in stage.payloads("usage_reported") for usage in payload.get("usage", ())
    )


def turns(stage: Stage) -> list[str]:
    return [payload["text"] for payload in stage.payloads("user_turn")]


def performer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Perform:
    """Return what plays a call in virtual time to its end; the stage it returns is over."""

    def performed(
        play: Play, answer: Callable[[Asked], Answer], raw: Mapping[str, Json] | None = None, tools: Tools | None = None
    ) -> Stage:
        async def scenario() -> Stage:
            runner = tools or Tools(ToolOutcome("shipped"))
            opened: AbstractAsyncContextManager[Stage] = on_stage(
                folder, raw or desk(), answer, tools=runner, limits=PATIENT, speed=1.0
            )
            async with opened as stage:
                await stage.until(lambda: bool(stage.heard))
                await stage.live.line.wait_idle()
                await play(stage)
                await stage.live.line.wait_idle()
            return stage

        return in_virtual_time(scenario(), monkeypatch)

    return performed


def needing(**variable: Json) -> list[dict[str, Json]]:
    return [TO_BILLING | {"required_variables": [NUMBER | variable]}]
