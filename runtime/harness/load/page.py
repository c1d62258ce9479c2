"""A load test's report as one HTML page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import Final

from runtime.harness.load.figures import Spread, p95
from runtime.harness.load.plots import Axes, Series, histogram, lines, scatter
from runtime.harness.load.report import Report

__all__ = ["rendered"]

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d9dee3;--page:#fff;--card:#f6f8fa;
--c1:#1f6feb;--c2:#d9730d;--c3:#1a7f37;--c4:#8250df;--bad:#cf222e;--good:#1a7f37}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa5b1;--line:#30363d;--page:#0d1117;--card:#161b22;
--c1:#58a6ff;--c2:#f0883e;--c3:#3fb950;--c4:#bc8cff;--bad:#ff7b72;--good:#3fb950}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:2rem 1.25rem 4rem;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0 0 .25rem}h2{font-size:1.15rem;margin:2.5rem 0 .5rem}
p{margin:.25rem 0}.soft{color:var(--soft)}.bad{color:var(--bad)}.good{color:var(--good)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.75rem;margin:1.25rem 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem}
.card b{display:block;font-size:1.45rem;line-height:1.3;font-variant-numeric:tabular-nums}
.card span{color:var(--soft);font-size:.85rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{text-align:right;padding:.35rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child,td.text,th.text{text-align:left}td.text{white-space:normal}
th{color:var(--soft);font-weight:600}
svg{width:100%;height:auto;display:block;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
svg text{font:12px system-ui,sans-serif;fill:var(--soft)}svg text.legend{fill:var(--ink)}
.grid{stroke:var(--line);stroke-width:1}.curve{fill:none;stroke-width:2}.bar{fill:var(--c1)}
.curve.c1{stroke:var(--c1)}.curve.c2{stroke:var(--c2)}.curve.c3{stroke:var(--c3)}.curve.c4{stroke:var(--c4)}
.dot,.key{fill-opacity:.75}.dot.c1,.key.c1{fill:var(--c1)}.dot.c2,.key.c2{fill:var(--c2)}
.dot.c3,.key.c3{fill:var(--c3)}.dot.c4,.key.c4{fill:var(--c4)}
.limit{stroke:var(--bad);stroke-dasharray:5 4}svg text.limit{fill:var(--bad);paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-dasharray:none}
pre{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem;overflow-x:auto}
"""
_WORST: Final = 50
_TIME: Final = "seconds since the beginning"


def rendered(report: Report) -> str:
    """Return the whole page."""
    body = "\n".join(
        (
            _head(report),
            _cards(report),
            _section("Latencies", _latencies(report)),
            _section("Response time over the test", _responses(report)),
            _section("How the response times are spread", _spread_of_responses(report)),
            _section("Answer time over the test", _answers(report)),
            _section("Calls at once", _concurrency(report)),
            *_workers(report),
            _section("What went wrong", _faults(report)),
            _section("Calls", _calls(report)),
            _section("What each caller does", f"<pre>{escape(report.plan.script.strip())}</pre>"),
        )
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Load test, {report.began_at:%Y-%m-%d %H:%M}</title><style>{_STYLE}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


# ------------------------------------------------------------ words and tables


def _head(report: Report) -> str:
    summary, verdict = report.summary, "passed" if report.passed else "did not pass"
    mark = "good" if report.passed else "bad"
    told = "".join(f'<p class="bad">{escape(each)}</p>' for each in report.exceeded)
    told += "".join(f'<p class="soft">{escape(each)}</p>' for each in report.notes)
    if summary.callers is not None and summary.callers.short_of_cpu:
        told += f'<p class="bad">{escape(SHORT_OF_CPU)}</p>'
    return (
        f'<h1>Load test: <span class="{mark}">{verdict}</span></h1>'
        f'<p class="soft">{report.began_at:%Y-%m-%d %H:%M} UTC · {summary.wall_s:.0f} s · {escape(report.target)} · '
        f"Patchbay {escape(str(report.machine.get('patchbay', '')))}</p>{told}"
    )


SHORT_OF_CPU: Final = (
    "The callers were short of CPU, so the latencies are partly theirs: "
    "give them more --processes, or a machine of their own."
)


def _cards(report: Report) -> str:
    summary, latencies = report.summary, report.summary.latencies
    workers = summary.workers
    lost = summary.losses.words_lost_percent
    cards = (
        (f"{summary.passed} / {summary.calls}", "calls passed"),
        (f"{summary.peak}", "calls at once, at most"),
        (_ms(None if latencies.response is None else latencies.response.p50), "response time, p50"),
        (_ms(p95(latencies.response)), "response time, p95"),
        (_ms(p95(latencies.answer)), "answer time, p95"),
        (_ms(p95(latencies.barge_in)), "silent after an interruption, p95"),
        (_unit(lost, "%"), "of the callers' words lost"),
        (_unit(None if workers is None else workers.cpu_percent, "%"), "of a core for a call (workers)"),
        (_unit(None if workers is None else workers.memory_mb, "MB"), "of memory for a call (workers)"),
    )
    return f'<div class="cards">{"".join(f"<div class=card><b>{value}</b><span>{name}</span></div>" for value, name in cards)}</div>'


def _latencies(report: Report) -> str:
    all_ = report.summary.latencies
    rows = (
        ("Answer: dialled → the agent's track is there", all_.answer),
        ("First sound: dialled → the agent is heard", all_.first_sound),
        ("Response: end of the caller's voice → the agent is heard", all_.response),
        ("Response as the workers' events have it", all_.workers_response),
        ("Keypad: last key → the agent is heard", all_.keypad),
        ("Interruption: the caller begins → the agent is silent", all_.barge_in),
    )
    head = ("what, ms", "measured", "p50", "p95", "p99", "max")
    return _table(head, [(name, *_numbers(found)) for name, found in rows])


def _numbers(found: Spread | None) -> tuple[str, ...]:
    if found is None:
        return ("0", "–", "–", "–", "–")
    return (str(found.count), *(f"{each:.0f}" for each in (found.p50, found.p95, found.p99, found.max)))


def _faults(report: Report) -> str:
    summary, turns, losses = report.summary, report.summary.turns, report.summary.losses
    rows = [(f"call failed: {code}", str(count)) for code, count in summary.failures.items()]
    rows += [(f"fault: {name}", str(count)) for name, count in summary.faults.items()]
    rows += [(f"call refused by a worker: {reason}", str(count)) for reason, count in summary.refused.items()]
    rows += [
        ("interruptions that the agent did not yield to", f"{turns.not_yielded} of {turns.interruptions}"),
        ("interruptions that came after the agent had finished", f"{turns.too_late} of {turns.interruptions}"),
        ("answers that began before the caller was done", f"{turns.talked_over} of {turns.utterances}"),
        ("utterances of which no word arrived", f"{_plain(losses.utterances_lost)} of {losses.utterances}"),
        ("of the agent's sound made up, its packets late or lost", _unit(losses.concealed_percent, "%")),
        ("of the agent's packets lost", _unit(losses.packets_lost_percent, "%")),
        ("gaps of over 100 ms in what arrived", str(losses.gaps)),
    ]
    return _table(("what", "how many"), rows)


def _calls(report: Report) -> str:
    """The failed ones and the slowest: all of them are in the JSON."""
    calls = sorted(report.outcome.calls, key=lambda call: (call.failure is None, -_slowest(call.utterances)))
    rows = []
    for call in calls[:_WORST]:
        stored = report.stored.get(call.number)
        why = call.failure.message if call.failure else "passed"
        rows.append(
            (
                str(call.number),
                f"{call.began_s:.1f}",
                f"{call.ended_s - call.began_s:.1f}",
                _ms(None if call.answered_s is None else call.answered_s * 1000),
                _ms(_slowest(call.utterances) * 1000 if call.utterances else None),
                stored.session_id[:8] if stored else "–",
                why,
            )
        )
    more = len(calls) - _WORST
    told = f'<p class="soft">The failed and the slowest; {more} more are in report.json.</p>' if more > 0 else ""
    return _table(("call", "began, s", "lasted, s", "answered", "slowest response", "session", "result"), rows) + told


def _slowest(utterances: Iterable[object]) -> float:
    return max((getattr(each, "response_s", None) or 0.0 for each in utterances), default=0.0)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(each)}</th>" for each in head)
    lines_ = ("".join(f"<td>{escape(each)}</td>" for each in row) for row in rows)
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(f"<tr>{each}</tr>" for each in lines_)}</tbody></table></div>'


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inside}</section>"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"


def _unit(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.3g} {unit}"


def _plain(value: object) -> str:
    return "–" if value is None else str(value)


# ------------------------------------------------------------ plots


def _responses(report: Report) -> str:
    calls = report.outcome.calls
    turns = [(u, u.barge_in is not None) for call in calls for u in call.utterances if u.response_s is not None]
    plain = [(u.ended_s, (u.response_s or 0.0) * 1000) for u, interrupts in turns if not interrupts]
    after = [(u.ended_s, (u.response_s or 0.0) * 1000) for u, interrupts in turns if interrupts]
    axes = Axes("Response times", _TIME, "ms", *_limit(report.limits.response_p95))
    clouds = (Series("response", plain, 1), Series("after an interruption", after, 2))
    return scatter(axes, [each for each in clouds if each.points])


def _answers(report: Report) -> str:
    calls = report.outcome.calls
    answers = [(call.began_s, call.answered_s * 1000) for call in calls if call.answered_s is not None]
    axes = Axes("Answer times", _TIME, "ms", *_limit(report.limits.answer_p95))
    return scatter(axes, [Series("answer", answers, 3)])


def _limit(value: float | None) -> tuple[float | None, str]:
    return value, "" if value is None else f"limit of the p95: {value:g} ms"


def _spread_of_responses(report: Report) -> str:
    found = [u.response_s * 1000 for c in report.outcome.calls for u in c.utterances if u.response_s is not None]
    return histogram(Axes("Histogram of the response times", "ms", "turns"), found)


def _concurrency(report: Report) -> str:
    points = report.outcome.concurrency
    talking = Series("with an agent", [(each.at_s, float(each.talking)) for each in points], 1, steps=True)
    dialling = Series("being dialled", [(each.at_s, float(each.dialling)) for each in points], 2, steps=True)
    told = [(each.at_s, each.calls) for each in report.outcome.workers if each.calls is not None]
    workers = Series("as the workers count them", told, 3, steps=True)
    shown = [each for each in (talking, dialling, workers) if each.points]
    return lines(Axes("Calls at once", _TIME, "calls"), shown)


def _workers(report: Report) -> Iterable[str]:
    samples = report.outcome.workers
    cpu = [
        (b.at_s, 100 * max(0.0, b.cpu_s - a.cpu_s) / (b.at_s - a.at_s))
        for a, b in pairwise(samples)
        if a.cpu_s is not None and b.cpu_s is not None and b.at_s > a.at_s
    ]
    memory = [(each.at_s, each.memory_mb) for each in samples if each.memory_mb is not None]
    if cpu:
        axes = Axes("CPU of the workers", _TIME, "% of a core")
        yield _section("The workers' CPU", lines(axes, [Series("CPU", cpu, 1)]))
    if memory:
        axes = Axes("Memory of the workers", _TIME, "MB")
        yield _section("The workers' memory", lines(axes, [Series("memory", memory, 4)]))
