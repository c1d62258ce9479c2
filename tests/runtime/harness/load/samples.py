"""Calls, samples and a finished test as a load test leaves them behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from runtime.harness.load.figures import Limits
from runtime.harness.load.machine import WorkerSample
from runtime.harness.load.plan import LoadPlan
from runtime.harness.load.report import Report, made
from runtime.harness.load.results import BargeIn, CallReport, Failure, Keys, ProcessReport, Sound, Utterance
from runtime.harness.load.run import Concurrency, Outcome
from runtime.harness.load.transcripts import Heard, Stored
from runtime.voice.wav import Samples

__all__ = ["RATE", "call", "finished", "outcome", "report", "silence", "stored", "tone"]

RATE = 16000


def tone(seconds: float, loudness: int = 8000) -> Samples:
    """Return something loud."""
    times = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(loudness * np.sin(2 * np.pi * 300 * times), dtype=np.int16)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), dtype=np.int16)


def call(number: int, responses: Sequence[float | None] = (0.8, 1.2), **fields: object) -> CallReport:
    """Return a call that began `number` seconds after the test; its second utterance interrupts."""
    utterances = tuple(
        Utterance(
            step=step,
            text="my bill please",
            began_s=number + 2.0 * step,
            ended_s=number + 2.0 * step + 1.0,
            response_s=response,
            barge_in=BargeIn(0.4, yielded=True) if step == 2 else None,
        )
        for step, response in enumerate(responses, start=1)
    )
    made_up = CallReport(
        number=number,
        room=f"load-x-{number}",
        process=1,
        began_s=float(number),
        ended_s=number + 10.0,
        answered_s=0.3,
        first_sound_s=0.5,
        utterances=utterances,
        keys=(Keys(3, "1#", number + 7.0, 0.25),),
        sound=Sound(heard_s=5.0, concealed=0.01, packets=990, packets_lost=10, gaps=1, longest_gap_ms=120.0),
    )
    return replace(made_up, **fields)  # type: ignore[arg-type]


def stored(*, faults: tuple[str, ...] = (), reason: str = "caller_hangup", lost: int = 1) -> Stored:
    return Stored("5f0c", "completed", reason, 30, Heard(6, lost, 2, lost // 3), faults, (350.0, 450.0))


def finished(number: int = 3) -> list[CallReport]:
    """Return calls of which the last was not answered."""
    failure = Failure("unanswered", "The agent said nothing for 15 s after step 1: <hello>")
    return [*(call(each) for each in range(1, number)), call(number, (None,), failure=failure)]


def outcome(calls: Sequence[CallReport] | None = None) -> Outcome:
    """Return a test of twelve seconds in which three calls run from second 3 to second 9."""
    talking = [0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 1, 0]
    return Outcome(
        calls=list(finished() if calls is None else calls),
        concurrency=[Concurrency(float(at), 1 if at < 3 else 0, count) for at, count in enumerate(talking)],
        workers=[
            WorkerSample(float(at), float(count), 10.0 + 0.6 * at, 200.0 + 5.0 * count, {"tts/late": float(at > 4)}, {})
            for at, count in enumerate(talking)
        ],
        processes=(ProcessReport(1, 3, 3.0, 12.0, 120.0, 4.0),),
        wall_s=12.0,
    )


def report(limits: Limits | None = None) -> Report:
    plan = LoadPlan(script="my bill please\n[interrupt 1] my bill please\n[dtmf 1#]", calls=3)
    told = {number: stored(faults=("tts/late",)) for number in (1, 2)}
    return made(plan, outcome(), target="3 at once, a <workflow>", stored=told, limits=limits or Limits())
