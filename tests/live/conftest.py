"""What live tests share: databases on a real Postgres, and a worker that telephones can ring."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from runtime.voice.pipeline import warm
from tests.contract.conftest import databases
from tests.fakes.databases import Databases
from tests.fakes.working import Desk, working

__all__ = ["OpenDesk", "databases"]

OpenDesk = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture(scope="session")
def warmed() -> None:
    """Import what a worker imports before its first call."""
    warm()


@pytest.fixture
async def open_desk(databases: Databases, tmp_path: Path, warmed: None) -> OpenDesk:
    """A worker with a SIP line on a database of its own: see `working`."""
    return partial(working, await databases.migrated(), tmp_path)
