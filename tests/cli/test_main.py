"""The command itself: help that loads nothing, exit codes, and never a traceback unasked."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cli.worker
from cli.main import VERBS, Verb
from runtime.errors import CallFailed, ConfigRefused, PatchbayError, UsageFault
from runtime.workflow.faults import Fault
from tests.cli.conftest import Patchbay

HEAVY = ("livekit", "numpy", "asyncpg", "dateparser", "rich", "pydantic", "structlog", "asyncio")


def test_help_lists_every_verb_and_loads_nothing_heavy() -> None:
    code = f"import sys; from cli.main import app\ntry: app(['--help'])\nfinally: print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    *text, loaded = done.stdout.strip().splitlines()
    assert loaded == "[]"
    listed = [line.split()[0] for line in text if line.startswith("  ")]
    assert set(VERBS) <= set(listed)


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_with_an_example(patchbay: Patchbay, verb: str) -> None:
    commands = [[verb], *([verb, name] for name in names(patchbay, verb))]
    for command in commands:
        result = patchbay(*command, "--help")
        assert result.exit_code == 0
        assert len(command) > 1 or len(commands) > 1 or "Example:" in result.stdout
    for command in commands[1:]:
        assert "Example:" in patchbay(*command, "--help").stdout


def names(patchbay: Patchbay, verb: str) -> list[str]:
    lines = patchbay(verb, "--help").stdout.partition("Commands:\n")[2].splitlines()
    return [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]


SHORT = {"org": "organization"}


@pytest.mark.parametrize("verb", VERBS)
def test_what_help_says_of_a_verb_is_known_without_loading_it(verb: str) -> None:
    assert VERBS[verb].module == f"cli.{SHORT.get(verb, verb)}"
    assert VERBS[verb].help.endswith(".")
    assert len(VERBS[verb].help) <= 70


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["--nonsense"],
        ["validate"],
        ["validate", "a", "b"],
        ["session", "list", "--limit", "0"],
        ["session", "list", "--limit", "many"],
        ["workflow"],
        ["variable", "set", "name"],
    ],
)
def test_wrong_usage_is_2_and_on_stderr(patchbay: Patchbay, args: list[str]) -> None:
    result = patchbay(*args)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert args == ["workflow"] or "Usage: patchbay" in result.stderr


def test_a_misspelt_verb_gets_a_suggestion(patchbay: Patchbay) -> None:
    assert "'validate'" in patchbay("valdate").stderr


def test_the_version_is_printed(patchbay: Patchbay) -> None:
    assert patchbay("--version").stdout.startswith("patchbay 0.")


def test_a_verb_that_does_not_load_harms_no_other(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERBS, "demo", Verb("cli.not_there", "Broken."))
    assert "Broken." in patchbay("--help").stdout
    result = patchbay("demo")
    assert result.exit_code == 3
    assert "cli.not_there" in result.stderr
    assert patchbay("settings").exit_code == 0


FAULT = Fault("$.agents[0]", "unknown_key", "error", "Key 'nam' is unknown.", "Did you mean “name”?")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageFault("no such file", remedy="name another"), 2, ("no such file", "name another")),
        (CallFailed("the model said nothing"), 1, ("the model said nothing",)),
        (ConfigRefused("a.yaml has 1 fault:", faults=(FAULT,)), 1, ("$.agents[0]", "Key 'nam'", "Did you mean")),
        (ZeroDivisionError("1/0"), 1, ("ZeroDivisionError", "--debug")),
        (PatchbayError("\x1b[31mred"), 1, ("\\x1b[31mred",)),
    ],
)
def test_what_goes_wrong_is_one_message(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, words: tuple[str, ...]
) -> None:
    def fail(_settings: object) -> None:
        raise error

    monkeypatch.setattr(cli.worker, "need_livekit", fail)
    result = patchbay("worker")
    assert (result.exit_code, result.stdout) == (code, "")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    for args in (["worker", "--debug"], ["--debug", "worker"]):
        debugged = patchbay(*args)
        assert debugged.exit_code == code
        assert "Traceback" in debugged.stderr


def test_an_interrupt_is_130_and_quiet(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.worker, "need_livekit", interrupted)
    result = patchbay("worker")
    assert (result.exit_code, result.output) == (130, "")


def test_control_c_while_a_command_waits_is_130_and_quiet(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, cli.worker, cli.main\n"
        "async def wait():\n    os.write(1, b'.')\n    await asyncio.sleep(30)\n"
        "cli.worker.need_livekit = lambda settings: asyncio.run(wait())\n"
        "cli.main.app(['worker'])"
    )
    args = [sys.executable, "-c", code]
    waiting = subprocess.Popen(
        args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert waiting.stdout is not None
    assert waiting.stdout.read(1) == b"."
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out, err) == (130, b"", b"")


def test_a_terminal_without_unicode_gets_escapes(tmp_path: Path) -> None:
    env = {"PYTHONIOENCODING": "ascii", "PATCHBAY_HOME": str(tmp_path), "OPENAI_API_KEY": "sk-secret"}
    command = [sys.executable, "-c", "from cli.main import app; app()", "settings", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env, cwd=tmp_path, timeout=30)
    shown = {row["name"]: row["value"] for row in json.loads(done.stdout)["settings"]}
    assert shown["OPENAI_API_KEY"] == "•••"
