"""A call by voice without a telephone: a caller with a synthetic voice speaks, listens, interrupts and presses keys."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Final, assert_never

import numpy as np
from livekit import rtc

from runtime.harness.phone import RATE, Phone
from runtime.harness.script import Dtmf, Hangup, Interrupt, Say, Silence, Step
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.audio import Recorder, Samples, resample
from runtime.voice.local.tts import synthesise

__all__ = ["RATE", "VoiceCaller", "speech"]

FRAME_S: Final = 0.02
FRAME: Final = int(RATE * FRAME_S)
KEY_S: Final = 0.15
BREATH_S: Final = 0.3
HEARD_WITHIN_S: Final = 6.0
SPEAKS_WITHIN_S: Final = 10.0


class VoiceCaller:
    """Plays the caller of a voice test at the pace of speech, through a telephone that is closed with `aclose`.

    Both sides are recorded on one timeline.
    """

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._recorder = Recorder(rate=RATE)
        self._queue: deque[Samples] = deque()
        self._quiet = asyncio.Event()
        self._started_at = 0.0
        self._pump: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        phone.watch(self._changed.set)

    @property
    def recorder(self) -> Recorder:
        """Both sides of the call: the caller on the left, the agent on the right."""
        return self._recorder

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._phone.standing.ended

    async def begin(self) -> None:
        """Pick up the telephone: the microphone is open, the agent may greet."""
        self._started_at = asyncio.get_running_loop().time()
        self._pump = spawn(self._send_frames(), name="caller's microphone")
        await self._phone.begin(self._agent_frame, _nothing)

    async def play(self, steps: Iterable[Step]) -> None:
        """Take the steps one by one, then wait for the last answer and leave as a caller does."""
        for step in steps:
            if self.over:
                return
            await self._until_over(self.take(step))
        await self._until_over(self._turn_of_the_caller())
        await self.leave()

    async def play_recordings(self, recordings: Iterable[Samples]) -> None:
        """Play each recording once the agent has finished, wait for the last answer and leave."""
        for recording in recordings:
            if self.over:
                return
            await self._until_over(self._turn_of_the_caller())
            await self._until_over(self.speak(recording))
        await self._until_over(self._turn_of_the_caller())
        await self.leave()

    async def _until_over(self, doing: Coroutine[None, None, None]) -> None:
        """Do it, but no longer than the call lasts."""
        work = spawn(doing, name="caller's step")
        ended = spawn(self._phone.ended(), name="end of the call")
        try:
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            await cancel_and_wait(work, ended)

    async def take(self, step: Step) -> None:
        """Take one step at the right moment."""
        match step:
            case Say(text):
                await self._turn_of_the_caller()
                await self.speak(await speech(text))
            case Interrupt(after_s, text):
                words = await speech(text)
                await self._agent_speaks()
                await asyncio.sleep(after_s)
                await self.speak(words)
            case Dtmf(keys):
                await self._turn_of_the_caller()
                await self._press(keys)
            case Silence(seconds):
                await self._turn_of_the_caller()
                await asyncio.sleep(seconds)
            case Hangup():
                await self._turn_of_the_caller()
                self._phone.hang_up()
                await self._phone.ended()
            case never:
                assert_never(never)

    async def speak(self, samples: Samples) -> None:
        """Say it and wait until the agent has understood it as a turn, or clearly has not.

        The answer is not waited for: the next step may interrupt it.
        """
        turn = self._phone.standing.turn
        self._queue.append(samples)
        self._quiet.clear()
        await self._quiet.wait()
        try:
            async with asyncio.timeout(HEARD_WITHIN_S):
                await self._until(lambda: self._phone.standing.turn != turn)
        except TimeoutError:
            return

    async def leave(self) -> None:
        """Hang up, unless the call has ended; a goodbye is heard to its end."""
        if self._phone.standing.ending and not self.over:
            await self._phone.ended()
        self._phone.hang_up()
        await self._phone.ended()

    async def aclose(self) -> None:
        """Put the telephone down."""
        if self._pump is not None:
            await cancel_and_wait(self._pump)
        await self._phone.aclose()

    # ------------------------------------------------------------ when

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def _turn_of_the_caller(self) -> None:
        """Wait until the agent has finished, and take a breath; an agent that begins in it is heard out."""
        while True:
            await asyncio.sleep(0)
            await self._until(lambda: not self._phone.standing.busy or self.over)
            if self._phone.standing.ending:
                await self._phone.ended()
            await asyncio.sleep(BREATH_S)
            if not self._phone.standing.busy:
                return

    async def _agent_speaks(self) -> None:
        try:
            async with asyncio.timeout(SPEAKS_WITHIN_S):
                await self._until(lambda: self._phone.standing.audible)
        except TimeoutError:
            return

    async def _press(self, keys: str) -> None:
        taken = self._phone.standing.keys + len(keys)
        for key in keys:
            self._phone.press(key)
            await asyncio.sleep(KEY_S)
        await self._until(lambda: (self._phone.standing.keys >= taken and not self._phone.standing.keypad) or self.over)

    # ------------------------------------------------------------ sound

    async def _send_frames(self) -> None:
        """Send a frame each 20 ms: the caller's words, else silence; late ones are caught up with."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        silence = np.zeros(FRAME, dtype=np.int16)
        current = silence[:0]
        while True:
            if current.size < FRAME and self._queue:
                current = np.concatenate([current, self._queue.popleft()])
            frame, current = current[:FRAME], current[FRAME:]
            if not frame.size:
                self._quiet.set()
            frame = np.concatenate([frame, silence[frame.size :]])
            self._phone.push(frame)
            self._recorder.add("caller", frame, due - self._started_at)
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _agent_frame(self, frame: rtc.AudioFrame, at: float) -> None:
        self._recorder.add("agent", frame, at - self._started_at)


async def speech(text: str) -> Samples:
    """Return the caller's words as samples at 16 kHz."""
    pcm, rate = await synthesise(text)
    return resample(np.frombuffer(pcm, dtype=np.int16), rate, RATE)


def _nothing() -> None:
    """What was handed over has been recorded already."""
