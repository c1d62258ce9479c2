"""The one writer of a process: batches of all its calls to the store, for ever, behind the calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from runtime.errors import StoreUnreachable
from runtime.session.backlog import Backlog, Entry
from runtime.session.delivery import Delivery
from runtime.session.unwritten import session_of

__all__ = ["Backoff", "Writer"]

_LARGEST_BATCH = 1000
_log = structlog.get_logger("event_log")


@dataclass(slots=True)
class Backoff:
    """Seconds to wait before the next try: doubled from `first_s` to `last_s`, and spread, since all workers lose one store."""

    first_s: float = 0.1
    last_s: float = 5.0
    tries: int = 0

    async def wait(self) -> None:
        wait_s = min(self.last_s, self.first_s * 2**self.tries)
        self.tries = min(self.tries + 1, 16)
        await asyncio.sleep(wait_s * random.uniform(0.75, 1.25))  # noqa: S311 - spread, no secret

    def reset(self) -> None:
        self.tries = 0


class Writer:
    """Takes from the backlog after `flush_s` or when it holds `wake_at` records, and retries while the store is away.

    Where more waits than one batch holds, two are on their way at once: while the store works on one, the other is encoded
    or worked on as well. Each has sessions of its own, and both are through before the next are taken, so that the events
    of a session are stored in order whatever becomes of the other batch.
    """

    def __init__(
        self,
        backlog: Backlog,
        delivery: Delivery,
        *,
        flush_s: float,
        backoff: Backoff,
        report: Callable[[str, str], None],
    ) -> None:
        self._backlog = backlog
        self._delivery = delivery
        self._flush_s = flush_s
        self._backoff = backoff
        self._report = report

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._backlog.some.wait()
            await self._gather()
            await self._send()

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(self._flush_s):
                await self._backlog.enough.wait()
        except TimeoutError:
            return

    async def _send(self) -> None:
        entries = await self._backlog.take(2 * _LARGEST_BATCH)
        try:
            await self._deliver(entries)
        except StoreUnreachable as error:
            self._backlog.settle()
            self._away(error)
            await self._backoff.wait()
        else:
            self._backlog.settle()
            self._back()

    async def _deliver(self, entries: Sequence[Entry]) -> None:
        """Raises what went wrong on either way when nothing is on its way any more."""
        ways = [entries] if len(entries) <= _LARGEST_BATCH else _in_two(entries)
        for error in await asyncio.gather(*map(self._in_turn, ways), return_exceptions=True):
            if error is not None:
                raise error

    async def _in_turn(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), _LARGEST_BATCH):
            await self._delivery.deliver(entries[start : start + _LARGEST_BATCH])

    def _away(self, error: StoreUnreachable) -> None:
        if not self._backoff.tries:
            self._report("store_away", f"{error.message} Events wait in the local log and are sent when it is back.")

    def _back(self) -> None:
        if self._backoff.tries:
            _log.info("store_back", waiting=self._backlog.depth)
        self._backoff.reset()


def _in_two(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Every second session in the one, the others in the other; each in order."""
    sides: dict[str, int] = {}
    ways: list[list[Entry]] = [[], []]
    for entry in entries:
        ways[sides.setdefault(session_of(entry.record), len(sides) % 2)].append(entry)
    return ways
