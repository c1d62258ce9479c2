"""The Supabase CLI on a database of ours, without Docker; `python -m tests.fakes.supabase_cli` installs it."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from runtime.settings import child_environment
from runtime.tasks import cancel_and_wait, spawn

__all__ = ["Answer", "SupabaseCli", "install", "over_tcp", "supabase_cli"]

_ROOT = Path(__file__).parents[2]
# A folder of its own: npm removes what it finds beside a package that it is told to install.
_FOLDER = _ROOT / ".cache" / "npm" / "supabase-cli"
_VERSION: Final = "3.1.0"
_SCRIPT = _FOLDER / "node_modules" / "supabase" / "dist" / "supabase.js"
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Answer:
    """How a command of the CLI ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class SupabaseCli:
    """Runs commands on the database of `url` with the project of `folder`, which holds our `supabase/`."""

    node: str
    folder: Path
    url: str

    async def __call__(self, *command: str) -> Answer:
        options = [f"--remote={self.url}", "--workdir", str(self.folder), "--agent", "no"]
        process = await asyncio.create_subprocess_exec(
            *(self.node, str(_SCRIPT), *command, *options),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment(
                {"HOME": str(self.folder), "SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
            ),
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Answer(process.returncode or 0, out.decode(), err.decode())


def install() -> str:
    """Install the CLI below `.cache` unless it is there; return an empty text, or why it cannot be had."""
    if _SCRIPT.is_file():
        return ""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "its package is tried on Linux on x86-64 only"
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    _FOLDER.mkdir(parents=True, exist_ok=True)
    options = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--prefix", str(_FOLDER)]
    done = subprocess.run(
        [npm, "install", *options, f"supabase@{_VERSION}"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return done.stderr.strip()[-300:]
    return "" if _SCRIPT.is_file() else "its package is not what it was"


def supabase_cli(folder: Path, url: str) -> SupabaseCli | None:
    """Return the CLI on the database of `url` (by TCP) with a copy of our migrations in `folder`; None where it is not installed."""
    node = shutil.which("node")
    if node is None or not _SCRIPT.is_file():
        return None
    # A copy: the CLI keeps notes of its own beside the migrations.
    shutil.copytree(_ROOT / "supabase", folder / "supabase", dirs_exist_ok=True)
    return SupabaseCli(node, folder, url)


@asynccontextmanager
async def over_tcp(url: str) -> AsyncIterator[str]:
    """Yield a URL on loopback for a database that listens on a Unix socket only."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    place = f"{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}"

    joints: set[asyncio.Task[None]] = set()

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(place)
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer))

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joints.add(spawn(joined(reader, writer), name="over-tcp"))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://postgres:unused@127.0.0.1:{port}{parts.path}?sslmode=disable"
    finally:
        server.close()
        await cancel_and_wait(*joints)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    except OSError:  # one side is gone
        pass
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


if __name__ == "__main__":
    if why := install():
        sys.stderr.write(f"no Supabase CLI: {why}\n")
        sys.exit(1)
