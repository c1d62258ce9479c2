"""A real livekit-sip beside a real livekit-server, where its binary is on the PATH."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import yaml

from runtime.session.ports import NumberRow
from runtime.settings import Settings
from tests.fakes.livekit_server import KEY, SECRET, LiveKitServer, free_port, livekit_server
from tests.fakes.working import NUMBER, Desk
from tests.fakes.working_rooms import environment
from worker.trunks import provision
from worker.worker import Lines, Worker, open_worker

__all__ = ["WHY_NOT", "SipDesk", "livekit_sip", "sip_binary", "working_through_sip"]

WHY_NOT = "livekit-sip is not on the PATH: it is no package and no Go module, its users run LiveKit's container image"


def sip_binary() -> str | None:
    """Return where livekit-sip is, or None."""
    return shutil.which("livekit-sip")


@contextmanager
def livekit_sip(server: LiveKitServer) -> Iterator[int]:
    """Run livekit-sip for the server, which has a Redis; yield the port that telephones ring."""
    binary = sip_binary()
    assert binary is not None, WHY_NOT
    assert server.redis_port is not None, "SIP needs the server's Redis"
    port = free_port(socket.SOCK_DGRAM)
    config = {
        "api_key": KEY,
        "api_secret": SECRET,
        "ws_url": server.url,
        "redis": {"address": f"127.0.0.1:{server.redis_port}"},
        "sip_port": port,
        "rtp_port": "41000-41999",
        "use_external_ip": False,
        "local_net": "127.0.0.0/8",
        "listen_ip": "127.0.0.1",
        "logging": {"level": "info"},
    }
    file = server.folder / "sip.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    with (server.folder / "sip.log").open("ab") as log:
        process = subprocess.Popen([binary, "--config", str(file)], stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class SipDesk(Desk):
    """A worker in LiveKit's rooms, which telephones ring through livekit-sip."""

    def __init__(self, worker: Worker, database_url: str, sip_port: int) -> None:
        super().__init__(worker, database_url)
        self._sip_port = sip_port

    def uri(self, number: str = NUMBER) -> str:
        return f"sip:{number}@127.0.0.1:{self._sip_port}"

    async def map(self, number: str, name: str) -> NumberRow:
        await provision(self.worker.settings, number)
        return await super().map(number, name)


@asynccontextmanager
async def working_through_sip(database_url: str, folder: Path, **more: str) -> AsyncIterator[SipDesk]:
    """Open a worker, a LiveKit server with its SIP service, and a trunk for each number that is mapped."""
    place = folder / "livekit"
    place.mkdir()
    with livekit_server(place, redis=True) as server, livekit_sip(server) as port:
        given = environment(server, database_url, PATCHBAY_HOME=str(folder / "home"), **more)
        async with open_worker(Settings.load(given, folder), Lines(rooms=True)) as worker:
            yield SipDesk(worker, database_url, port)
