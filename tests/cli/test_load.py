"""`patchbay load`, as far as it gets without a server: what is missing or wrong is told before anybody calls."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from cli.load_screen import told
from runtime.harness.load.plan import LoadPlan
from runtime.harness.load.results import Failure
from runtime.harness.load.run import Snapshot
from runtime.store.memory import MemoryStore
from runtime.voice.local.voices import languages
from tests.cli.conftest import Patchbay
from tests.cli.test_worker import LIVEKIT
from tests.runtime.harness.load.samples import call

SAY = ("--say", "hello")


@pytest.fixture
def livekit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LIVEKIT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--say TEXT or --script FILE"),
        ((*SAY, "--script", "x.txt"), "--say TEXT or --script FILE"),
        (("--script", "nowhere.txt"), "nowhere.txt cannot be opened"),
        (("--script", "bad.txt"), "bad.txt cannot be played"),
        (("--say", "[silence 3]"), "say nothing"),
        (("--say", "[interrupt] stop"), "[interrupt 0.6] stop please"),
        ((*SAY, "--calls", "0"), "--calls"),
        ((*SAY, "--calls", "5", "--total", "3"), "--total 3 is less than --calls 5"),
        ((*SAY, "--total", "3", "--duration", "60"), "cannot be combined"),
        ((*SAY, "--workflow", "a", "--to", "+15550100"), "cannot be combined"),
        ((*SAY, "--to", "reception"), "'reception' is no number"),
        ((*SAY, "--to", "+15550100", "--as-tests"), "--as-tests"),
        ((*SAY, "--ramp", "0"), "--ramp"),
    ],
)
def test_what_cannot_be_meant_is_told(
    patchbay: Patchbay, livekit: None, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "bad.txt").write_text("hello\n[nonsense]\n")
    result = patchbay("load", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.txt"]


def test_without_livekit_it_names_all_that_is_missing(patchbay: Patchbay, tmp_path: Path) -> None:
    result = patchbay("load", *SAY)
    assert result.exit_code == 3
    assert "LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET are not set" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_named(patchbay: Patchbay, livekit: None) -> None:
    result = patchbay("load", *SAY, "--out", "out")
    assert result.exit_code == 3
    assert f"LiveKit does not answer at {LIVEKIT['LIVEKIT_URL']}" in result.stderr


def test_a_folder_that_cannot_be_used_is_told_before_anybody_calls(
    patchbay: Patchbay, livekit: None, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    result = patchbay("load", *SAY, "--out", "taken")
    assert result.exit_code == 2
    assert "--out DIR" in result.stderr


def _reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fine(_settings: object) -> None:
        """The server answers."""

    monkeypatch.setattr("cli.load.check", fine)


def test_a_workflow_that_is_not_there_is_told(
    patchbay: Patchbay, livekit: None, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _reached(monkeypatch)
    result = patchbay("load", *SAY, "--workflow", "Nothing", "--out", "out")
    assert result.exit_code == 1
    assert "There is no workflow 'Nothing'" in result.stderr


def test_the_callers_voice_is_an_extra(patchbay: Patchbay, livekit: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _reached(monkeypatch)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "espeakng_loader" else find(name, *rest)
    )
    languages.cache_clear()  # what was read before this test
    result = patchbay("load", *SAY, "--out", "out")
    assert result.exit_code == 3
    assert "pip install 'patchbay[local]'" in result.stderr


def test_metrics_that_were_named_have_to_answer(
    patchbay: Patchbay, livekit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _reached(monkeypatch)
    monkeypatch.setattr("cli.load.spoken", _nothing_said)
    result = patchbay("load", *SAY, "--out", "out", "--metrics", "http://127.0.0.1:1")
    assert result.exit_code == 3
    assert "http://127.0.0.1:1/metrics does not tell a worker's figures" in result.stderr


async def _nothing_said(texts: tuple[str, ...]) -> dict[str, Any]:
    return dict.fromkeys(texts)


def test_the_line_on_the_screen_says_how_it_stands() -> None:
    plan = LoadPlan(script="hello", calls=5, total=20)
    assert told(Snapshot(12.4, 1, 4, 7, 0, None), plan) == "   12 s   dialling 1, talking 4, passed 7 of 20, failed 0"
    failed = call(8, failure=Failure("unanswered", "The agent said nothing."))
    assert told(Snapshot(3.0, 0, 0, 0, 1, failed), plan).endswith("The agent said nothing.")
    assert json.dumps(plan.wanted) == "20"
