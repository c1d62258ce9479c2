"""`patchbay settings`, `patchbay worker`, `patchbay init`: verbs that open no store."""

import json
from pathlib import Path

import pytest

from cli.logs import log_to_stderr
from runtime.settings import Settings
from tests.cli.conftest import Patchbay

LIVEKIT = {"LIVEKIT_URL": "wss://x", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s"}


def test_settings_say_where_each_came_from(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("OPENAI_API_KEY=sk-secret\nPATCHBAY_ORG=acme\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pw@db/x")
    rows = {row["name"]: row for row in json.loads(patchbay("settings", "--json").stdout)["settings"]}
    assert rows["DATABASE_URL"] == {
        "name": "DATABASE_URL",
        "value": "postgresql://u:•••@db/x",
        "source": "environment",
    }
    assert rows["PATCHBAY_ORG"]["source"] == ".env"
    assert rows["OPENAI_API_KEY"]["value"] == "•••"
    assert rows["PATCHBAY_LOG"] == {"name": "PATCHBAY_LOG", "value": "info", "source": "default"}
    people = patchbay("settings").stdout
    assert "PATCHBAY_ORG" in people
    assert "sk-secret" not in people


def test_half_set_settings_are_one_list(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://x.supabase.co")
    monkeypatch.setenv("LIVEKIT_URL", "wss://x")
    for command in (["settings"], ["worker"], ["session", "list"], ["db", "status"]):
        result = patchbay(*command)
        assert (result.exit_code, result.stdout) == (2, "")
        for name in ("SUPABASE_SERVICE_ROLE_KEY", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
            assert name in result.stderr


def test_the_worker_says_all_that_it_lacks(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    result = patchbay("worker")
    assert result.exit_code == 3
    for name, value in LIVEKIT.items():
        assert name in result.stderr
        monkeypatch.setenv(name, value)
    assert "patchbay phone" in result.stderr


def test_init_writes_a_workflow_and_a_script_and_says_what_to_do_next(patchbay: Patchbay) -> None:
    result = patchbay("init", "desk")
    assert result.exit_code == 0
    commands = result.stdout.splitlines()
    assert [line.split()[:2] for line in commands] == [["patchbay", verb] for verb in ("validate", "chat", "workflow")]
    assert sorted(path.name for path in Path("desk").iterdir()) == ["script.txt", "workflow.yaml"]


@pytest.mark.parametrize("there", ["workflow.yaml", "script.txt"])
def test_init_overwrites_nothing(patchbay: Patchbay, there: str) -> None:
    Path(there).write_text("mine")
    result = patchbay("init")
    assert result.exit_code == 2
    assert there in result.stderr
    assert Path(there).read_text() == "mine"
    assert [path.name for path in Path().iterdir()] == [there]


def test_init_below_a_file_is_refused(patchbay: Patchbay) -> None:
    Path("file").write_text("")
    result = patchbay("init", "file")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_logs_are_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr("cli.logs.configure_logging", lambda *args: given.append(args))
    log_to_stderr()
    log_to_stderr(Settings.load({"PATCHBAY_LOG": "Error"}, Path()))
    log_to_stderr(Settings.load({"PATCHBAY_LOG_FORMAT": "console"}, Path()))
    assert given == [("warning", "console"), ("error", "json"), ("info", "console")]
