"""A load test's figures: spreads, shares of the machine, lost words, and the limits they are held to."""

from __future__ import annotations

import pytest

from runtime.harness.load.figures import Limits, Spread, judged, judged_call, spread, summarise
from runtime.harness.load.machine import WorkerSample
from runtime.harness.load.results import BargeIn, Utterance
from runtime.harness.load.run import Outcome
from runtime.harness.load.shares import callers_share, workers_share
from runtime.harness.load.transcripts import Heard, compared
from tests.runtime.harness.load.samples import call, finished, outcome, report, stored


def test_percentiles_are_values_that_were_measured() -> None:
    assert spread([each / 1000 for each in range(1, 101)]) == Spread(100, 50.0, 95.0, 99.0, 100.0)
    assert spread([0.3, None, 0.1, 0.2]) == Spread(3, 200.0, 300.0, 300.0, 300.0)
    assert spread([0.25]) == Spread(1, 250.0, 250.0, 250.0, 250.0)
    assert spread([None]) is None


def test_a_summary_counts_what_passed_and_what_did_not() -> None:
    summary = summarise(outcome(), {1: stored(faults=("tts/late", "tts/late")), 2: stored()})
    assert (summary.calls, summary.passed, summary.failed, summary.failures) == (3, 2, 1, {"unanswered": 1})
    assert (summary.peak, summary.wall_s, summary.interrupted) == (3, 12.0, False)
    assert summary.latencies.response == Spread(4, 800.0, 1200.0, 1200.0, 1200.0)
    assert summary.latencies.workers_response == Spread(4, 350.0, 450.0, 450.0, 450.0)
    assert summary.latencies.barge_in == Spread(2, 400.0, 400.0, 400.0, 400.0)
    assert summary.latencies.keypad == Spread(3, 250.0, 250.0, 250.0, 250.0)
    assert summary.losses.words_lost_percent == pytest.approx(100 * 2 / 12, abs=0.01)
    assert (summary.losses.packets_lost_percent, summary.losses.concealed_percent, summary.losses.gaps) == (1.0, 1.0, 3)
    assert summary.faults == {"tts/late": 2}  # the calls' own, of which the worker's counter saw one


def test_what_was_tried_is_counted_by_how_it_went() -> None:
    kinds = (BargeIn(0.4, yielded=True), BargeIn(3.0), BargeIn(None))
    turns = tuple(Utterance(1, "stop", 1.0, 2.0, 0.5, barge_in=each) for each in kinds)
    over = Utterance(2, "hello", 4.0, 5.0, talked_over=True)
    summary = summarise(outcome([call(1, utterances=(*turns, over))]), {})
    told = summary.turns
    assert (told.utterances, told.interruptions, told.not_yielded, told.too_late, told.talked_over) == (4, 3, 1, 1, 1)
    assert summary.latencies.barge_in == Spread(1, 400.0, 400.0, 400.0, 400.0)
    assert summary.losses.words_lost_percent is None


def test_a_call_takes_what_the_workers_took_on_the_plateau_divided_by_the_calls() -> None:
    share = workers_share(outcome())
    assert share is not None
    assert (share.calls, share.seconds) == (3.0, 6.0)
    assert (share.cores, share.cpu_percent) == (0.6, 20.0)
    assert share.memory_mb == 5.0


def test_a_worker_that_was_started_anew_costs_one_step_and_a_short_test_has_no_share() -> None:
    samples = outcome().workers
    fallen = [
        each if at < 6 else WorkerSample(each.at_s, each.calls, each.cpu_s - 10.0, each.memory_mb)
        for at, each in enumerate(samples)
        if each.cpu_s
    ]
    share = workers_share(Outcome(concurrency=outcome().concurrency, workers=fallen))
    assert share is not None
    assert share.cpu_percent == 20.0
    assert workers_share(Outcome(concurrency=outcome().concurrency[:5], workers=samples[:5])) is None
    assert workers_share(Outcome()) is None


def test_what_the_callers_take_says_whether_they_were_short_of_cpu() -> None:
    share = callers_share(outcome())
    assert share is not None
    assert (share.cores, share.cpu_percent, share.short_of_cpu) == (0.25, 10.0, False)
    busy = outcome()
    busy.processes = (type(busy.processes[0])(1, 3, 11.5, 12.0, 120.0, 4.0),)
    assert (told := callers_share(busy)) is not None
    assert told.short_of_cpu
    assert callers_share(Outcome()) is None


# ------------------------------------------------------------ verdicts


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (Limits(response_p95=1200), []),
        (Limits(response_p95=1199), ["The response time's p95 is 1200 ms, over the limit of 1199 ms."]),
        (Limits(answer_p95=299), ["The answer time's p95 is 300 ms, over the limit of 299 ms."]),
        (Limits(lost_words=0), ["The share of lost words was not measured, and 0 % is the limit."]),
    ],
)
def test_limits_are_kept_or_told(limits: Limits, told: list[str]) -> None:
    assert judged(summarise(outcome([call(1), call(2)]), {}), limits) == told


def test_calls_that_failed_are_no_pass_and_neither_is_a_test_without_calls() -> None:
    assert judged(summarise(outcome(), {}), Limits()) == ["1 of 3 calls failed."]
    assert judged(summarise(Outcome(), {}), Limits()) == ["No call was made."]
    assert not report().passed


def test_a_call_that_the_worker_ended_in_error_has_failed_whatever_the_caller_noticed() -> None:
    fine, failed = finished()[0], finished()[-1]
    assert judged_call(fine, stored()) is fine
    assert judged_call(fine, None) is fine
    assert judged_call(failed, stored(reason="error")) is failed
    ended = judged_call(fine, stored(reason="no_workflow")).failure
    assert ended is not None
    assert (ended.code, ended.message) == ("ended_in_error", "The worker ended the call as no_workflow.")


# ------------------------------------------------------------ lost words


@pytest.mark.parametrize(
    ("said", "understood", "told"),
    [
        (["my bill please", "four two seven one"], ["My bill, please.", "4271"], Heard(7, 0, 2, 0)),
        (["my bill please", "yes"], ["my pill please"], Heard(4, 2, 2, 1)),
        (["my bill please"], ["my bill", "please"], Heard(3, 0, 1, 0)),
        (["hello", "my bill"], [], Heard(3, 3, 2, 2)),
        (["my bill please"], ["my big bill, please, thank you"], Heard(3, 0, 1, 0)),
        (["four two seven one"], ["•••"], None),
        ([], [], None),
    ],
)
def test_words_that_did_not_arrive(said: list[str], understood: list[str], told: Heard | None) -> None:
    assert compared(said, understood) == told
