"""The installed `patchbay`, run as a user runs it: in a process, with a home and a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from runtime.store.embedded import EmbeddedPostgres

__all__ = ["BILLING", "FRONT_DESK", "Console", "Done"]

Json = Any

EXAMPLES = Path(__file__).parents[2] / "examples"
FRONT_DESK = str(EXAMPLES / "front_desk" / "workflow.yaml")
BILLING = str(EXAMPLES / "front_desk" / "billing.txt")

_PROGRAM = Path(sys.executable).with_name("patchbay")
_PATIENCE_S = 50


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Json]]:
        """What it printed, one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self) -> dict[str, Json]:
        """What it printed, one JSON object."""
        found: dict[str, Json] = json.loads(self.out)
        return found


@dataclass(frozen=True, slots=True)
class Console:
    """Runs commands in `folder`, with `folder/home` as PATCHBAY_HOME and nothing of the tests' own environment."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def run(self, *args: str, stdin: str | bytes = "", code: int = 0) -> Done:
        """Run the command to its end and return what it did; its exit code is as expected and it shows no traceback."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        with self.running(*args) as process:
            return self.finished(process, given, code=code)

    @contextmanager
    def running(self, *args: str, stderr: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
        """Start the command in a process group of its own, as a shell does; it does not outlive the block.

        `stderr` is a pipe, or a file's descriptor for a command that runs for long.
        """
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "NO_COLOR": "1"}
        process = subprocess.Popen(
            [_PROGRAM, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=self.folder,
            env={**environment, "PATCHBAY_HOME": str(self.home), **self.env},
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def finished(self, process: subprocess.Popen[bytes], stdin: bytes | None = None, *, code: int) -> Done:
        """Wait for the end of a command that runs; `stdin` is the last that it reads."""
        out, err = process.communicate(stdin, timeout=_PATIENCE_S)
        done = Done(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in done.err, done.err
        assert done.code == code, f"{done.code}\n{done.out[-2000:]}\n{done.err[-2000:]}"
        return done

    def interrupted(self, process: subprocess.Popen[bytes], number: signal.Signals, *, code: int) -> Done:
        """Send a signal to the command's whole group, as a terminal does, and wait for its end. Its stdin stays open."""
        os.killpg(process.pid, number)
        process.wait(_PATIENCE_S)
        return self.finished(process, code=code)

    def servers(self) -> list[str]:
        """Return the Postgres servers of this home that run."""
        listed = subprocess.run(["ps", "-eww", "-o", "pid=,args="], check=True, capture_output=True, text=True).stdout
        return [line for line in listed.splitlines() if f"-D {self.home}" in line]

    async def rows(self, sql: str, *arguments: Json) -> list[asyncpg.Record]:
        """Return what the home's database answers."""
        async with EmbeddedPostgres(self.home) as postgres:
            connection = await asyncpg.connect(postgres.dsn)
            try:
                return list(await connection.fetch(sql, *arguments))
            finally:
                await connection.close()

    async def everything(self) -> str:
        """Return every row of every table of the home's database as one text."""
        async with EmbeddedPostgres(self.home) as postgres:
            connection = await asyncpg.connect(postgres.dsn)
            try:
                tables = await connection.fetch(_TABLES)
                parts = [await connection.fetch(f"select t::text from {name} t") for (name,) in tables]  # noqa: S608 - quoted by Postgres
            finally:
                await connection.close()
        assert len(tables) > 10
        return "\n".join(row[0] for rows in parts for row in rows)


_TABLES = """
select format('%I.%I', schemaname, tablename) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')
"""
