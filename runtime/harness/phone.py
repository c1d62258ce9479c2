"""A telephone that a caller holds: what of the call can be noticed through it, and what can be done; here in one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from livekit import rtc

from runtime.voice.audio import PcmInput, PcmOutput, Samples
from runtime.voice.live_call import LiveCall

__all__ = ["RATE", "ClearableOutput", "Hear", "LocalPhone", "Phone", "Standing", "standing_of", "watch_standing"]

RATE: Final = 16000
"""Of what the caller says, in Hz."""
Hear: TypeAlias = Callable[[rtc.AudioFrame, float], None]
"""Takes what the agent says, and when it is heard (the loop's time, seconds)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a call stands, as far as a caller needs to know to take turns.

    `turn` counts the caller's turns; `busy`: the agent speaks or is about to; `audible`: it is heard right now; `keypad`:
    keys are being collected; `keys` counts those the call has taken; `ending`: only a goodbye comes, if anything.
    """

    turn: int = 0
    busy: bool = False
    audible: bool = False
    keypad: bool = False
    keys: int = 0
    ending: bool = False
    ended: bool = False


class Phone(Protocol):
    """One call's telephone. All of it belongs to one event loop; after the end of the call nothing that is done harms."""

    @property
    def standing(self) -> Standing: ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called whenever the standing may have changed."""
        ...

    async def begin(self, hear: Hear, cleared: Callable[[], None]) -> None:
        """Pick up. `cleared` is called when what has been handed to `hear` and has not been heard is to be dropped."""
        ...

    def push(self, samples: Samples) -> None:
        """Say mono samples at 16 kHz; silence is said, too."""
        ...

    def press(self, key: str) -> None:
        """Press one key of `0-9*#A-D`."""
        ...

    def mute(self, *, muted: bool) -> None:
        """Let the agent hear silence, or hear again."""
        ...

    def hang_up(self) -> None: ...

    async def ended(self) -> None:
        """Wait until the call is over."""
        ...

    async def aclose(self) -> None: ...


def standing_of(live: LiveCall, keys: int) -> Standing:
    """Return how a call of this process stands."""
    state = live.call.state
    return Standing(
        turn=state.turn,
        busy=live.line.speaking,
        audible=live.session.agent_state == "speaking",
        keypad=state.entry is not None,
        keys=keys,
        ending=state.ending,
        ended=state.ended,
    )


def watch_standing(live: LiveCall, changed: Callable[[], None]) -> None:
    """Have `changed` called whenever `standing_of` may have changed."""
    live.call.watch(lambda _state: changed())
    live.session.on("agent_state_changed", lambda _event: changed())
    live.session.on("speech_created", lambda _event: changed())


class ClearableOutput(PcmOutput):
    """An output that says when what it has handed on and was not heard yet is to be dropped."""

    def __init__(self, on_frame: Hear, on_clear: Callable[[], None], *, lead_s: float = 0.0) -> None:
        super().__init__(on_frame, lead_s=lead_s)
        self._on_clear = on_clear

    def clear_buffer(self) -> None:
        speaking = bool(self._segments)
        super().clear_buffer()
        if speaking:
            self._on_clear()


class LocalPhone:
    """Implements `Phone` on a call of this process. `lead_s`: how far ahead of being heard `hear` gets its frames."""

    def __init__(self, live: LiveCall, *, lead_s: float = 0.0) -> None:
        self._live = live
        self._lead_s = lead_s
        self._input = PcmInput(rate=RATE)
        self._output: ClearableOutput | None = None
        self._keys = 0
        self._muted = False

    @property
    def standing(self) -> Standing:
        return standing_of(self._live, self._keys)

    def watch(self, changed: Callable[[], None]) -> None:
        watch_standing(self._live, changed)

    async def begin(self, hear: Hear, cleared: Callable[[], None]) -> None:
        self._output = ClearableOutput(hear, cleared, lead_s=self._lead_s)
        self._live.connect(self._input, self._output)
        await self._live.begin()

    def push(self, samples: Samples) -> None:
        self._input.push(samples * 0 if self._muted else samples)

    def press(self, key: str) -> None:
        self._keys += 1
        self._live.press(key)

    def mute(self, *, muted: bool) -> None:
        self._muted = muted

    def hang_up(self) -> None:
        self._live.call.stop("caller_hangup")

    async def ended(self) -> None:
        await self._live.call.ended()

    async def aclose(self) -> None:
        self._input.close()
        if self._output is not None:
            await self._output.aclose()
