"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["until"]


async def until(condition: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Return as soon as `condition()` holds; raises TimeoutError where it does not within `within_s` seconds."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what other processes do sets no event of ours
            await asyncio.sleep(0.01)
