"""The README's first workflow, played: the transcript and the queries that stand there are what comes out."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from runtime.store.embedded import EmbeddedPostgres
from tests.fakes.api_server import api_server
from tests.test_docs import blocks, page

pytestmark = pytest.mark.server

RUN = "from cli.main import app; app()"
_TIMES = re.compile(r"(?m)^ *\d+\.\d\ds  |   (?:(?:response|model|voice) \d+ ms(?:, )?)+$")
_DAYS = re.compile(r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b|\b20\d\d\b")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with what the README says to save there."""
    text = page("README.md")
    (tmp_path / "workshop.yaml").write_text(blocks(text, "yaml")[0], encoding="utf-8")
    (tmp_path / "caller.txt").write_text(blocks(text, "text")[0], encoding="utf-8")
    return tmp_path


def patchbay(place: Path, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    environment: Mapping[str, str] = {**kept, "PATCHBAY_HOME": str(place / "home"), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def told(transcript: str) -> list[str]:
    """The transcript's lines without what differs from run to run: times, and the day that the third of May is."""
    return [_DAYS.sub("…", _TIMES.sub("", line)) for line in transcript.strip().splitlines()]


async def test_the_first_workflow_runs_as_it_is_told(place: Path) -> None:
    command, _, transcript = blocks(page("README.md"), "console")[0].partition("\n")
    assert told(patchbay(place, *command.split()[2:])) == told(transcript)
    async with EmbeddedPostgres(place / "home") as server:
        connection = await asyncpg.connect(server.dsn)
        try:
            for query, output in zip(*queries(), strict=True):
                columns = [column.strip() for column in output.split("\n", maxsplit=1)[0].split("|")]
                assert [attribute.name for attribute in (await connection.prepare(query)).get_attributes()] == columns
                await connection.fetch(query)
        finally:
            await connection.close()


def queries() -> tuple[list[str], list[str]]:
    """The README's queries and, in the same order, the outputs shown below them."""
    text = page("README.md").partition("## Read what happened")[2]
    return blocks(text, "sql"), blocks(text, "console")


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the README uses curl and jq")
def test_the_api_is_built_and_tested_over_as_it_is_told(tmp_path: Path) -> None:
    text = page("README.md").partition("## Build and test over HTTP")[2].partition("\n## ")[0]
    with api_server(tmp_path / "home") as server:
        start = f'patchbay() {{ {shlex.quote(sys.executable)} -c "{RUN}" "$@"; }}'
        script = blocks(text, "sh")[1].replace("http://127.0.0.1:8080", server.url)
        done = subprocess.run(
            ["bash", "-euc", f"{start}\n{script}"],
            env=dict(server.env),
            cwd=tmp_path,
            capture_output=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines()[1:] == blocks(text, "console")[0].splitlines()
