from __future__ import annotations

from typing import Any

from benchmarks.page import ratios, results_page

RESULTS: dict[str, Any] = {
    "text_turn_cpu_ms": {"patchbay": 5.0, "livekit": 20.0, "pipecat": 10.0},
    "cli_help_s": {"patchbay": 0.21},
    "handoff_audio_ms": {"with_warming": 10.0, "without_warming": 80.0},
    "spread": {"text_turn_cpu_ms": {"patchbay": [4.0, 6.0], "livekit": [20.0, 20.0], "pipecat": [9.0, 11.0]}},
    "left_out": ["rooms: there is no livekit-server."],
    "failed": ["voice failed: a side fell silent"],
    "seconds": {"text": 61.2, "voice": 120.0},
    "machine": {"cores": 2, "cpu": "Some CPU"},
    "at": "2026-11-22T10:00:00+00:00",
}


def test_ratios_are_patchbays_to_each_other_side() -> None:
    assert ratios({"patchbay": 5.0, "livekit": 20.0, "idle": 0.0}) == {"livekit": 0.25}
    assert ratios({"livekit": 20.0}) == {}


def test_the_page_tells_the_machine_the_figures_their_ratios_and_spreads() -> None:
    page = results_page(RESULTS)
    assert "| cpu | Some CPU |" in page
    assert "| `text_turn_cpu_ms` | 5<br>4–6 | 20 (0.25 ×) | 10 (0.50 ×)<br>9–11 |" in page
    assert "| `cli_help_s` | 0.21 |" in page
    assert "| `handoff_audio_ms` | with_warming 10, without_warming 80 |" in page


def test_each_target_has_its_verdict() -> None:
    lines = results_page(RESULTS).splitlines()
    assert any(
        "beside LiveKit as shipped (4.5 / 20)" in line and line.endswith("| 0.25 × | **not met** |") for line in lines
    )
    assert any(line.startswith("| `patchbay --help`") and line.endswith("| 0.21 | met |") for line in lines)
    assert any(line.startswith("| CPU of a real room") and line.endswith("| – | not measured |") for line in lines)


def test_what_is_missing_is_said() -> None:
    page = results_page(RESULTS)
    assert "- rooms: there is no livekit-server." in page
    assert "- voice failed: a side fell silent" in page
    assert results_page({}).endswith("Nothing.\n")


def test_how_long_the_parts_took_is_said_and_is_no_figure() -> None:
    page = results_page(RESULTS)
    assert "Seconds by part: text 61, voice 120; 181 in all." in page
    assert "`seconds`" not in page
