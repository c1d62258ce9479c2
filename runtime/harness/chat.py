"""A call by text: the caller's lines in, the agents' texts out, the same engine in between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from runtime.harness.script import Dtmf, Hangup, Interrupt, Say, Silence, Step
from runtime.session.call_session import SystemClock
from runtime.voice.live_call import LiveCall

__all__ = ["ChatCaller"]

KEYPAD_PAUSE_S = 3.0


class ChatCaller:
    """Plays the caller of a chat. Time that a script lets pass goes by on the call's clock alone."""

    def __init__(self, live: LiveCall, clock: SystemClock) -> None:
        self._live = live
        self._clock = clock

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self._live.call.state.ended

    async def begin(self) -> None:
        """Start the call and wait until the first agent has spoken."""
        await self._live.begin()
        await self.settle()

    async def play(self, steps: Iterable[Step]) -> None:
        """Take the steps one by one, each after the agent's answer to the one before; then leave as a caller does."""
        for step in steps:
            if self.over:
                return
            await self.take(step)
        await self.leave()

    async def take(self, step: Step) -> None:
        """Take one step and wait for what the agents say to it."""
        match step:
            case Say(text):
                self._live.hear_text(text)
            case Interrupt(_, text):
                if self._live.line.speaking:
                    self._live.session.interrupt(force=True)
                self._live.hear_text(text)
            case Dtmf(keys):
                await self._press(keys)
            case Silence(seconds):
                await self._pass(seconds)
            case Hangup():
                self._live.call.stop("caller_hangup")
            case never:
                assert_never(never)
        await self.settle()

    async def leave(self) -> None:
        """Hang up, unless the call has ended or is about to."""
        await self.settle()
        self._live.call.stop("caller_hangup")

    async def _press(self, keys: str) -> None:
        for key in keys:
            self._live.press(key)
            await self.settle()
        if self._live.call.state.entry is not None:
            await self._pass(KEYPAD_PAUSE_S)

    async def _pass(self, seconds: float) -> None:
        """Let the engine's timers run out one after the other, with what is said between them."""
        while not self.over and (due := self._clock.next_due(seconds)) is not None:
            self._clock.skip(due)
            seconds -= due
            await self.settle()
        if not self.over:
            self._clock.skip(max(0.0, seconds))

    async def settle(self) -> None:
        """Wait until nobody speaks any more; where the call is ending, until it has ended."""
        await self._live.line.wait_idle()
        while self._live.call.state.transfer is not None and not self.over:
            await self._live.call.changed()
            await self._live.line.wait_idle()
        state = self._live.call.state
        if state.ending and not state.ended and state.transfer is None:
            await self._live.call.ended()
