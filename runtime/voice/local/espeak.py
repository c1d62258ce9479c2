"""The one espeak-ng process of this Python process: started when first needed, started again when it dies."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias, assert_never

from runtime.voice.local import espeak_process as wire
from runtime.voice.local.extra import package_folder

__all__ = ["SAMPLE_RATE", "EspeakFault", "EspeakGone", "Utterance", "close", "pid", "speak", "start"]

SAMPLE_RATE = 22050  # Hz, the rate of espeak-ng's synthesiser
_PATIENCE_S = 10.0
_PROCESS = 0  # the request number under which the process speaks of itself


class EspeakFault(Exception):
    """espeak-ng refused a request; the text says why."""


class EspeakGone(Exception):
    """The espeak-ng process ended, or said nothing for ten seconds, before the request was done."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is to be said: `rate` in words a minute (80 to 450)."""

    text: str
    voice: str
    rate: int


@dataclass(frozen=True, slots=True)
class _Pcm:
    data: bytes


@dataclass(frozen=True, slots=True)
class _End:
    pass


@dataclass(frozen=True, slots=True)
class _Fault:
    message: str


@dataclass(frozen=True, slots=True)
class _Gone:
    why: str


_Answer: TypeAlias = _Pcm | _End | _Fault | _Gone


class _Mailbox:
    """Carries answers from the reader's thread to the event loop that asked (each job of a worker has its own loop)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Answer] = asyncio.Queue()

    def put(self, answer: _Answer) -> None:
        with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._queue.put_nowait, answer)

    async def get(self) -> _Answer:
        async with asyncio.timeout(_PATIENCE_S):
            return await self._queue.get()


class _Process:
    """One espeak-ng process and the thread that reads from it. Safe to use from several threads."""

    def __init__(self) -> None:
        folder = package_folder("espeakng_loader")
        suffix = {"win32": "espeak-ng.dll", "darwin": "libespeak-ng.dylib"}.get(sys.platform, "libespeak-ng.so")
        command = [
            sys.executable,
            "-I",
            "-S",
            str(Path(wire.__file__)),
            str(folder / suffix),
            str(folder / "espeak-ng-data"),
        ]
        self._child = subprocess.Popen(  # noqa: S603 - our own file with paths of an installed package
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Mailbox] = {}
        self._lock = threading.Lock()
        self._gone = False
        self._why = ""
        threading.Thread(target=self._read, name="espeak-reader", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def gone(self) -> bool:
        return self._gone

    def ask(self, utterance: Utterance, mailbox: _Mailbox) -> int:
        """Send a request and return its number; its answers, ended by anything but PCM, go to `mailbox`."""
        payload = {"voice": utterance.voice, "rate": utterance.rate, "text": utterance.text.replace("\0", " ")}
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = mailbox
            if self._gone or not self._send(wire.SPEAK, number, json.dumps(payload).encode()):
                self._waiting.pop(number)
                mailbox.put(_Gone(self._why))
        return number

    def cancel(self, number: int) -> None:
        """Stop a request (barge-in); nothing more of it arrives. One that is done already is left alone."""
        with self._lock:
            if self._waiting.pop(number, None) is not None:
                self._send(wire.CANCEL, number, b"")

    def close(self) -> None:
        """End the process by closing its input; kill it when it does not listen."""
        with contextlib.suppress(OSError):
            _pipe(self._child.stdin).close()
        try:
            self._child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def kill(self) -> None:
        """End the process at once, without waiting for it; the reader reports it gone."""
        self._child.kill()

    def _send(self, kind: int, number: int, payload: bytes) -> bool:
        pipe = _pipe(self._child.stdin)
        try:
            pipe.write(wire.HEADER.pack(kind, number, len(payload)) + payload)
            pipe.flush()
        except (OSError, ValueError):  # broken or closed: the reader sees the end and reports it
            return False
        return True

    def _read(self) -> None:
        pipe = _pipe(self._child.stdout)
        while header := pipe.read(wire.HEADER.size):
            kind, number, length = wire.HEADER.unpack(header)
            self._deliver(kind, number, pipe.read(length))
        with self._lock:
            self._gone = True
            left = list(self._waiting.values())
            self._waiting.clear()
        self._child.wait()
        pipe.close()
        with contextlib.suppress(OSError):  # what was still buffered has no reader
            _pipe(self._child.stdin).close()
        for mailbox in left:
            mailbox.put(_Gone(self._why))

    def _deliver(self, kind: int, number: int, payload: bytes) -> None:
        if number == _PROCESS and kind == wire.FAULT:
            self._why = f": {payload.decode()}"
        with self._lock:
            mailbox = self._waiting.get(number) if kind == wire.PCM else self._waiting.pop(number, None)
        if mailbox is None:
            return
        if kind == wire.PCM:
            mailbox.put(_Pcm(payload))
        else:
            mailbox.put(_End() if kind == wire.END else _Fault(payload.decode()))


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the espeak-ng process was started without pipes")
    return pipe


_lock = threading.Lock()
_process: _Process | None = None


def start() -> _Process:
    """Return the running process, starting it when there is none. Raises ProviderMissing without the extra."""
    global _process  # noqa: PLW0603 - espeak-ng's state is global to a process, so there is one for all sessions
    with _lock:
        if _process is None:
            atexit.register(close)
        if _process is None or _process.gone:
            _process = _Process()
        return _process


def pid() -> int | None:
    """Return the number of the running espeak-ng process, or None."""
    return None if _process is None or _process.gone else _process.pid


def close() -> None:
    """End the process; the next request starts another."""
    global _process
    atexit.unregister(close)
    with _lock:
        process, _process = _process, None
    if process is not None:
        process.close()


async def speak(utterance: Utterance) -> AsyncGenerator[bytes]:
    """Yield s16 mono PCM at `SAMPLE_RATE` Hz as it is made; leaving the iteration early cancels the request.

    A process that dies before the first sample is replaced once. Raises EspeakFault and EspeakGone.
    """
    for last_try in (False, True):
        heard = False
        try:
            async with contextlib.aclosing(_attempt(utterance)) as chunks:
                async for chunk in chunks:
                    heard = True
                    yield chunk
            return
        except EspeakGone:
            if heard or last_try:
                raise


async def _attempt(utterance: Utterance) -> AsyncGenerator[bytes]:
    process, mailbox = start(), _Mailbox()
    number = process.ask(utterance, mailbox)
    try:
        while True:
            match await mailbox.get():
                case _Pcm(data):
                    yield data
                case _End():
                    return
                case _Fault(message):
                    raise EspeakFault(message)
                case _Gone(why):
                    raise EspeakGone(f"the espeak-ng process ended before the sentence did{why}")
                case unreachable:
                    assert_never(unreachable)
    except TimeoutError:
        process.kill()
        raise EspeakGone(f"the espeak-ng process said nothing for {_PATIENCE_S:.0f} s") from None
    finally:
        process.cancel(number)
