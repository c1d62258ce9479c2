"""The figures of a load test: spreads over calls and turns, and what one call takes of the workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from runtime.harness.load.machine import WorkerSample
from runtime.harness.load.results import CallReport, Failure
from runtime.harness.load.run import Outcome
from runtime.harness.load.shares import CallersShare, WorkersShare, callers_share, workers_share
from runtime.harness.load.transcripts import Stored

__all__ = [
    "Latencies",
    "Limits",
    "Losses",
    "Spread",
    "Summary",
    "Turns",
    "judged",
    "judged_call",
    "p95",
    "spread",
    "summarise",
]

_FINE: Final = frozenset({"caller_hangup", "agent_hangup", "transferred", "voicemail", "inactivity", "max_duration"})


@dataclass(frozen=True, slots=True)
class Spread:
    """Values in milliseconds; each percentile is one that was measured (nearest rank)."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Latencies:
    """As the callers heard them, but for `workers_response`, which is what the worker's events say."""

    answer: Spread | None
    first_sound: Spread | None
    response: Spread | None
    workers_response: Spread | None
    keypad: Spread | None
    barge_in: Spread | None


@dataclass(frozen=True, slots=True)
class Losses:
    """What did not arrive: of the callers' words (None where no transcript was read), and of the agent's sound.

    `masked` counts calls whose transcripts cannot be compared; `concealed_percent` is the mean over calls.
    """

    words: int
    words_lost_percent: float | None
    utterances: int
    utterances_lost: int | None
    masked: int
    concealed_percent: float | None
    packets_lost_percent: float | None
    gaps: int


@dataclass(frozen=True, slots=True)
class Turns:
    """What was tried: utterances, interruptions, how many of these the agent did not yield to, or that came too late.

    `talked_over` are answers that began before the caller was done.
    """

    utterances: int
    interruptions: int
    not_yielded: int
    too_late: int
    talked_over: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a test comes to; a spread is None where nothing was measured. `faults` and `refused` are counts by name."""

    calls: int
    passed: int
    failed: int
    failures: Mapping[str, int]
    peak: int
    wall_s: float
    interrupted: bool
    latencies: Latencies
    turns: Turns
    losses: Losses
    faults: Mapping[str, int]
    refused: Mapping[str, int]
    workers: WorkersShare | None
    callers: CallersShare | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a test must keep to; None: it need not. `response_p95` and `answer_p95` in ms, `lost_words` in percent."""

    response_p95: float | None = None
    answer_p95: float | None = None
    lost_words: float | None = None


def spread(seconds: Iterable[float | None]) -> Spread | None:
    """Return the spread of what was measured, from seconds to milliseconds; None where nothing was."""
    found = np.array([each for each in seconds if each is not None], dtype=np.float64) * 1000
    if not found.size:
        return None
    p50, p95, p99 = (float(each) for each in np.percentile(found, (50, 95, 99), method="inverted_cdf"))
    return Spread(int(found.size), round(p50, 1), round(p95, 1), round(p99, 1), round(float(found.max()), 1))


def p95(found: Spread | None) -> float | None:
    """Return the 95th percentile in milliseconds, if anything was measured."""
    return None if found is None else found.p95


def judged_call(call: CallReport, stored: Stored | None) -> CallReport:
    """Return the call as failed where the caller noticed nothing, but the worker says that it ended in error."""
    if call.failure is not None or stored is None or stored.reason is None or stored.reason in _FINE:
        return call
    return replace(call, failure=Failure("ended_in_error", f"The worker ended the call as {stored.reason}."))


def summarise(outcome: Outcome, stored: Mapping[int, Stored]) -> Summary:
    """Return what the outcome comes to; `stored` is what was read of the calls, by their numbers."""
    calls = outcome.calls
    failures: Counter[str] = Counter(each.failure.code for each in calls if each.failure is not None)
    return Summary(
        calls=len(calls),
        passed=len(calls) - failures.total(),
        failed=failures.total(),
        failures=dict(failures),
        peak=max((each.talking for each in outcome.concurrency), default=0),
        wall_s=outcome.wall_s,
        interrupted=outcome.interrupted,
        latencies=_latencies(calls, stored.values()),
        turns=_turns(calls),
        losses=_losses(calls, stored),
        faults=_faults(outcome.workers, stored.values()),
        refused=_grown([each.refused for each in outcome.workers]),
        workers=workers_share(outcome),
        callers=callers_share(outcome),
    )


def judged(summary: Summary, limits: Limits) -> list[str]:
    """Return, each as a sentence, what the test did not keep to: calls that failed, and limits that were exceeded."""
    told = [f"{summary.failed} of {summary.calls} calls failed."] if summary.failed else []
    if not summary.calls:
        told.append("No call was made.")
    told += _over("The response time's p95", p95(summary.latencies.response), limits.response_p95, "ms")
    told += _over("The answer time's p95", p95(summary.latencies.answer), limits.answer_p95, "ms")
    told += _over("The share of lost words", summary.losses.words_lost_percent, limits.lost_words, "%")
    return told


def _over(what: str, found: float | None, limit: float | None, unit: str) -> list[str]:
    if limit is None or (found is not None and found <= limit):
        return []
    if found is None:
        return [f"{what} was not measured, and {limit:g} {unit} is the limit."]
    return [f"{what} is {found:g} {unit}, over the limit of {limit:g} {unit}."]


def _latencies(calls: Sequence[CallReport], stored: Iterable[Stored]) -> Latencies:
    utterances = [each for call in calls for each in call.utterances]
    barge_ins = [each.barge_in for each in utterances if each.barge_in is not None and each.barge_in.yielded]
    return Latencies(
        answer=spread(call.answered_s for call in calls),
        first_sound=spread(call.first_sound_s for call in calls),
        response=spread(each.response_s for each in utterances),
        workers_response=spread(ms / 1000 for each in stored for ms in each.response_ms),
        keypad=spread(each.response_s for call in calls for each in call.keys),
        barge_in=spread(each.stop_s for each in barge_ins),
    )


def _turns(calls: Sequence[CallReport]) -> Turns:
    utterances = [each for call in calls for each in call.utterances]
    barge_ins = [each.barge_in for each in utterances if each.barge_in is not None]
    return Turns(
        utterances=len(utterances),
        interruptions=len(barge_ins),
        not_yielded=sum(each.stop_s is not None and not each.yielded for each in barge_ins),
        too_late=sum(each.stop_s is None for each in barge_ins),
        talked_over=sum(each.talked_over for each in utterances),
    )


def _losses(calls: Sequence[CallReport], stored: Mapping[int, Stored]) -> Losses:
    told = [stored[call.number].heard for call in calls if call.number in stored and call.utterances]
    heard = [each for each in told if each is not None]
    words, received = sum(each.words for each in heard), [call.sound for call in calls if call.sound.packets]
    lost, packets = sum(each.packets_lost for each in received), sum(each.packets for each in received)
    return Losses(
        words=words,
        words_lost_percent=_percent(sum(each.words_lost for each in heard), words),
        utterances=sum(each.utterances for each in heard),
        utterances_lost=sum(each.utterances_lost for each in heard) if heard else None,
        masked=told.count(None),
        concealed_percent=_percent(sum(each.concealed for each in received), len(received)),
        packets_lost_percent=_percent(lost, packets + lost),
        gaps=sum(call.sound.gaps for call in calls),
    )


def _percent(part: float, whole: float) -> float | None:
    return round(100 * part / whole, 2) if whole else None


def _faults(workers: Sequence[WorkerSample], stored: Iterable[Stored]) -> dict[str, int]:
    """The calls' own where they were read, and whatever else the workers counted meanwhile."""
    own = Counter(fault for each in stored for fault in each.faults)
    return dict(own | Counter(_grown([each.faults for each in workers])))


def _grown(counts: Sequence[Mapping[str, float]]) -> dict[str, int]:
    """Return by how much each counter grew from the first to the last; one that fell began anew with its process."""
    if not counts:
        return {}
    grown = {name: int(last - counts[0].get(name, 0.0)) for name, last in counts[-1].items()}
    return {name: count for name, count in grown.items() if count > 0}
