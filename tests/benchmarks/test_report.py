from __future__ import annotations

from benchmarks.report import Found, rounded, table


def test_medians_and_spreads_are_by_figure_and_side() -> None:
    found = Found()
    for ours, theirs in ((3.0, 10.0), (1.0, 30.0), (2.0, 20.0)):
        found.add("patchbay", {"cpu_ms": ours})
        found.add("livekit", {"cpu_ms": theirs})
    assert found.medians() == {"cpu_ms": {"patchbay": 2.0, "livekit": 20.0}}
    assert found.spread() == {"cpu_ms": {"patchbay": [1.0, 3.0], "livekit": [10.0, 30.0]}}


def test_a_number_alone_is_patchbays_and_one_with_a_dot_its_sides() -> None:
    found = Found()
    found.add_dotted({"rows_per_s": 5.0, "room_percent.livekit": 20.0, "room_percent.patchbay": 9.0})
    assert found.medians() == {"rows_per_s": {"patchbay": 5.0}, "room_percent": {"livekit": 20.0, "patchbay": 9.0}}


def test_what_sides_were_measured_for_together_is_not_mixed_with_another_measurement() -> None:
    found = Found()
    found.add("patchbay", {"memory_mb": 1.0})
    found.add_dotted({"memory_mb": 7.0, "memory_mb.livekit": 8.0})
    assert found.medians() == {"memory_mb": {"patchbay": 1.0}, "memory_mb_alone": {"patchbay": 7.0, "livekit": 8.0}}


def test_four_digits_count() -> None:
    assert rounded(1234.56) == 1235.0
    assert rounded(0.00123456) == 0.001235


def test_the_table_has_a_column_a_side_and_shows_what_was_not_measured() -> None:
    found = Found()
    found.add("patchbay", {"cpu_ms": 2.0, "start_s": 1.5})
    found.add("patchbay", {"cpu_ms": 4.0})
    found.add("pipecat", {"cpu_ms": 9.0})
    head, cpu, start = table(found.medians(), found.spread()).splitlines()
    assert head.split() == ["patchbay", "pipecat"]
    assert cpu.split() == ["cpu_ms", "3", "(2–4)", "9"]
    assert start.split() == ["start_s", "1.5", "–"]
