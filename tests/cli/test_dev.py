"""`patchbay dev`: bad input is told before anything is started."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from runtime.store.memory import MemoryStore
from tests.cli.conftest import Patchbay
from tests.cli.test_phone import hide_package, taken

__all__ = ["taken"]

CONFIG = """
agents:
  - {id: a, name: Desk, instructions: Help.}
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command of each worker that would have been started; there is no livekit-server."""
    commands: list[list[str]] = []

    async def supervise(children: tuple[object, ...], **_where: object) -> int:
        commands.extend(list(child.argv) for child in children)  # type: ignore[attr-defined]
        return 0

    monkeypatch.setattr("cli.dev.supervise", supervise)
    monkeypatch.setattr("cli.dev._binary", lambda: None)
    monkeypatch.setattr("cli.dev.served_api", lambda *_args, **_options: nullcontext())
    return commands


def test_an_address_that_is_none(patchbay: Patchbay, started: list[list[str]]) -> None:
    result = patchbay("dev", "--listen", "nonsense")
    assert result.exit_code == 2
    assert "'nonsense'" in result.stderr
    assert not started


def test_an_address_that_is_taken(patchbay: Patchbay, started: list[list[str]], taken: str) -> None:
    result = patchbay("dev", "--listen", taken)
    assert result.exit_code == 3
    assert f"cannot listen on {taken}" in result.stderr
    assert not started


def test_without_the_package_it_says_what_to_install(
    patchbay: Patchbay, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_package(monkeypatch)
    result = patchbay("dev")
    assert result.exit_code == 3
    assert "pip install 'patchbay[phone]'" in result.stderr
    assert not started


@pytest.mark.parametrize(
    ("text", "code", "told"), [(None, 2, "cannot be opened"), ("agents: [{id: a}]", 1, "$.agents[0].name")]
)
def test_a_file_that_cannot_answer(
    patchbay: Patchbay,
    started: list[list[str]],
    store: MemoryStore,
    tmp_path: Path,
    text: str | None,
    code: int,
    told: str,
) -> None:
    if text is not None:
        (tmp_path / "desk.yaml").write_text(text)
    result = patchbay("dev", "desk.yaml", "--listen", "127.0.0.1:0")
    assert result.exit_code == code
    assert told in result.stderr
    assert not started


def test_it_says_how_to_call_and_what_answers(
    patchbay: Patchbay, started: list[list[str]], store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "desk.yaml").write_text(CONFIG)
    result = patchbay("dev", "desk.yaml", "--listen", "127.0.0.1:0", "--offline")
    assert result.exit_code == 0, result.output
    (command,) = started
    listen = command[command.index("--phone") + 1]
    assert f"ring sip:patchbay@{listen}" in result.stdout
    assert "make livekit" in result.stdout
    assert "--rooms" not in command
    assert {"--answer-with", "--loopback-models", "--offline"} <= set(command)


def test_where_nothing_is_published_the_example_answers_without_a_key(
    patchbay: Patchbay, started: list[list[str]], store: MemoryStore
) -> None:
    result = patchbay("dev", "--listen", "127.0.0.1:0")
    assert result.exit_code == 0, result.output
    assert "front desk answers" in result.stderr
    assert {"--answer-with", "--answer-offline"} <= set(started[0])
    assert "--offline" not in started[0], "what is published later has its own providers"


def test_where_livekit_is_given_rooms_are_answered_too(
    patchbay: Patchbay, started: list[list[str]], store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", "ws://127.0.0.1:7880")
    monkeypatch.setenv("LIVEKIT_API_KEY", "key")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "a secret of thirty-two characters")
    result = patchbay("dev", "--listen", "127.0.0.1:0")
    assert result.exit_code == 0, result.output
    assert "--rooms" in started[0]
    assert "https://meet.livekit.io/custom?liveKitUrl=ws%3A%2F%2F127.0.0.1%3A7880" in result.stdout
    assert "secret of thirty-two" not in result.output
