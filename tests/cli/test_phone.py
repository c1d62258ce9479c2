"""`patchbay phone`: bad input is told at once, and a telephone is answered by the file that was named."""

from __future__ import annotations

import importlib.util
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.store.memory import MemoryStore
from tests.cli.conftest import Patchbay
from tests.cli.console import Console
from tests.fakes.hearing import loud_s
from tests.fakes.sip_caller import free_port, sip_phone

CONFIG = """
agents:
  - {id: a, name: Desk, instructions: Help., greeting: {mode: say, text: "Hello, this is the desk."}}
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of each worker that would have been started."""
    calls: list[list[str]] = []

    def run_workers(_settings: object, arguments: list[str]) -> int:
        calls.append(list(arguments))
        return 0

    monkeypatch.setattr("cli.phone.run_workers", run_workers)
    return calls


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1", "127.0.0.1:99999", "5060"])
def test_an_address_that_is_none(patchbay: Patchbay, started: list[list[str]], listen: str) -> None:
    result = patchbay("phone", "--listen", listen)
    assert result.exit_code == 2
    assert f"'{listen}'" in result.stderr
    assert "127.0.0.1:5060" in result.stderr
    assert not started


def test_an_address_that_is_taken_is_told_before_anything_starts(
    patchbay: Patchbay, started: list[list[str]], taken: str
) -> None:
    result = patchbay("phone", "--listen", taken)
    assert result.exit_code == 3
    assert f"cannot listen on {taken}" in result.stderr
    assert "Ring sip:" not in result.stderr
    assert not started


def test_without_the_package_it_says_what_to_install(
    patchbay: Patchbay, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_package(monkeypatch)
    result = patchbay("phone")
    assert result.exit_code == 3
    assert "pip install 'patchbay[phone]'" in result.stderr
    assert not started


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [(None, 2, "cannot be opened"), ("agents: [{id: a}]", 1, "$.agents[0].name"), ("a: [", 1, "desk.yaml")],
)
def test_a_file_that_cannot_answer(
    patchbay: Patchbay, started: list[list[str]], tmp_path: Path, text: str | None, code: int, told: str
) -> None:
    if text is not None:
        (tmp_path / "desk.yaml").write_text(text)
    result = patchbay("phone", "desk.yaml", "--listen", "127.0.0.1:0")
    assert result.exit_code == code
    assert told in result.stderr
    assert not started


def test_a_file_becomes_the_draft_that_answers(
    patchbay: Patchbay, started: list[list[str]], store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "desk.yaml").write_text(CONFIG)
    result = patchbay("phone", "desk.yaml", "--listen", "127.0.0.1:0", "--offline")
    assert result.exit_code == 0, result.output
    (arguments,) = started
    listen = arguments[arguments.index("--phone") + 1]
    assert not listen.endswith(":0")
    assert f"Ring sip:patchbay@{listen}" in result.stderr
    assert "--offline" in arguments
    assert arguments[arguments.index("--answer-with") + 1]


def test_an_address_that_others_reach_is_warned_of(patchbay: Patchbay, started: list[list[str]]) -> None:
    result = patchbay("phone", "--listen", f"0.0.0.0:{free_port()}")
    assert result.exit_code == 0
    assert "cannot authenticate who calls" in result.stderr


@pytest.mark.live
async def test_a_telephone_is_answered_a_moment_after_the_command(tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text(CONFIG)
    listen = f"127.0.0.1:{free_port()}"
    console = Console(tmp_path, {"PATCHBAY_HTTP_PORT": str(free_port())})
    with console.running("phone", "desk.yaml", "--listen", listen, "--offline") as process:
        async with sip_phone(user="+15550191") as phone:
            await answered(phone, f"sip:+15550100@{listen}")
            await phone.until_true(lambda: loud_s(phone.heard) > 0.5, what="a voice")
            phone.hang_up()
            await phone.until_true(lambda: bool(phone.named("closed")), what="the end")
        done = console.interrupted(process, signal.SIGTERM, code=0)
    assert "call_summary" in done.err
    listed = console.run("session", "list", "--json").json["sessions"]
    assert [(each["from_number"], each["end_reason"]) for each in listed] == [("+15550191", "caller_hangup")]


async def answered(phone: Any, uri: str) -> None:
    """Ring until somebody answers: the worker takes a few seconds to be there."""
    closed = 0
    while not phone.named("established"):
        await phone.ring(uri)
        ends: Callable[[], bool] = lambda: bool(phone.named("established")) or len(phone.named("closed")) > closed  # noqa: B023, E731
        await phone.until_true(ends, within_s=40, what="an answer")
        closed = len(phone.named("closed"))


def hide_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have baresip-python not be installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "baresip" else find(name, *rest)
    )
