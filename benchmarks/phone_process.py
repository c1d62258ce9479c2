"""The processes of `benchmarks.phone_line`: workers that answer, the bare SIP stack, and the callers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import numpy as np

from benchmarks.children import say, words
from benchmarks.meter import Meter
from benchmarks.talk import Talks, caller_speech, open_talks
from runtime.logging import configure_logging
from runtime.store.memory import MemoryStore
from runtime.tasks import spawn
from runtime.voice.audio import PcmInput, PcmOutput, frame_of
from tests.fakes.raw_caller import raw_caller
from tests.fakes.sip_caller import RATE, tone
from worker.phone.leg import SipLeg
from worker.phone.line import LineConfig, open_line

Json = Any
Answer = Callable[[SipLeg], Any]


# ---------------------------------------------------------------- workers


class _Talker:
    """A session that never stops talking, and hears everything: the audio side of a call without its models."""

    def connect(self, source: PcmInput, sink: PcmOutput) -> None:
        spawn(self._talk(sink), name="talk")
        spawn(self._hear(source), name="hear")

    def press(self, keys: str) -> None:
        pass

    async def _talk(self, sink: PcmOutput) -> None:
        sound = frame_of(tone(440, 0.1), RATE)
        while True:
            for _ in range(20):
                await sink.capture_frame(sound)
            sink.flush()
            await sink.wait_for_playout()

    async def _hear(self, source: PcmInput) -> None:
        async for _ in source:
            pass


class _Turns:
    """Counts what the callers were understood to say."""

    def __init__(self, talks: Talks) -> None:
        self.turns = 0
        self._talks = talks

    def add(self) -> None:
        self.turns += 1

    async def converse(self, leg: SipLeg) -> None:
        await self._talks.hold(leg, self.add)


async def _talk(leg: SipLeg) -> None:
    await leg.answer()
    await leg.connect(_Talker())  # type: ignore[arg-type]


async def _worker(how: str) -> None:
    """Answer every call: `converse` as the product does, with stand-ins for models, or `talk` without end."""
    async with AsyncExitStack() as stack:
        turns = _Turns(await stack.enter_async_context(open_talks(MemoryStore())))
        answer: Final[Answer] = turns.converse if how == "converse" else _talk

        def rung(leg: SipLeg) -> None:
            spawn(answer(leg), name="answer")

        line = await stack.enter_async_context(open_line(LineConfig("127.0.0.1:0"), on_incoming=rung))
        assert line.host_pid is not None
        say(line.config.listen)
        await _measured(line.host_pid, turns)


async def _measured(host_pid: int, turns: _Turns) -> None:
    meters, before = (Meter(), Meter(host_pid)), 0
    async for word in words():
        if word == "begin":
            meters, before = (Meter(), Meter(host_pid)), turns.turns
        else:
            worker, host = (meter.percent() for meter in meters)
            say({"worker": worker, "host": host, "turns": turns.turns - before})


async def _bare(listen: str) -> None:
    """Answer every call with the stack alone and talk without end."""
    from baresip import Account, AudioNotActive, AudioRestarted, Call, Config, Runtime, UserAgent  # noqa: PLC0415 - one stack a process

    runtime = Runtime()
    extra = f"sip_listen {listen}\nrtp_ports 30000-31999\naudio_jitter_buffer_type adaptive\naudio_jitter_buffer_ms 40-200\n"
    await runtime.start(Config(net_interface="127.0.0.1", max_concurrent_calls=None, extra_config_text=extra))
    account = Account("bare", "127.0.0.1", "", reg_interval=0, extra_params=("catchall=yes", "video_codecs=none"))
    agent = await UserAgent.create(runtime, account)
    calls: list[Call] = []

    def rung(call: Call) -> None:
        calls.append(call)
        spawn(call.answer(), name="answer")

    agent.on_incoming(rung)
    say(listen)
    measuring = spawn(_own(), name="measure")
    speech = tone(440, 0.1).tobytes()
    while not measuring.done():
        await asyncio.sleep(0.02)
        for call in calls:
            try:
                call.audio.read(3200)
                if call.audio.info().tx_buffered < 1280:
                    call.audio.write(speech)
            except (AudioNotActive, AudioRestarted):
                continue


async def _own() -> None:
    meter = Meter()
    async for word in words():
        if word == "begin":
            meter = Meter()
        else:
            say({"worker": meter.percent(), "turns": 0})


# ---------------------------------------------------------------- callers


async def _callers(calls: int, seconds: float, how: str) -> None:
    """Told where, call so many times, the calls spread over a turn, listen, and print what the packets' intervals were."""
    speech = caller_speech(RATE) if how == "converse" else tone(300, 1.0)
    told = words()
    listen = await anext(told)
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(raw_caller(f"sip:+1555{i}@{listen}", speech)) for i in range(calls)]
        for caller in callers:
            await caller.call()
            await asyncio.sleep(speech.size / RATE / calls)
        await asyncio.sleep(2.0)
        for caller in callers:
            caller.packets.clear()
        say("talking")
        await asyncio.sleep(seconds)
        times = [[packet.at for packet in caller.packets] for caller in callers]
        gaps = np.concatenate([np.diff(series) for series in times]) * 1000
        silent = [not packet.samples.any() for caller in callers for packet in caller.packets]
        say(
            {
                "sip_packet_interval_p50_ms": float(np.percentile(gaps, 50)),
                "sip_packet_interval_p99_ms": float(np.percentile(gaps, 99)),
                "sip_packet_interval_max_ms": float(gaps.max()),
                "sip_silent_packets_percent": 100 * float(np.mean(silent)),
            }
        )
        async for _ in told:
            pass


async def _main(role: str, *rest: str) -> None:
    match role:
        case "callers":
            await _callers(int(rest[0]), float(rest[1]), rest[2])
        case "bare":
            await _bare(rest[0])
        case _:
            await _worker(role)
    sys.stdout.flush()
    os._exit(0)  # the callers' sockets and the stack's threads end with it


if __name__ == "__main__":
    configure_logging("error", "console")
    asyncio.run(_main(*sys.argv[1:]))
