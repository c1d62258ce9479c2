"""A real livekit-sip beside a real livekit-server, where its binary is on the PATH."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from tests.fakes.livekit_server import KEY, SECRET, LiveKitServer, free_port

__all__ = ["WHY_NOT", "livekit_sip", "sip_binary"]

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
