"""A real PgBouncer in transaction mode in front of a database, where it is installed."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

import asyncpg

__all__ = ["PGBOUNCER", "transaction_pooler"]

# Debian puts it where only root's PATH leads.
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# It refuses to run as root, and reads its configuration before it becomes somebody else.
_AS_NOBODY = ("-u", "nobody") if os.geteuid() == 0 else ()

_CONFIG = """
[databases]
{database} = host=127.0.0.1 port={port} dbname={database} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
pool_mode = transaction
auth_type = any
max_client_conn = 50
default_pool_size = 10
ignore_startup_parameters = extra_float_digits
"""


@asynccontextmanager
async def transaction_pooler(url: str, folder: Path) -> AsyncIterator[str]:
    """Yield the URL of the database of `url` behind a pooler, whose files lie in `folder`."""
    assert PGBOUNCER is not None
    parts = urlsplit(url)
    database, listen = parts.path[1:], _free_port()
    config = folder / "pgbouncer.ini"
    async with _over_tcp(parts) as port:
        user = parts.username or "postgres"
        config.write_text(_CONFIG.format(database=database, port=port, user=user, listen=listen))
        async with _running(config):
            pooled = f"postgresql://anyone@127.0.0.1:{listen}/{database}"
            await _answers(pooled)
            yield pooled


@asynccontextmanager
async def _running(config: Path) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        PGBOUNCER, *_AS_NOBODY, str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _over_tcp(database: SplitResult) -> AsyncIterator[int]:
    """Yield a port that leads to the server: the embedded one's socket lies where nobody but its owner may look."""
    host = parse_qs(database.query).get("host", ["127.0.0.1"])[0]

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if host.startswith("/"):
            further, back = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{database.port or 5432}")
        else:
            further, back = await asyncio.open_connection(host, database.port or 5432)
        await asyncio.gather(_pump(reader, back), _pump(further, writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def _answers(url: str) -> None:
    for _ in range(100):
        try:
            connection = await asyncpg.connect(url, statement_cache_size=0, timeout=2)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.05)
        else:
            await connection.close()
            return
    raise AssertionError(f"no PgBouncer answers at {url}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
