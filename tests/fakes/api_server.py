"""The control API as an operator runs it: `patchbay api` in a process of its own, on loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ApiServer", "api_server", "patchbay"]

_PROGRAM = [sys.executable, "-c", "from cli.main import app; app()"]
_ENDS_WITHIN_S = 30


@dataclass(frozen=True)
class ApiServer:
    """Where it answers, and the environment that its commands run in."""

    url: str
    env: Mapping[str, str] = field(repr=False)
    log: Path = field(repr=False)

    def patchbay(self, *arguments: str, stdin: str = "") -> str:
        """Run a command of the same home and return its stdout."""
        return patchbay(self.env, *arguments, stdin=stdin)

    def key(self, organization: str, role: str = "owner") -> dict[str, str]:
        """Make an API key and return it as a header."""
        made = json.loads(self.patchbay("key", "create", "--org", organization, "--role", role, "--json"))
        return {"Authorization": f"Bearer {made['key']}"}

    def organization(self, name: str) -> str:
        """Make an organization and return its id."""
        return str(json.loads(self.patchbay("org", "create", name, "--json"))["id"])


def patchbay(env: Mapping[str, str], *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [*_PROGRAM, *arguments], env=dict(env), input=stdin, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def api_server(home: Path, *options: str, **more: str) -> Iterator[ApiServer]:
    """Start it with an embedded Postgres of its own (or what `more` names), and end it in order."""
    env = {
        **os.environ,
        "PATCHBAY_HOME": str(home),
        "PATCHBAY_LOG_FORMAT": "json",
        "PATCHBAY_API_RATE": "1000000",
        **more,
    }
    log = home / "api-server.log"
    home.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*_PROGRAM, "api", "--port", "0", *options],
            env=env,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=home,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # ends with the process, should it die
        found = re.search(r"http://\S+?:\d+", line)
        assert found, f"the API did not start: {log.read_text()[-2000:]}"
        yield ApiServer(found[0], env, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
