"""A `patchbay` that runs in the test's own process, with a home, a folder and an environment of its own."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from runtime.settings import Settings
from runtime.store.memory import MemoryStore

Patchbay = Callable[..., Result]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Settings.names(), *(name for name in os.environ if "_API_" in name)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATCHBAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.logs.configure_logging", lambda *_args: None)  # it would take pytest's log handlers away


@pytest.fixture
def patchbay() -> Patchbay:
    def run(*args: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, args, input=stdin, prog_name="patchbay")

    return run


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store that every command of the test opens."""
    memory = MemoryStore()
    monkeypatch.setattr("cli.context._opened", lambda _settings: nullcontext(memory))
    return memory
