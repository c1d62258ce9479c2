from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.targets import TARGETS, Judged, Target, judge

MOST = Target("cpu", "cpu_ms", "most", 0.5, "livekit")
LEAST = Target("rows", "rows_per_s", "least", 100.0)


@pytest.mark.parametrize(("value", "met"), [(0.4, True), (0.5, True), (0.51, False), (None, None)])
def test_at_most(value: float | None, met: bool | None) -> None:
    assert Judged(MOST, value).met is met


@pytest.mark.parametrize(("value", "met"), [(99.0, False), (100.0, True), (None, None)])
def test_at_least(value: float | None, met: bool | None) -> None:
    assert Judged(LEAST, value).met is met


def test_a_target_beside_a_peer_is_a_ratio_of_the_same_run() -> None:
    figures = {"text_turn_cpu_ms": {"patchbay": 5.0, "livekit": 20.0, "livekit_tuned": 4.0}}
    found = {each.target.beside: each for each in judge(figures) if each.target.figure == "text_turn_cpu_ms"}
    assert found["livekit"].value == 0.25
    assert found["livekit"].met is False
    assert found["livekit_tuned"].value == 1.25
    assert found["livekit_tuned"].met is True
    assert found["pipecat"].value is None


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {each.met for each in judge({})} == {None}
    assert {each.met for each in judge({"cli_help_s": {"livekit": 1.0}})} == {None}


def test_a_side_that_did_nothing_gives_no_ratio() -> None:
    judged = judge({"voice_sessions": {"patchbay": 100.0, "livekit": 0.0}})
    assert [each.value for each in judged if each.target.beside and each.value is not None] == []
    assert [each.value for each in judged if each.value is not None] == [100.0]


def test_every_target_can_be_met_and_missed() -> None:
    for target in TARGETS:
        good, bad = (0.9, 1.1) if target.bound == "most" else (1.1, 0.9)
        limit = target.limit or 1.0
        alone = replace(target, limit=limit)
        assert Judged(alone, limit * good).met is True
        assert Judged(alone, limit * bad).met is False
