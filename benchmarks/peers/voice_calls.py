"""Many calls by voice in one process: callers who speak a recorded phrase by one clock, and how late the agents are."""

from __future__ import annotations

import asyncio
import time
import wave
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from livekit import rtc
from livekit.agents import AgentSession, UserStateChangedEvent

from benchmarks.fakes import PLAIN, ScriptedSTT
from benchmarks.peers.serving import LoopLag, Order, memory_mb
from benchmarks.peers.sound import FRAME_S, IN_RATE, Mouth

__all__ = ["SPOKEN_S", "Call", "OpenCall", "frames_of", "voice_orders"]

Json = Any

SPOKEN_S: Final = 2.0
"""How long an agent's answer is."""
_REST_S: Final = 3.5
"""From the end of a caller's phrase to the next one: the answer, and a pause."""
_PHASES: Final = 4
"""Callers are not in step: a quarter of them has its frame every 5 ms."""
_SETTLE_S: Final = 2.0
_A_CALL_S: Final = 0.03


def _unheard(_frame: rtc.AudioFrame) -> None: ...


@dataclass(slots=True)
class Call:
    """One call's ends: `push` is what the caller is heard by, once somebody listens; `mouth` is what the caller hears."""

    push: Callable[[rtc.AudioFrame], None] = _unheard
    mouth: Mouth = field(default_factory=Mouth)
    listener: ScriptedSTT = field(default_factory=ScriptedSTT)
    spoken_at: float = 0.0
    over_at: float = 0.0
    turns: int = 0
    answered: int = 0
    responses_ms: list[float] = field(default_factory=list)
    own_ms: list[float] = field(default_factory=list)

    def watch(self, session: AgentSession[Any]) -> None:
        """Note when the detector tells the end of the caller's speech."""
        session.on("user_state_changed", self._state)

    def _state(self, event: UserStateChangedEvent) -> None:
        if event.old_state == "speaking" and event.new_state == "listening":
            self.over_at = time.perf_counter()

    def note_answer(self) -> None:
        """Take in the answer to the phrase before, once the next one is about to begin."""
        if self.turns and self.mouth.first_at > self.spoken_at:
            self.answered += 1
            self.responses_ms.append(1e3 * (self.mouth.first_at - self.spoken_at))
            if self.over_at > self.spoken_at:
                self.own_ms.append(1e3 * (self.mouth.first_at - self.over_at))

    def forget(self) -> None:
        """Begin to measure: what was before does not count."""
        self.turns = self.answered = 0
        self.mouth.late_ms.clear()
        self.responses_ms.clear()
        self.own_ms.clear()


OpenCall = Callable[[Call], AbstractAsyncContextManager[None]]
"""Runs a session on the ends of a call; entered, its agent has been started."""


def frames_of(file: Path) -> list[rtc.AudioFrame]:
    """Return the phrase of a mono WAV at 16 kHz in frames of 20 ms, the last one full."""
    with wave.open(str(file)) as sound:
        assert sound.getframerate() == IN_RATE
        data = sound.readframes(sound.getnframes())
    size = int(IN_RATE * FRAME_S) * 2
    return [_frame(data[at : at + size]) for at in range(0, len(data) - size + 1, size)]


def _frame(data: bytes) -> rtc.AudioFrame:
    return rtc.AudioFrame(data=data, sample_rate=IN_RATE, num_channels=1, samples_per_channel=len(data) // 2)


def voice_orders(open_call: OpenCall, phrase: Sequence[rtc.AudioFrame], tuned: Callable[[], None]) -> dict[str, Order]:
    """Return what a side by voice can be ordered to do: `voice` with `sessions` for `seconds`, and `tune`."""

    async def voice(order: Mapping[str, Json]) -> dict[str, Json]:
        calls = [Call() for _ in range(order["sessions"])]
        clock = _Clock(calls, phrase)
        before = memory_mb()
        async with _lines() as lines:
            ticking = asyncio.create_task(clock.run())  # noqa: TID251 - Patchbay is not in the peers' environments
            for call in calls:
                lines.append(AsyncExitStack())
                await lines[-1].enter_async_context(open_call(call))
                await asyncio.sleep(_A_CALL_S)
            await asyncio.sleep(_SETTLE_S)
            memory = memory_mb()
            found = await _measured(calls, order["seconds"])
            if ticking.done():
                ticking.result()
            ticking.cancel()
        return found | {"memory_mb": memory - before}

    async def tune(_order: Mapping[str, Json]) -> dict[str, Json]:
        tuned()
        return {}

    return {"voice": voice, "tune": tune}


@asynccontextmanager
async def _lines() -> AsyncIterator[list[AsyncExitStack]]:
    """Yield what each call is opened on; they are closed all at once, for each waits some while for what is still said."""
    lines: list[AsyncExitStack] = []
    try:
        yield lines
    finally:
        await asyncio.gather(*(line.aclose() for line in lines))


async def _measured(calls: Sequence[Call], seconds: float) -> dict[str, Json]:
    for call in calls:
        call.forget()
    async with LoopLag().run() as lag:
        cpu, start = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - start
    return {
        "cpu_percent": 100 * cpu / wall,
        "late_ms": [late for call in calls for late in call.mouth.late_ms],
        "lag_ms": lag.lags,
        "responses_ms": [each for call in calls for each in call.responses_ms],
        "own_ms": [each for call in calls for each in call.own_ms],
        "turns": sum(call.turns for call in calls),
        "answered": sum(call.answered for call in calls),
        "silent": sum(not call.mouth.late_ms for call in calls),
    }


class _Clock:
    """Pushes every caller's next frame: the phrase, then silence, over and over, each caller somewhere else in it."""

    def __init__(self, calls: Sequence[Call], phrase: Sequence[rtc.AudioFrame]) -> None:
        self._calls = calls
        self._phrase = phrase
        self._round = len(phrase) + int(_REST_S / FRAME_S)
        self._quiet = _frame(bytes(int(IN_RATE * FRAME_S) * 2))

    async def run(self) -> None:
        due, tick = time.perf_counter(), 0
        while True:
            for number in range(tick % _PHASES, len(self._calls), _PHASES):
                self._push(self._calls[number], tick // _PHASES + number * 37)
            tick += 1
            due += FRAME_S / _PHASES
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    def _push(self, call: Call, at: int) -> None:
        at %= self._round
        call.push(self._phrase[at] if at < len(self._phrase) else self._quiet)
        if at == 0:
            call.note_answer()
        if at == len(self._phrase) - 1:
            call.turns += 1
            call.spoken_at = time.perf_counter()
            call.listener.hear(PLAIN)
