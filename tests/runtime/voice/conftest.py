"""Providers that are closed after each test, and no key in the environment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtime.voice.pipeline import Providers
from tests.runtime.voice.nodes import Make


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Providers] = []

    def new(**options: Any) -> Providers:
        made.append(Providers(**options))
        return made[-1]

    yield new
    for each in made:
        await each.aclose()
