"""How often a tool is tried, how many at once, and when a service that keeps failing is left alone for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from purgatory import AsyncCircuitBreakerFactory
from purgatory.domain.model import ExcludeType, OpenedState
from purgatory.service._async.circuitbreaker import AsyncCircuitBreaker
from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential

from runtime.workflow.config import AgentTool
from tools.base import ToolError

__all__ = ["COOLING_S", "FAILURES", "Attempts"]

T = TypeVar("T")

FAILURES = 5
"""After so many failures in passing, one after the other, a tool is not run for `COOLING_S`; then one run may try."""
COOLING_S = 15.0

_BUSY = ("busy", "Too many are asking for this at the moment. Tell the caller so and go on with something else.")
_OPEN = ("circuit_open", "The service is down at the moment. Tell the caller so and go on with something else.")


class Attempts:
    """What the calls of a process share of their tools' runs, by tool and workflow. Belongs to one event loop."""

    def __init__(self, *, failures: int = FAILURES, cooling_s: float = COOLING_S) -> None:
        excluded: ExcludeType = [(ToolError, _is_no_outage), asyncio.CancelledError]
        self._breakers = AsyncCircuitBreakerFactory(failures, cooling_s, exclude=excluded)
        self._known: dict[str, AsyncCircuitBreaker] = {}
        self._slots: dict[tuple[str, int], asyncio.Semaphore] = {}

    async def run(
        self, key: str, tool: AgentTool, once: Callable[[], Awaitable[T]], *, deadline: float, repeatable: bool
    ) -> T:
        """Return what `once` returns, tried as `tool` says until `deadline` (loop time).

        Raises what the last try raised, TimeoutError at the deadline, and `ToolError` where it was not tried at all.
        """
        slot = self._slots.setdefault((key, tool.max_concurrency), asyncio.Semaphore(tool.max_concurrency))
        await _acquire(slot, deadline)
        try:
            if not repeatable or not tool.retries:
                return await self._once(key, once, deadline)
            clock = asyncio.get_running_loop().time
            tries = AsyncRetrying(
                stop=lambda state: state.attempt_number > tool.retries or clock() + state.upcoming_sleep >= deadline,
                wait=wait_random_exponential(multiplier=0.1, max=1.0),
                retry=retry_if_exception(_is_passing),
                reraise=True,
            )
            return await tries(self._once, key, once, deadline)
        finally:
            slot.release()

    async def _once(self, key: str, once: Callable[[], Awaitable[T]], deadline: float) -> T:
        try:
            # The timeout lies inside: a service that does not answer counts as one that fails.
            async with self._known.get(key) or await self._breaker(key), asyncio.timeout_at(deadline):
                return await once()
        except OpenedState as error:
            raise ToolError(*_OPEN) from error

    async def _breaker(self, key: str) -> AsyncCircuitBreaker:
        """Return the breaker, which is kept: to ask the library for it costs as much as all else here."""
        self._known[key] = await self._breakers.get_breaker(key)
        return self._known[key]


async def _acquire(slot: asyncio.Semaphore, deadline: float) -> None:
    if not slot.locked():
        await slot.acquire()
        return
    try:
        async with asyncio.timeout_at(deadline):
            await slot.acquire()
    except TimeoutError as error:
        raise ToolError(*_BUSY) from error


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, ToolError) and error.passing


def _is_no_outage(error: ToolError) -> bool:
    return not error.passing
