"""One answer of a model while it streams: what it says and calls, and how long it may take."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from livekit.agents import FlushSentinel, llm

from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.patience import Patience

__all__ = ["Chunk", "Completion", "Haste", "chunks", "faulty_calls"]

Chunk = llm.ChatChunk | str | FlushSentinel
_LOOK_S: Final = 0.1


@dataclass(slots=True)
class Completion:
    """One answer of the model while it streams."""

    text: str = ""
    calls: int = 0
    begun: int = 0
    called: list[tuple[str, str]] = field(default_factory=list)
    """Functions by name and their arguments as they came, whether or not LiveKit will call them."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    since: float = field(default_factory=time.monotonic)

    @property
    def said(self) -> bool:
        """Whether there is anything in it that a voice can say: marks and emoji alone are silence."""
        return any(map(str.isalnum, self.text))

    @property
    def answered(self) -> bool:
        """Whether it has said or called anything."""
        return self.said or self.calls > 0

    def note(self, chunk: Chunk, *, may_call: bool) -> None:
        """Keep count of what the model says and calls; LiveKit drops calls that it forbade (after `max_tool_steps`)."""
        if not isinstance(chunk, llm.ChatChunk) or chunk.delta is None:
            return
        self.text += chunk.delta.content or ""
        if may_call:
            self.calls += len(chunk.delta.tool_calls)
            self.called += [(call.name, call.arguments) for call in chunk.delta.tool_calls]


@dataclass(frozen=True, slots=True)
class Haste:
    """How long an answer may take: its first words or calls come `by` (the loop's time), a chunk `next_s` after another.

    `filler` is asked again and again until then what to say meanwhile.
    """

    by: float
    next_s: float
    filler: Callable[[], str | None] | None = None


async def chunks(stream: AsyncIterator[llm.ChatChunk], completion: Completion, haste: Haste) -> AsyncIterator[Chunk]:
    """Yield what the model answers, with fillers as speech of their own. Raises TimeoutError where it takes too long."""
    loop, patience = asyncio.get_running_loop(), Patience()
    try:
        while True:
            under_way = completion.answered
            until = loop.time() + haste.next_s if under_way else haste.by
            if haste.filler is None or under_way:
                chunk = await patience.next_of(stream, until)
            else:
                pending = spawn(_next(stream), name="next chunk", on_error=_ignore)
                try:
                    async for words in _meanwhile(pending, until, haste.filler):
                        yield words
                finally:
                    await cancel_and_wait(pending)
                chunk = pending.result()
            yield chunk
    except StopAsyncIteration:
        return
    finally:
        patience.close()


async def _next(stream: AsyncIterator[llm.ChatChunk]) -> llm.ChatChunk:
    return await anext(stream)


async def _meanwhile(
    pending: asyncio.Task[llm.ChatChunk], until: float, filler: Callable[[], str | None]
) -> AsyncIterator[Chunk]:
    loop = asyncio.get_running_loop()
    while not pending.done():
        if loop.time() >= until:
            raise TimeoutError
        await asyncio.wait({pending}, timeout=min(_LOOK_S, max(0.0, until - loop.time())))
        if not pending.done() and (words := filler()):
            yield words + " "
            yield FlushSentinel()  # a sentence of its own: it is not to wait for the answer


def faulty_calls(completion: Completion, known: Collection[str]) -> list[tuple[str, str]]:
    """Return for each call that cannot be made a code and what is wrong; the model is told of it by LiveKit."""
    found = []
    for name, arguments in completion.called:
        if name not in known:
            found.append(("unknown_function", f"The model called '{name[:80]}', which does not exist."))
        elif not _is_object(arguments):
            found.append(("bad_arguments", f"The arguments of '{name}' are no JSON object."))
    return found


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments or "{}"), dict)
    except ValueError:
        return False


def _ignore(_error: BaseException) -> None:
    """It is raised where the chunk is taken."""
