"""Opens what the tools of a process share, from its settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from runtime.errors import PatchbayError
from runtime.knowledge.embedding import open_embedder
from runtime.knowledge.searching import Searcher
from runtime.session.ports import RunnerOrder, Store
from runtime.settings import Settings
from runtime.store.opening import database_of
from runtime.store.tool_database import open_tool_database
from runtime.tasks import cancel_and_wait, spawn
from tools.guard import open_client
from tools.mcp_open import open_mcp
from tools.mocks import parse_mocks
from tools.registry import Registry, default_registry
from tools.runner import Runner
from tools.services import Services
from tools.tables import databases

__all__ = ["Tools", "open_tools"]

_log = structlog.get_logger("tools")


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a process: a runner for each call."""

    services: Services
    registry: Registry

    def runner(self, order: RunnerOrder) -> Runner:
        """Return the runner of one call. Raises UsageFault for mocks that do not fit its workflow."""
        return Runner(self.registry, self.services, order, parse_mocks(order.mocks, order.workflow))


@asynccontextmanager
async def open_tools(settings: Settings, store: Store) -> AsyncIterator[Tools]:
    """Yield the tools of this event loop; their connections are closed afterwards.

    Nothing is connected before it is used. Raises UsageFault for a setting that cannot be used.
    """
    allowed = settings.allow_private_hosts.allows
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(open_client(allowed))
        tables = await stack.enter_async_context(open_tool_database(settings))
        mcp = await stack.enter_async_context(open_mcp(settings.mcp_servers, allowed))
        searcher = await _searcher(stack, settings, store)
        services = Services(
            http,
            database=databases(tables),
            knowledge=searcher.of if searcher is not None else None,
            mcp=mcp,
        )
        yield Tools(services, default_registry())


async def _searcher(stack: AsyncExitStack, settings: Settings, store: Store) -> Searcher | None:
    """Return what searches the store's knowledge; a store in memory, or over an API alone, has none. It gets ready behind the first calls."""
    if (database := database_of(store)) is None:
        return None
    searcher = Searcher(database, await stack.enter_async_context(open_embedder(settings)))
    stack.push_async_callback(cancel_and_wait, spawn(_prepared(searcher), name="knowledge"))
    return searcher


async def _prepared(searcher: Searcher) -> None:
    try:
        await searcher.prepare()
    except PatchbayError as error:  # answers come by words alone, and each says so in the log
        _log.warning("knowledge_by_words_alone", reason=error.message)
