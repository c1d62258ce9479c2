from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from runtime.logging import configure_logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_ours_and_the_libraries_lines_look_alike(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    structlog.get_logger("call").info("call_summed_up", turns=3)
    logging.getLogger("somebody").warning("%s things", 3, extra={"room": "r1"})
    ours, theirs = written(stream)
    assert ours | {"timestamp": ""} == {
        "event": "call_summed_up",
        "turns": 3,
        "level": "info",
        "logger": "call",
        "timestamp": "",
    }
    assert (theirs["event"], theirs["room"], theirs["logger"], theirs["level"]) == (
        "3 things",
        "r1",
        "somebody",
        "warning",
    )
    assert theirs["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("level", "libraries", "expected"),
    [
        ("info", "warning", {"ours", "loud"}),
        ("debug", "warning", {"ours", "loud"}),
        ("debug", "debug", {"ours", "loud", "chatter"}),
        ("error", "debug", set()),
    ],
)
def test_livekit_chatters_only_where_asked(stream: io.StringIO, level: str, libraries: str, expected: set[str]) -> None:
    configure_logging(level, "json", stream, libraries=libraries)
    structlog.get_logger("x").info("ours")
    logging.getLogger("livekit.agents").info("chatter")
    logging.getLogger("livekit.agents").warning("loud")
    assert {line["event"] for line in written(stream)} == expected


@pytest.mark.parametrize("shown", [False, True])
def test_personal_data_is_dropped_unless_asked_for(stream: io.StringIO, shown: bool) -> None:
    configure_logging("info", "json", stream, personal_data=shown)
    structlog.get_logger("x").info("a", pii_caller="Ada", inner={"pii_text": "Ada", "kept": 1}, copiidea=1)
    logging.getLogger("livekit").warning("b", extra={"lk.pii.transcript": "Ada"})
    assert ("Ada" in stream.getvalue()) is shown
    assert written(stream)[0]["inner"]["kept"] == written(stream)[0]["copiidea"] == 1


def test_context_is_on_every_line(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    structlog.contextvars.bind_contextvars(session_id="s1")
    logging.getLogger("somebody").warning("x")
    assert written(stream)[0]["session_id"] == "s1"


@pytest.mark.parametrize("format_", ["json", "console"])
def test_an_exception_shows_its_trace_but_no_locals(stream: io.StringIO, format_: Any) -> None:
    configure_logging("info", format_, stream)
    name_of_caller = "Ada"
    try:
        int(name_of_caller[:0])
    except ValueError:
        structlog.get_logger("x").exception("failed")
        logging.getLogger("y").exception("failed too")
    assert stream.getvalue().count("ValueError: invalid literal") == 2
    assert "Ada" not in stream.getvalue().replace('"Ada"', "")


def test_the_console_is_for_people(stream: io.StringIO) -> None:
    configure_logging("info", "console", stream)
    structlog.get_logger("x").info("hello", n=1)
    assert "hello" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_stderr_is_the_default_and_the_last_call_counts(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger("x")
    configure_logging("info", "json")
    configure_logging("warning", "json")
    log.info("not")
    log.warning("once")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["event"] for line in captured.err.splitlines()] == ["once"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no log level 'loud'. Levels: debug"):
        configure_logging("loud", "json")
