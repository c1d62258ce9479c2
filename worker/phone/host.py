"""The process that holds the SIP stack: `python -m worker.phone.host FD`, started by a line, ended by its stream's end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

from baresip import Account, BaresipError, Config, Runtime, UserAgent

from runtime.tasks import cancel_and_wait, spawn
from worker.phone.calls import Calls
from worker.phone.messages import Dial, Listening, Logged, NotListening, Report, Start, order_of, told
from worker.phone.numbers import cleaned
from worker.phone.wire import Wire

__all__ = ["serve"]

Json = Any

TICK_S: Final = 0.04  # how often callers' sound is fetched: two RTP packets, half the work of one
_CLOSING_S: Final = 3.0
_LOG_LINES: Final = 20  # in a second; a flood of malformed packets shall not become a flood of lines
_LEVELS: Final = {logging.WARNING: "warning", logging.INFO: "info"}


class _Logs(logging.Handler):
    """The stack's log as reports; it is written to from threads of the stack."""

    def __init__(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(logging.WARNING)
        self._wire = wire
        self._loop = loop
        self._left = _LOG_LINES
        self._second = 0

    def emit(self, record: logging.LogRecord) -> None:
        if self._loop.is_closed():
            return
        report = Logged(_LEVELS.get(record.levelno, "error"), cleaned(record.getMessage(), 300))
        self._loop.call_soon_threadsafe(self._send, report)

    def _send(self, report: Logged) -> None:
        second = int(self._loop.time())
        if second != self._second:
            self._second, self._left = second, _LOG_LINES
        if self._left:
            self._left -= 1
            self._wire.send(told(report))


class Host:
    """One SIP stack and its calls, driven by orders from the stream."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self._wire = Wire(on_message=self._ordered, on_sound=self._play, on_lost=lambda _error: self.over.set())
        self._runtime = Runtime()
        self._calls = Calls(self._runtime, self._report)
        self._agents: dict[tuple[Json, ...], UserAgent] = {}

    async def run(self, line: socket.socket) -> None:
        """Work until the line closes its end of the stream, or the stack dies."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._wire, sock=line)
        handler = _Logs(self._wire, loop)
        logging.getLogger("baresip").addHandler(handler)
        ticking = spawn(self._tick(), name="callers' sound")
        await self.over.wait()
        await cancel_and_wait(ticking)
        logging.getLogger("baresip").removeHandler(handler)
        self._wire.close()
        async with asyncio.timeout(_CLOSING_S):
            await self._calls.hang_up_all()
            await self._runtime.close()

    # ------------------------------------------------------------ the stream

    def _report(self, report: Report) -> None:
        self._wire.send(told(report))

    def _ordered(self, said: Mapping[str, Json]) -> None:
        match order_of(said):
            case Start() as start:
                spawn(self._listen(start), name="listen")
            case Dial() as dial:
                spawn(self._dial(dial), name="dial")
            case order:
                self._calls.perform(order)

    def _play(self, call: int, pcm: bytes) -> None:
        self._calls.play(call, pcm)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + TICK_S, loop.time())
            await asyncio.sleep(due - loop.time())
            self._calls.release(loop.time())
            self._wire.send_sounds(self._calls.heard())

    # ------------------------------------------------------------ the stack

    async def _listen(self, start: Start) -> None:
        self._runtime.on_dead = self.over.set
        try:
            await self._runtime.start(_config(start))
            await self._agent("patchbay", "127.0.0.1", extra=("catchall=yes",))
        except (BaresipError, ValueError) as error:
            self._report(NotListening(cleaned(str(error))))
        else:
            self._report(Listening())

    async def _dial(self, dial: Dial) -> None:
        try:
            agent = await self._agent(dial.caller, dial.domain, dial.proxy, dial.username, dial.password)
        except (BaresipError, ValueError) as error:
            self._calls.refused(dial.ask, error)
        else:
            await self._calls.dial(dial, agent)

    async def _agent(
        self,
        user: str,
        domain: str,
        proxy: str | None = None,
        username: str | None = None,
        password: str = "",
        *,
        extra: tuple[str, ...] = (),
    ) -> UserAgent:
        """Return the agent of this identity; the stack cannot give one back, so each is made once."""
        key = (user, domain, proxy, username, password)
        if key not in self._agents:
            account = Account(
                user,
                domain,
                password,
                registrar=proxy,
                reg_interval=0,
                auth_user=username,
                extra_params=("video_codecs=none", *extra),  # with one, a re-INVITE follows 100 ms into each call
            )
            self._agents[key] = await UserAgent.create(self._runtime, account, transfer_policy="reject")
            self._agents[key].on_incoming(self._calls.invited)
        return self._agents[key]


def _config(start: Start) -> Config:
    return Config(
        net_interface=start.interface,
        max_concurrent_calls=start.max_calls,
        rtp_timeout=start.rtp_timeout_s,
        expose_headers=("To", "From", "P-Asserted-Identity"),
        extra_config_text=(
            f"sip_listen {start.listen}\nsip_transports udp,tcp\nrtp_ports {start.first_rtp_port}-{start.last_rtp_port}\n"
            "audio_jitter_buffer_type adaptive\naudio_jitter_buffer_ms 40-200\n"
        ),
    )


async def serve(line: socket.socket) -> None:
    """Hold the stack until the other end of `line` is closed."""
    await Host().run(line)


def _main() -> None:
    # A signal for the whole group is the worker's to answer: its calls are to be finished, and this ends with its stream.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    line = socket.socket(fileno=int(sys.argv[1]))
    try:
        asyncio.run(serve(line))
    except TimeoutError:
        pass
    finally:
        os._exit(0)  # a stack that hangs has threads that nobody can end


if __name__ == "__main__":
    _main()
