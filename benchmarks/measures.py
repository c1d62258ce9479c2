"""What is measured on a side: a turn's cost, a handoff's gap, and the caller's wait for the first sound."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.fakes import MOVE_BACK, MOVE_ON, ORDER, PLAIN, TOPIC
from benchmarks.livekit_side import LiveKitTalk
from benchmarks.sides import Side, Talk

__all__ = ["FIRST_SAMPLE_S", "FIRST_TOKEN_S", "Numbers", "first_sounds", "handoffs", "text_turns"]

FIRST_TOKEN_S = 0.6
FIRST_SAMPLE_S = 0.15
_WARM_UP = 3
_STRETCH = 5

Numbers = Mapping[str, float]


@dataclass(slots=True)
class _Cost:
    cpu_s: float = 0.0
    wall_s: float = 0.0

    async def add(self, talk: Talk, text: str) -> None:
        """Take a few turns. CPU is the whole process's, with what is written behind them; wall clock is the caller's."""
        cpu, start = time.process_time(), time.perf_counter()
        for _ in range(_STRETCH):
            await talk.turn(text)
        self.wall_s += time.perf_counter() - start
        await talk.settle()
        self.cpu_s += time.process_time() - cpu


async def text_turns(sides: Mapping[str, Side], kind: str, *, turns: int) -> dict[str, Numbers]:
    """Return milliseconds a turn by side, of one conversation each; they take turns every five turns.

    A machine that is busy with something else slows both alike, which blocks of seconds do not give.
    """
    text = {"text_turn": PLAIN, "tool_turn": ORDER}[kind]
    costs = {name: _Cost() for name in sides}
    async with AsyncExitStack() as stack:
        talks = {name: await stack.enter_async_context(side.open()) for name, side in sides.items()}
        for talk in talks.values():
            await _Cost().add(talk, text)
        for number in range(turns // _STRETCH):
            for name in sorted(sides, reverse=bool(number % 2)):
                await costs[name].add(talks[name], text)
    return {
        name: {f"{kind}_cpu_ms": 1e3 * cost.cpu_s / turns, f"{kind}_wall_ms": 1e3 * cost.wall_s / turns}
        for name, cost in costs.items()
    }


async def handoffs(side: Side, *, turns: int) -> Numbers:
    """Return milliseconds from the model's call of a path to the first text of the next agent's greeting: mean, p99, longest."""
    gaps = []
    async with side.open() as talk:
        for number in range(turns + _WARM_UP):
            await talk.turn(MOVE_BACK if number % 2 else MOVE_ON)
            await _arrived(talk)
            gaps.append(await talk.ear.text() - talk.llm.called_at)
    counted = sorted(1e3 * gap for gap in gaps[_WARM_UP:])
    p99 = statistics.quantiles(counted, n=100, method="inclusive")[98]
    return {"handoff_gap_ms": statistics.mean(counted), "handoff_gap_ms_p99": p99, "handoff_gap_ms_max": counted[-1]}


async def first_sounds(side: Side) -> Numbers:
    """Return milliseconds from the end of the caller's turn to the first sound, and to the end of the answer."""
    async with side.open((FIRST_TOKEN_S, FIRST_SAMPLE_S)) as talk:
        await talk.turn(PLAIN)  # the first turn opens what the others find open
        found = await _waits(talk, "plain", PLAIN)
        found |= await _waits(talk, "remember_beside", TOPIC)
        talk.llm.beside = False
        found |= await _waits(talk, "remember_alone", TOPIC.replace("17", "18"))
        found |= await _waits(talk, "path", MOVE_ON)
        if isinstance(talk, LiveKitTalk):
            talk.opening = "generate"
            found |= await _waits(talk, "path_generated", MOVE_BACK)
    return found


async def _waits(talk: Talk, kind: str, text: str) -> dict[str, float]:
    asked, start = talk.llm.completions, time.perf_counter()
    await talk.turn(text)
    over = time.perf_counter()
    await _arrived(talk)
    return {
        f"{kind}_first_sound_ms": 1e3 * (await talk.ear.sound() - start),
        f"{kind}_answer_over_ms": 1e3 * (over - start),
        f"{kind}_completions": float(talk.llm.completions - asked),
    }


async def _arrived(talk: Talk) -> None:
    if isinstance(talk, LiveKitTalk):
        await talk.handed_over()
