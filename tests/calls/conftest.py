"""A place for calls, and the order service of the examples on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.calls.runs import EXAMPLES, Place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Where calls are made, with `workspace.orders_url` leading to a server of the example's own files."""
    app = web.Application()
    app.router.add_static("/", EXAMPLES / "order_status" / "orders")
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Place(tmp_path, {"orders_url": f"http://127.0.0.1:{runner.addresses[0][1]}"})
    await runner.cleanup()
