"""A real livekit-server on loopback, started by the test itself; with a Redis of its own where SIP's API is wanted."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from runtime.settings import Settings

__all__ = ["AGENT", "KEY", "SECRET", "LiveKitServer", "free_port", "livekit_server", "server_binary"]

KEY: Final = "devkey"
SECRET: Final = "secret-of-the-tests-0123456789abcdef"
AGENT: Final = "patchbay-tests"

_BINARY = Path(__file__).parents[2] / ".cache" / "bin" / "livekit-server"
_STARTS_WITHIN_S = 20.0


def server_binary() -> str | None:
    """Return where livekit-server is, or None: what `make livekit` installs, else the one on the PATH."""
    return str(_BINARY) if _BINARY.exists() else shutil.which("livekit-server")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port of 127.0.0.1 that nobody has at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class LiveKitServer:
    """The server's process; `stop` and `start` give the same ports again."""

    folder: Path
    redis_port: int | None = None
    port: int = field(default_factory=free_port)
    tcp_port: int = field(default_factory=free_port)
    udp_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def settings(self, *, secret: str = SECRET, agent_name: str = AGENT) -> Settings:
        """Return settings that lead to this server."""
        env = {
            "PATCHBAY_HOME": str(self.folder / "home"),
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": secret,
            "PATCHBAY_AGENT_NAME": agent_name,
        }
        return Settings.load(env, self.folder)

    def start(self) -> None:
        """Start it and wait until it answers."""
        binary = server_binary()
        assert binary is not None, "no livekit-server: run `make livekit`"
        config = self.folder / "livekit.yaml"
        config.write_text(yaml.safe_dump(self._config()))
        with (self.folder / "livekit.log").open("ab") as log:
            self.process = subprocess.Popen([binary, "--config", str(config)], stdout=log, stderr=log)
        _until_listening(self.port, self.process)

    def stop(self) -> None:
        """Kill it: no goodbye to anybody. Idempotent."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Stop it answering, as a network that is cut does."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "port": self.port,
            "bind_addresses": ["127.0.0.1"],
            "rtc": {
                "tcp_port": self.tcp_port,
                "udp_port": self.udp_port,
                "node_ip": "127.0.0.1",
                "use_external_ip": False,
                "enable_loopback_candidate": True,
            },
            "keys": {KEY: SECRET},
            "logging": {"level": "info", "json": False},
            "room": {"auto_create": True, "departure_timeout": 2},
        }
        if self.redis_port is not None:
            config["redis"] = {"address": f"127.0.0.1:{self.redis_port}"}
        return config


@contextmanager
def livekit_server(folder: Path, *, redis: bool = False) -> Iterator[LiveKitServer]:
    """Run a server in `folder`; afterwards it is gone."""
    with ExitStack() as stack:
        port = stack.enter_context(_redis(folder)) if redis else None
        yield _started(folder, port, stack)


def _started(folder: Path, redis_port: int | None, stack: ExitStack) -> LiveKitServer:
    for attempt in range(3):
        server = LiveKitServer(folder, redis_port)
        stack.callback(server.stop)
        try:
            server.start()
        except AssertionError:  # another test's server was quicker to take one of the ports
            if attempt == 2:
                raise
        else:
            return server
    raise AssertionError


@contextmanager
def _redis(folder: Path) -> Iterator[int]:
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        _until_listening(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


def _until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "the server ended at once"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.05)
        else:
            return
