"""`python -m benchmarks.first_audio`: how long a caller waits for the first sound, and for the next agent's after a handoff.

Each call is the first of a process of its own, with a voice behind HTTP on loopback that takes 200 ms to its first sample
and 60 ms more for the first answer on a connection, as a handshake over TLS does. The kinds of process take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final
from unittest.mock import patch

from benchmarks.calls import Given, open_calls
from benchmarks.fakes import MOVE_ON, RATE, Ear, ScriptedLLM, ScriptedSTT
from benchmarks.sides import workflow
from runtime.store.memory import MemoryStore
from runtime.voice.audio import PcmInput, PcmOutput
from runtime.voice.live_call import LiveCall, open_call
from runtime.voice.pipeline import warm
from runtime.voice.speech_files import SpeechFiles
from runtime.voice.spoken import SpokenCache
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from worker.tuning import tune

__all__ = ["measure"]

_LATENCY_S: Final = 0.2
_HANDSHAKE_S: Final = 0.06
_BYTES: Final = 2**26
_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "with": ("--cache", "--warming"),
    "warming": ("--warming",),
    "without": (),
}
_FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "first_audio_ms.with_cache": ("with", "first_audio_ms"),
    "first_audio_ms.without_cache": ("without", "first_audio_ms"),
    "first_audio_after_answer_ms.with_cache": ("with", "after_answer_ms"),
    "first_audio_after_answer_ms.without_cache": ("without", "after_answer_ms"),
    "handoff_audio_ms.with_cache": ("with", "handoff_ms"),
    "handoff_audio_ms.with_warming": ("warming", "handoff_ms"),
    "handoff_audio_ms.without_warming": ("without", "handoff_ms"),
}


def measure(rounds: int = 3) -> dict[str, float]:
    """Return medians in ms: from the call's arrival, and from its answer, to the first sample; from a path to the next's."""
    found: dict[str, list[Mapping[str, float]]] = {kind: [] for kind in _KINDS}
    with tempfile.TemporaryDirectory() as folder, _voice() as url:
        _process(url, folder, _KINDS["with"])  # fills the disk
        for number in range(rounds):
            for kind in sorted(found, reverse=bool(number % 2)):
                found[kind].append(_process(url, folder, _KINDS[kind]))
    return {figure: statistics.median(run[name] for run in found[kind]) for figure, (kind, name) in _FIGURES.items()}


@contextmanager
def _voice() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.fakes.http_voice"]
    waits = ["--latency", str(_LATENCY_S), "--handshake", str(_HANDSHAKE_S)]
    with subprocess.Popen([*command, *waits], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _process(url: str, folder: str, ways: Sequence[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.first_audio", "--voice", url, "--folder", folder, *ways]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


# ------------------------------------------------------------ in a process of its own


async def _call(url: str, folder: Path, *, cache: bool, warming: bool) -> dict[str, float]:
    """Take one call: from its arrival over the greeting to the next agent's."""
    warm()
    tune()
    files = SpeechFiles(folder / "speech", _BYTES) if cache else None
    model, listener, spoken = ScriptedLLM(), ScriptedSTT(), SpokenCache(files=files)
    providers = Given(model, listener, None, detects=False, stored=False, spoken=spoken)
    async with AsyncExitStack() as stack:
        if not warming:
            stack.enter_context(patch("runtime.voice.warming.likely", lambda *_: iter(())))
        calls = await stack.enter_async_context(open_calls(MemoryStore(), folder / "events"))
        live = await stack.enter_async_context(open_call(calls.plan(_workflow(url), providers), text=False))
        ear = Ear()
        arrived = time.perf_counter()
        await live.start()
        await live.prepare()
        answered = time.perf_counter()
        live.connect(PcmInput(), PcmOutput(ear.on_frame, rate=RATE))
        await live.begin()
        heard = await ear.sound()
        await live.line.wait_idle()
        handoff = await _moved(live, (model, listener), ear)
        await spoken.saved()
    return {
        "first_audio_ms": 1e3 * (heard - arrived),
        "after_answer_ms": 1e3 * (heard - answered),
        "handoff_ms": 1e3 * handoff,
    }


async def _moved(live: LiveCall, providers: tuple[ScriptedLLM, ScriptedSTT], ear: Ear) -> float:
    """Return seconds from the model's call of the path to the first sound of the agent that it leads to."""
    model, listener = providers
    ear.listen()
    listener.hear(MOVE_ON)
    seconds = await ear.sound() - model.called_at
    await live.line.wait_idle()
    return seconds


def _workflow(url: str) -> Workflow:
    """Return the benchmarks' two agents, each with a voice and so a connection of its own."""
    config = workflow().config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for node in config["agents"]:
        options = {"base_url": url, "api_key": "none", "model": "hum", "response_format": "pcm"}
        node["tts"] = {"provider": "openai", "voice_id": node["id"], "options": options}
    config["agents"][1]["tts"]["options"]["api_key"] = "other"
    return compile_workflow(WorkflowConfig.model_validate(config))


def main() -> None:
    """Print the medians, or, in a process of one call, what it found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_audio", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--voice")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--cache", action="store_true")
    parser.add_argument("--warming", action="store_true")
    given = parser.parse_args()
    if given.voice is not None:
        print(json.dumps(asyncio.run(_call(given.voice, given.folder, cache=given.cache, warming=given.warming))))
        return
    for name, value in measure(given.rounds).items():
        print(f"{name:46}{value:10.1f}")


if __name__ == "__main__":
    main()
