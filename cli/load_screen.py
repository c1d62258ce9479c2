"""A load test on the screen: one line while it runs, a summary when it is over."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.status import Status

from cli.output import console, hint, print_table, say
from runtime.harness.load.figures import Spread, Summary
from runtime.harness.load.page import SHORT_OF_CPU
from runtime.harness.load.plan import LoadPlan
from runtime.harness.load.report import Report
from runtime.harness.load.run import LoadRun, Snapshot
from runtime.tasks import spawn

__all__ = ["print_summary", "told", "watching"]

_EVERY_S: Final = 0.5


@contextmanager
def watching(test: LoadRun, plan: LoadPlan, *, shown: bool) -> Iterator[None]:
    """Show on a terminal how the test stands, for as long as this is open."""
    if not shown or not sys.stderr.isatty():
        yield
        return
    with console(err=True).status("The callers get ready …") as status:
        showing = spawn(_show(test, plan, status), name="load.screen")
        try:
            yield
        finally:
            showing.cancel()


async def _show(test: LoadRun, plan: LoadPlan, status: Status) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        status.update(told(test.snapshot(), plan))


def told(snapshot: Snapshot, plan: LoadPlan) -> str:
    """Return the line of a snapshot."""
    of = f" of {plan.wanted}" if plan.wanted is not None else ""
    text = (
        f"{snapshot.at_s:5.0f} s   dialling {snapshot.dialling}, talking {snapshot.talking}, "
        f"passed {snapshot.passed}{of}, failed {snapshot.failed}"
    )
    last = snapshot.last
    return text if last is None or last.failure is None else f"{text}   {last.failure.message}"


def print_summary(report: Report) -> None:
    """Print what a test comes to."""
    summary, all_ = report.summary, report.summary.latencies
    rows: tuple[tuple[str, Spread | None], ...] = (
        ("answer (dialled, agent there)", all_.answer),
        ("first sound (dialled, agent heard)", all_.first_sound),
        ("response (caller's end, agent heard)", all_.response),
        ("response as the workers have it", all_.workers_response),
        ("keypad (last key, agent heard)", all_.keypad),
        ("interruption (begun, agent silent)", all_.barge_in),
    )
    columns = ("ms", "measured", "p50", "p95", "p99", "max")
    print_table(columns, [(name, *_cells(found)) for name, found in rows if found is not None], empty="No latencies.")
    for line in _lines(summary):
        say(line)
    for note in report.notes:
        hint(note)
    if summary.callers is not None and summary.callers.short_of_cpu:
        say(SHORT_OF_CPU, style="yellow")
    for each in report.exceeded:
        say(each, style="bold red")


def _cells(found: Spread) -> tuple[str, ...]:
    return (str(found.count), *(f"{each:.0f}" for each in (found.p50, found.p95, found.p99, found.max)))


def _lines(summary: Summary) -> Iterator[str]:
    yield f"Calls: {summary.passed} of {summary.calls} passed, {summary.peak} at once, in {summary.wall_s:.0f} s"
    turns, losses, workers, callers = summary.turns, summary.losses, summary.workers, summary.callers
    if losses.words_lost_percent is not None:
        yield (
            f"Words: {losses.words_lost_percent:g} % of {losses.words} lost, "
            f"{losses.utterances_lost} of {losses.utterances} utterances without a word"
        )
    if turns.interruptions:
        yield (
            f"Interruptions: {turns.interruptions}, of which the agent did not yield to {turns.not_yielded}, "
            f"and {turns.too_late} came after it had finished"
        )
    if losses.concealed_percent is not None:
        yield f"The agent's sound: {losses.concealed_percent:g} % made up, {losses.gaps} gaps over 100 ms"
    for title, counts in (("Failures", summary.failures), ("Faults", summary.faults), ("Refused", summary.refused)):
        if counts:
            yield f"{title}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    if workers is not None:
        yield f"Workers: {_share(workers.cpu_percent, workers.memory_mb)} ({workers.calls:g} calls, {workers.seconds:g} s)"
    if callers is not None:
        yield f"Callers: {callers.cores:g} cores, {_share(callers.cpu_percent, None)}"


def _share(cpu_percent: float | None, memory_mb: float | None) -> str:
    cpu = "CPU not known" if cpu_percent is None else f"{cpu_percent:g} % of a core a call"
    return cpu if memory_mb is None else f"{cpu}, {memory_mb:g} MB a call"
