"""`patchbay api` as a command: how it ends."""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.api import app


@pytest.mark.parametrize(("code", "expected"), [(143, 0), (129, 129)])
def test_a_server_that_was_told_to_stop_has_not_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, expected: int
) -> None:
    def ended(work: Coroutine[Any, Any, None]) -> None:
        work.close()
        raise typer.Exit(code)

    monkeypatch.setenv("PATCHBAY_HOME", str(tmp_path))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        monkeypatch.setattr("cli.api.listening_socket", lambda _host, _port: listening)
        monkeypatch.setattr("cli.api.run", ended)
        assert CliRunner().invoke(app, []).exit_code == expected
