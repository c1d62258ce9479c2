"""Many calls at once on the worker's own SIP line, beside the bare SIP stack: packet intervals, and what a call costs."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.audio import PcmInput, PcmOutput, frame_of
from tests.fakes.raw_caller import raw_caller
from tests.fakes.sip_caller import RATE, free_port, tone
from worker.phone.leg import SipLeg
from worker.phone.line import LineConfig, open_line

__all__ = ["measure", "table"]

Json = Any
CALLS = 20
SECONDS = 8.0
_TICKS = os.sysconf("SC_CLK_TCK")


class _Talker:
    """A session that never stops talking, and hears everything: the audio side of a call without its models."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def connect(self, source: PcmInput, sink: PcmOutput) -> None:
        self.tasks = [spawn(self._talk(sink), name="talk"), spawn(self._hear(source), name="hear")]

    def press(self, keys: str) -> None:
        pass

    async def _talk(self, sink: PcmOutput) -> None:
        words = frame_of(tone(440, 0.1), RATE)
        while True:
            for _ in range(20):
                await sink.capture_frame(words)
            sink.flush()
            await sink.wait_for_playout()

    async def _hear(self, source: PcmInput) -> None:
        async for _ in source:
            pass


async def measure(*, rounds: int = 3, calls: int = CALLS, seconds: float = SECONDS) -> dict[str, dict[str, float]]:
    """Return each number's median by side: `patchbay`, `baresip` (the stack alone), and the ratio of the two."""
    found: dict[str, list[Mapping[str, float]]] = {"patchbay": [], "baresip": []}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for side in sorted(found, reverse=bool(number % 2)):
            measured = await (_ours if side == "patchbay" else _bare)(calls, seconds)
            found[side].append(measured)
    sides = {side: _medians(results) for side, results in found.items()}
    bare = sides["baresip"]
    ratio = {name: round(value / bare[name], 2) if bare[name] else 1.0 for name, value in sides["patchbay"].items()}
    return sides | {"ratio": ratio}


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return the numbers as lines of text."""
    lines = [f"{'':32}" + "".join(f"{side:>12}" for side in found)]
    lines += [f"{name:32}" + "".join(f"{side[name]:12.2f}" for side in found.values()) for name in found["patchbay"]]
    return "\n".join(lines)


def _medians(results: list[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(result[name] for result in results), 3) for name in results[0]}


async def _ours(calls: int, seconds: float) -> Mapping[str, float]:
    talkers: list[_Talker] = []
    legs: list[SipLeg] = []

    async def take(leg: SipLeg) -> None:
        await leg.answer()
        talkers.append(_Talker())
        await leg.connect(talkers[-1])  # type: ignore[arg-type]

    def rung(leg: SipLeg) -> None:
        legs.append(leg)
        spawn(take(leg), name="take")

    async with open_line(LineConfig("127.0.0.1:0"), on_incoming=rung) as line:
        assert line.host_pid is not None
        found = await _callers(line.config.listen, calls, seconds, (line.host_pid, os.getpid()))
        await cancel_and_wait(*(task for talker in talkers for task in talker.tasks))
        await asyncio.gather(*(leg.aclose() for leg in legs))
    return found


async def _bare(calls: int, seconds: float) -> Mapping[str, float]:
    listen = f"127.0.0.1:{free_port()}"
    async with _process("bare", listen) as stack:
        assert stack.stdout is not None
        await stack.stdout.readline()
        return await _callers(listen, calls, seconds, (stack.pid,))


async def _callers(listen: str, calls: int, seconds: float, pids: tuple[int, ...]) -> Mapping[str, float]:
    async with _process("callers", listen, str(calls), str(seconds)) as callers:
        assert callers.stdout is not None
        await callers.stdout.readline()  # all are talking
        before, since = sum(map(_cpu_s, pids)), time.monotonic()
        heard: dict[str, float] = json.loads(await callers.stdout.readline())
        share = (sum(map(_cpu_s, pids)) - before) / (time.monotonic() - since)
    return heard | {"cpu_percent_a_call": 100 * share / calls}


@asynccontextmanager
async def _process(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.phone_line", *words, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


# ---------------------------------------------------------------- processes


async def _be_callers(listen: str, calls: int, seconds: float) -> None:
    """Call so many times at once, listen, and print what the packets' intervals were."""
    async with AsyncExitStack() as stack:
        speech = tone(300, 1.0)
        callers = [await stack.enter_async_context(raw_caller(f"sip:+1555{i}@{listen}", speech)) for i in range(calls)]
        await asyncio.gather(*(caller.call() for caller in callers))
        await asyncio.sleep(1.0)
        for caller in callers:
            caller.packets.clear()
        print("talking", flush=True)
        await asyncio.sleep(seconds)
        times = [[packet.at for packet in caller.packets] for caller in callers]
        gaps = np.concatenate([np.diff(series) for series in times]) * 1000
        silent = [not packet.samples.any() for caller in callers for packet in caller.packets]
        found = {
            "packet_interval_p50_ms": float(np.percentile(gaps, 50)),
            "packet_interval_p99_ms": float(np.percentile(gaps, 99)),
            "packet_interval_max_ms": float(gaps.max()),
            "silent_packets_percent": 100 * float(np.mean(silent)),
        }
        print(json.dumps(found), flush=True)


async def _be_bare(listen: str) -> None:
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
    print("ready", flush=True)
    speech = tone(440, 0.1).tobytes()
    while True:
        await asyncio.sleep(0.02)
        for call in calls:
            try:
                call.audio.read(3200)
                if call.audio.info().tx_buffered < 1280:
                    call.audio.write(speech)
            except (AudioNotActive, AudioRestarted):
                continue


if __name__ == "__main__":
    if sys.argv[1] == "bare":
        asyncio.run(_be_bare(sys.argv[2]))
    else:
        asyncio.run(_be_callers(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
