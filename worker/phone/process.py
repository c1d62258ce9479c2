"""A host process as a line sees it: started, asked, watched, ended."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import structlog

from runtime.errors import ProviderMissing, Unreachable
from worker.phone.config import LineConfig
from worker.phone.messages import (
    Dial,
    Done,
    Listening,
    Logged,
    NotListening,
    Order,
    Ping,
    Report,
    SendKeys,
    Start,
    Transfer,
    report_of,
    told,
)
from worker.phone.wire import Wire

__all__ = ["HostLost", "HostProcess"]

Json = Any

_STARTS_WITHIN_S: Final = 15.0
_ENDS_WITHIN_S: Final = 5.0
_ANSWERS_WITHIN_S: Final = 10.0

# The stack warns of every odd packet that a stranger sends.
_LEVELS: Final = {"warning": logging.DEBUG, "info": logging.DEBUG}

_log = structlog.get_logger("phone")


class HostLost(ConnectionError):
    """The host died, or was not there any more."""


class HostProcess:
    """One process with one SIP stack. When it is lost, `lost` is set and every question raises HostLost."""

    def __init__(self, on_report: Callable[[Report], None], on_sound: Callable[[int, bytes], None]) -> None:
        self.lost = asyncio.Event()
        self._on_report = on_report
        self._wire = Wire(on_message=self._told, on_sound=on_sound, on_lost=self._stream_ended)
        self._asks = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Done]] = {}
        self._listening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self, config: LineConfig) -> None:
        """Start it and wait until it listens; raises Unreachable naming the address, ProviderMissing without its package."""
        _demand_package()
        ours, theirs = socket.socketpair()
        await asyncio.get_running_loop().create_unix_connection(lambda: self._wire, sock=ours)
        try:
            self._process = await _spawn_host(theirs)
        finally:
            theirs.close()
        self.send(_start_order(config))
        try:
            async with asyncio.timeout(_STARTS_WITHIN_S):
                await self._listening
        except (TimeoutError, HostLost, Unreachable) as error:
            await self.aclose()
            raise _cannot_listen(config, error) from None

    def send(self, order: Order) -> None:
        """Give an order; one to a host that is lost is dropped."""
        if not self.lost.is_set():
            self._wire.send(told(order))

    def send_sound(self, call: int, pcm: bytes) -> None:
        """Let a call's other side hear this: s16le mono at 8 kHz."""
        self._wire.send_sounds(((call, pcm),))

    async def ask(self, order: Dial | SendKeys | Transfer | Ping, *, timeout_s: float = _ANSWERS_WITHIN_S) -> Done:
        """Give an order and wait for what became of it; raises HostLost, also where no answer came in time."""
        if self.lost.is_set():
            raise HostLost("the SIP host is not there")
        number = next(self._asks)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.send(replace(order, ask=number))
        try:
            async with asyncio.timeout(timeout_s):
                answer: Done = await waiting
                return answer
        except TimeoutError:
            raise HostLost(f"the SIP host gave no answer within {timeout_s:g} s") from None
        finally:
            del self._waiting[number]

    async def aclose(self) -> None:
        """Close the stream, at which the host hangs up and ends; one that does not is killed. Idempotent."""
        self._wire.close()
        if self._process is None:
            return
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once, with all of its calls."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    # ------------------------------------------------------------ the stream

    def _told(self, said: Mapping[str, Json]) -> None:
        match report_of(said):
            case Done(ask=ask) as done:
                if (waiting := self._waiting.get(ask)) is not None and not waiting.done():
                    waiting.set_result(done)
            case Listening():
                if not self._listening.done():
                    self._listening.set_result(None)
            case NotListening(why):
                if not self._listening.done():
                    self._listening.set_exception(Unreachable(why))
            case Logged(level, text):
                _log.log(_LEVELS.get(level, logging.WARNING), "sip_stack", text=text)
            case report:
                self._on_report(report)

    def _stream_ended(self, error: Exception | None) -> None:
        if error is not None:
            _log.error("sip_stream_broken", error=str(error))
        self.lost.set()
        waiting: list[asyncio.Future[Any]] = [self._listening, *self._waiting.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(HostLost("the SIP host has ended"))
        if not self._listening.cancelled():
            self._listening.exception()  # nobody need be waiting for it


def _start_order(config: LineConfig) -> Start:
    return Start(
        listen=config.listen,
        interface=config.interface,
        max_calls=config.max_calls,
        first_rtp_port=config.rtp_ports[0],
        last_rtp_port=config.rtp_ports[1],
        rtp_timeout_s=config.rtp_timeout_s,
    )


async def _spawn_host(theirs: socket.socket) -> asyncio.subprocess.Process:
    """Start the host with nothing of ours but the stream: what parses strangers' packets holds no keys of anybody's."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "worker.phone.host",
        str(theirs.fileno()),
        pass_fds=(theirs.fileno(),),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,  # C code prints there
        env={"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )


def _demand_package() -> None:
    if importlib.util.find_spec("baresip") is None:
        raise ProviderMissing(
            "The worker's own SIP line needs baresip-python, which is not installed.",
            remedy='Install it: pip install "patchbay[phone]". Calls through LiveKit SIP do not need it.',
        )


def _cannot_listen(config: LineConfig, error: Exception) -> Unreachable:
    return Unreachable(
        f"The SIP line cannot listen on {config.listen}: {error or 'its process gave no answer'}.",
        remedy="PATCHBAY_LOG=debug shows the SIP stack's own words; another --listen may do.",
    )
