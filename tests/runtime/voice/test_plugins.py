"""Plugins imported when a config names them: off the event loop, and announced on the main thread."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import livekit.plugins
import pytest
from livekit.agents import Plugin
from structlog.testing import capture_logs

from runtime.errors import ProviderMissing
from runtime.voice.plugins import import_named
from runtime.voice.providers import constructor

Json = Any

SOUND = """
import threading
from livekit.agents import Plugin
from .llm import LLM
IMPORTED_ON = threading.current_thread()
class Own(Plugin):
    pass
Plugin.register_plugin(Own("later", "1", __name__))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which a package is a plugin that is installed."""
    monkeypatch.setattr(livekit.plugins, "__path__", [*livekit.plugins.__path__, str(tmp_path)])
    before = list(Plugin.registered_plugins)
    yield tmp_path
    Plugin.registered_plugins[:] = before
    for name in [name for name in sys.modules if name.startswith(("livekit.plugins.late", "livekit.plugins.broken"))]:
        del sys.modules[name]


def put(folder: Path, name: str, code: str) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    (folder / name / "llm.py").write_text("class LLM: pass\n")


async def test_it_is_imported_on_a_thread_and_registered_on_this_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "later_one", SOUND)
    registered: list[threading.Thread] = []
    emitter = SimpleNamespace(emit=lambda *_: registered.append(threading.current_thread()))
    monkeypatch.setattr(Plugin, "emitter", emitter)
    agents: Json = [{"name": "A", "llm": {"provider": "openai", "fallbacks": [{"provider": "later-one"}]}}]
    assert await import_named({"agents": agents})
    assert not await import_named({"agents": agents})
    module = sys.modules["livekit.plugins.later_one"]
    assert module.IMPORTED_ON is not threading.main_thread()
    assert threading.main_thread() in registered
    assert set(registered) == {threading.main_thread()}
    assert any(plugin.title == "later" for plugin in Plugin.registered_plugins)
    assert constructor("llm", "later-one") is module.LLM


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import no_such_module", "no_such_module"),
        ("raise ValueError('bad protobuf')", "ValueError: bad protobuf"),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
    ],
)
async def test_one_that_is_broken_is_logged_and_told_where_it_is_asked_for(folder: Path, code: str, why: str) -> None:
    put(folder, "broken", code)
    with capture_logs() as lines:
        assert not await import_named({"defaults": {"llm": {"provider": "broken"}}})
    assert [(line["event"], line["module"], why in line["reason"]) for line in lines] == [
        ("plugin_unusable", "livekit.plugins.broken", True)
    ]
    with pytest.raises(ProviderMissing, match=why):
        constructor("llm", "broken")
    assert Plugin.__dict__["register_plugin"].__class__ is classmethod


@pytest.mark.parametrize(
    "config",
    [
        None,
        "openai",
        {"provider": "later_two"},
        {"llm": {"provider": ["later_two"]}, "agents": 3},
        {"llm": {"provider": "../later_two"}},
        {"tts": {"provider": "nowhere"}},
    ],
)
async def test_what_names_no_provider_imports_nothing(config: Json, folder: Path) -> None:
    put(folder, "later_two", SOUND)
    assert not await import_named(config)
    assert "livekit.plugins.later_two" not in sys.modules
