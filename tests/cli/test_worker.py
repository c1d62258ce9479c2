"""`patchbay worker`, as far as it starts: what it lacks is told at once."""

from __future__ import annotations

import socket

import pytest

from tests.cli.conftest import Patchbay

LIVEKIT = {
    "LIVEKIT_URL": "ws://127.0.0.1:1",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "a secret of thirty-two characters",
}


def test_without_livekit_it_names_all_that_is_missing(patchbay: Patchbay) -> None:
    result = patchbay("worker")
    assert result.exit_code == 3
    assert "LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET are not set" in result.stderr
    assert "patchbay phone" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("given", LIVEKIT)
def test_livekit_that_is_half_set_is_a_fault_of_the_settings(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv(given, LIVEKIT[given])
    result = patchbay("worker")
    assert result.exit_code == 2
    assert f"while {given} is set" in result.stderr


@pytest.mark.parametrize("number", ["0", "-1", "257", "two"])
def test_processes_are_a_number(patchbay: Patchbay, number: str) -> None:
    result = patchbay("worker", "--processes", number)
    assert result.exit_code == 2
    assert "--processes" in result.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("PATCHBAY_MAX_CALLS", "0"), ("PATCHBAY_DRAIN_S", "long"), ("PATCHBAY_HTTP_PORT", "99999")]
)
def test_a_setting_that_is_none_is_named(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    result = patchbay("worker")
    assert result.exit_code == 2
    assert f"{name} (environment)" in result.stderr


def test_a_port_for_health_that_is_taken_is_told_before_anything_starts(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in LIVEKIT.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("PATCHBAY_HTTP_PORT", str(port))
        result = patchbay("worker")
    assert result.exit_code == 2
    assert f"Port {port} on 127.0.0.1 is taken" in result.stderr
    assert "PATCHBAY_HTTP_PORT" in result.stderr
