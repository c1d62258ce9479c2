"""A private Postgres below PATCHBAY_HOME, shared by all processes of that home: the first starts it, the last to leave stops it."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from runtime.errors import StoreUnreachable, UsageFault
from runtime.store.postmaster import (
    SOCKET_NAME,
    Abandoned,
    Patience,
    Server,
    find_server,
    is_ready,
    launch,
    make_cluster,
    shut_down,
)
from runtime.tasks import spawn

__all__ = ["EmbeddedPostgres"]

_START_TIMEOUT_S = 60
_SILENT_TIMEOUT_S = 5
# The kernel cuts a socket's path at 108 bytes (104 on macOS).
_LONGEST_SOCKET = 100


class EmbeddedPostgres:
    """Below `home`: `postgres/data`, its logs, and `run/` with the socket and two lock files.

    Who uses the server holds a shared lock on `run/users`, which the kernel takes back from a process however it dies; who
    starts or stops it holds `run/starting`. So there is no list of pids to go stale. When the last user is killed the server
    stays until the next command of this home, which adopts it and stops it on leaving.

    The socket lies in a folder of its own in the system's folder for temporary files where `home` is too long for one.
    `start` and `stop` block; both may be called again.
    """

    def __init__(self, home: Path) -> None:
        self._home = home.expanduser().resolve()
        self._data = self._home / "postgres" / "data"
        self._run = self._home / "run"
        self._abandon = threading.Event()
        self._users: int | None = None
        self._owner = 0
        self._server: Server | None = None

    @property
    def dsn(self) -> str:
        """The URL of the database, for asyncpg and libpq; while the server is in use."""
        if self._server is None:
            raise StoreUnreachable("The embedded Postgres was not started.")
        return f"postgresql://postgres@/postgres?host={quote(str(self._server.sockets))}&port=5432"

    def start(self) -> Self:
        """Join those who use the server, starting it if need be (0.1 s; the first time about 1 s).

        Raises `UsageFault` where the home cannot be written, `StoreUnreachable` where Postgres cannot run. An interrupt
        takes effect when what was begun has been undone.
        """
        # Python interrupts its main thread only: in another one nothing is left half done.
        outcome: Future[None] = Future()
        self._abandon = threading.Event()
        thread = threading.Thread(target=_settle, args=(outcome, self._enter), name="start the embedded postgres")
        try:
            thread.start()
            outcome.result()
        except BaseException:
            self._abandon.set()
            # One that has not begun yet finds itself abandoned.
            with suppress(RuntimeError):
                thread.join()
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Leave; the last to leave stops the server. Does nothing in a forked child, whose parent still uses it."""
        users, self._users = self._users, None
        self._server = None
        if users is None or self._owner != os.getpid():
            return
        try:
            with self._starting(threading.Event()):
                self._leave(users)
        finally:
            os.close(users)

    async def revive(self) -> None:
        """Start the server again if it has died under us; the URL stays the same."""
        await asyncio.to_thread(self._guarded, self._revive)

    async def __aenter__(self) -> Self:
        self._abandon = threading.Event()
        starting = spawn(asyncio.to_thread(self._enter), name="start the embedded postgres", on_error=_seen)
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._abandon.set()
            await asyncio.wait({starting})
            await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopping = spawn(asyncio.to_thread(self.stop), name="stop the embedded postgres")
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            await asyncio.wait({stopping})
            raise

    def _enter(self) -> None:
        if self._users is None:
            self._guarded(self._join)

    def _guarded(self, work: Callable[[], None]) -> None:
        if self._abandon.is_set():
            raise Abandoned
        try:
            _make_private(self._run)
            _make_private(self._data.parent)
            with self._starting(self._abandon):
                work()
        except OSError as error:
            raise UsageFault(
                f"PATCHBAY_HOME {self._home} cannot be used: {error}.",
                remedy="Make the folder writable, or name another: export PATCHBAY_HOME=/path/to/folder",
            ) from error

    def _join(self) -> None:
        users = os.open(self._run / "users", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            self._ensure()
        except BaseException:
            os.close(users)
            raise
        self._users, self._owner = users, os.getpid()

    def _revive(self) -> None:
        # Whoever has left in the meantime must not start a server that nobody stops.
        if self._users is not None:
            self._ensure()

    def _ensure(self) -> None:
        """Adopt the server that runs, or start one."""
        patience = Patience(_START_TIMEOUT_S, self._abandon)
        server = None
        while server is None and patience.holds(step_s=0):
            server = find_server(self._data)
            if server is None:
                make_cluster(self._data, patience)
                server = launch(self._data, self._sockets(), patience)
            elif not self._answers(server, patience):
                shut_down(server, self._data)
                server = None
        if server is None:
            raise StoreUnreachable(
                f"The embedded Postgres did not come up within {_START_TIMEOUT_S} s.",
                remedy=f"See {self._data.with_name('server.log')}. Or set DATABASE_URL to a Postgres of version 15 or later.",
            )
        self._server = server

    def _answers(self, server: Server, patience: Patience) -> bool:
        """Wait for a server that somebody else started; False when its socket is gone or it hangs."""
        silent = Patience(_SILENT_TIMEOUT_S, self._abandon)
        while not is_ready(server, self._data):
            recovering = (server.sockets / SOCKET_NAME).exists()
            if find_server(self._data) != server or not (patience if recovering else silent).holds():
                return False
        return True

    def _leave(self, users: int) -> None:
        fcntl.flock(users, fcntl.LOCK_UN)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        server = find_server(self._data)
        if server is not None:
            shut_down(server, self._data)
            if server.sockets != self._run:
                shutil.rmtree(server.sockets, ignore_errors=True)

    @contextmanager
    def _starting(self, abandon: threading.Event) -> Iterator[None]:
        """Hold the lock under which the server is started and stopped."""
        lock = os.open(self._run / "starting", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            patience = Patience(_START_TIMEOUT_S, abandon)
            while not _locked(lock):
                if not patience.holds():
                    raise StoreUnreachable(
                        f"Another process has been starting or stopping the Postgres of {self._home} for {_START_TIMEOUT_S} s.",
                        remedy="End it, or name another PATCHBAY_HOME.",
                    )
            yield
        finally:
            os.close(lock)

    def _sockets(self) -> Path:
        """Return the folder for the socket, made and ours alone."""
        # A comma separates two hosts in a URL.
        if len(os.fsencode(self._run / SOCKET_NAME)) < _LONGEST_SOCKET and "," not in str(self._run):
            return self._run
        name = hashlib.sha256(os.fsencode(self._home)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"patchbay-{os.geteuid()}-{name}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        # Anybody may have made it first, to offer a server of theirs.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise StoreUnreachable(
                f"{folder} is not a folder of yours alone.",
                remedy="Name a shorter PATCHBAY_HOME (at most 80 characters).",
            )
        return folder


def _settle(outcome: Future[None], work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
        outcome.set_exception(error)
    else:
        outcome.set_result(None)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"no permission to write to {folder}")


def _seen(_error: BaseException) -> None:
    """Say nothing: who awaits the task gets the error."""
