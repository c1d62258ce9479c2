"""What is counted of calls, and that it stays little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from runtime.harness.chat import ChatCaller
from tests.calls.runs import Place, opened, read, script
from tests.worker.observing.events import CALLER, DIALLED, WORDS, play, whole_call, written_call
from worker.child import Status
from worker.observing.exposition import Exposition
from worker.observing.labels import Bounded
from worker.observing.metrics import Metrics
from worker.observing.observers import Observers
from worker.supervising.states import ProcessState


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


async def test_a_whole_call(tmp_path: Path, registry: CollectorRegistry) -> None:
    async with written_call(tmp_path) as log:
        Observers(Metrics(registry)).observe(log)
        whole_call(log)
    line = {"channel": "phone", "direction": "inbound"}
    ended = {**line, "status": "completed", "reason": "transferred"}
    found = {
        "started": value(registry, "patchbay_calls_started_total", **line),
        "ended": value(registry, "patchbay_calls_ended_total", **ended),
        "caller": value(registry, "patchbay_turns_total", speaker="caller"),
        "agent": value(registry, "patchbay_turns_total", speaker="agent"),
        "interruptions": value(registry, "patchbay_interruptions_total"),
        "responses": value(registry, "patchbay_response_seconds_count"),
        "response_s": value(registry, "patchbay_response_seconds_sum"),
        "ttft_s": value(registry, "patchbay_llm_ttft_seconds_sum"),
        "ttfb_s": value(registry, "patchbay_tts_ttfb_seconds_sum"),
        "eou_s": value(registry, "patchbay_eou_delay_seconds_sum"),
        "stt_s": value(registry, "patchbay_stt_delay_seconds_sum"),
        "first_sound_s": value(registry, "patchbay_first_sound_seconds_sum", channel="phone"),
        "tool": value(registry, "patchbay_tools_total", tool_type="http_request", outcome="timeout"),
        "tool_s": value(registry, "patchbay_tool_seconds_sum", tool_type="http_request"),
        "taken": value(registry, "patchbay_paths_taken_total", by="model"),
        "refused": value(registry, "patchbay_paths_refused_total", reason="missing"),
        "fault": value(registry, "patchbay_faults_total", component="llm", code="models_unavailable"),
        "transfer": value(registry, "patchbay_transfers_total", outcome="ok"),
        "call_s": value(registry, "patchbay_call_seconds_sum", channel="phone"),
    }
    assert found == {
        "started": 1,
        "ended": 1,
        "caller": 2,
        "agent": 3,
        "interruptions": 1,
        "responses": 2,
        "response_s": pytest.approx(1.4),
        "ttft_s": 0.3,
        "ttfb_s": 0.12,
        "eou_s": pytest.approx(0.7),
        "stt_s": 0.15,
        "first_sound_s": 0.5,
        "tool": 1,
        "tool_s": 0.5,
        "taken": 1,
        "refused": 1,
        "fault": 1,
        "transfer": 1,
        "call_s": 11,
    }


async def test_no_number_no_text_and_no_tenant_is_in_a_metric(tmp_path: Path, registry: CollectorRegistry) -> None:
    async with written_call(tmp_path) as log:
        Observers(Metrics(registry)).observe(log)
        whole_call(log)
        play(log, "fault_raised", 1, component=CALLER, code=WORDS, message=WORDS)
        play(log, "tool_failed", 1, tool_call_id="t", tool_type=CALLER, name="x", duration_ms=1, error_code="HTTP 500")
        organization = log.row.organization_id
    text = generate_latest(registry).decode()
    for personal in (CALLER, DIALLED, WORDS, organization, "4271", "HTTP 500"):
        assert personal not in text
    assert value(registry, "patchbay_faults_total", component="other", code="other") == 1


async def test_a_real_conversation_by_text(tmp_path: Path, registry: CollectorRegistry) -> None:
    async with opened(read("front_desk"), Place(tmp_path), "chat_test") as call:
        Observers(Metrics(registry)).observe(call.live.plan.log)
        caller = ChatCaller(call.live, call.clock)
        await caller.begin()
        await caller.play(script("front_desk", "billing"))
        result = await call.result()
    assert value(registry, "patchbay_turns_total", speaker="agent") == len(result.payloads("agent_turn"))
    assert value(registry, "patchbay_turns_total", speaker="caller") == len(result.payloads("user_turn"))
    taken = len(result.payloads("path_taken"))
    assert taken
    assert (
        sum(s.value for m in registry.collect() for s in m.samples if s.name == "patchbay_paths_taken_total") == taken
    )
    ended = {
        "channel": "chat_test",
        "direction": "inbound",
        "status": result.row.status,
        "reason": result.row.end_reason or "",
    }
    assert value(registry, "patchbay_calls_ended_total", **ended) == 1
    assert value(registry, "patchbay_first_sound_seconds_count", channel="chat_test") == 1


async def test_a_fault_of_an_observer_is_not_the_calls(tmp_path: Path, registry: CollectorRegistry) -> None:
    async with written_call(tmp_path) as log:
        Observers(Metrics(registry)).observe(log)
        play(log, "tool_failed", 1)
        play(log, "agent_turn", 5, start_ms="soon", response_ms="never")
        play(log, "call_ended", 9, status="completed", reason="caller_hangup", duration_ms=9, turns=0)
    labels = {"channel": "phone", "direction": "inbound", "status": "completed", "reason": "caller_hangup"}
    assert value(registry, "patchbay_calls_ended_total", **labels) == 1


def test_what_belongs_to_no_call(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    metrics.refused("full")
    metrics.refused("+15550199")
    metrics.fault("event_log", "store_away")
    metrics.log_state(1.5, 20, 0.25)
    assert value(registry, "patchbay_calls_refused_total", reason="full") == 1
    assert value(registry, "patchbay_calls_refused_total", reason="other") == 1
    assert value(registry, "patchbay_faults_total", component="event_log", code="store_away") == 1
    assert value(registry, "patchbay_event_log_lag_seconds") == 1.5
    assert value(registry, "patchbay_event_log_depth") == 20
    assert value(registry, "patchbay_event_log_fill_ratio") == 0.25


@pytest.mark.parametrize("what", [None, 7, "", "HTTP 500", "+15550199", "a" * 49, "ünder", "x\n", ["a"]])
def test_what_is_no_code_is_other(what: Any) -> None:
    assert Bounded()(what) == "other"


def test_codes_do_not_grow_for_ever() -> None:
    bounded = Bounded(3)
    assert [bounded(f"code_{number}") for number in range(5)] == ["code_0", "code_1", "code_2", "other", "other"]
    assert bounded("code_1") == "code_1"


def test_the_processes_own_words_are_gauges(tmp_path: Path) -> None:
    states = [
        ProcessState(1, 11, Status(ready=True, calls=3, max_calls=5), silent=False, restarts=2),
        ProcessState(2, 12, Status(ready=False, calls=1, max_calls=5, draining=True), silent=False, restarts=0),
        ProcessState(3, 13, Status(ready=True, calls=4, max_calls=5), silent=True, restarts=0),
        ProcessState(4, None, Status(ready=True, calls=4, max_calls=5), silent=True, restarts=1),
    ]
    lines = Exposition(tmp_path).text(states).decode().splitlines()
    assert 'patchbay_calls_running{draining="false"} 3.0' in lines
    assert 'patchbay_calls_max{draining="false"} 5.0' in lines
    assert 'patchbay_calls_running{draining="true"} 1.0' in lines
    assert "patchbay_process_restarts_total 3.0" in lines
    assert [line for line in lines if line.startswith("patchbay_processes{")] == [
        'patchbay_processes{condition="ready"} 1.0',
        'patchbay_processes{condition="not_ready"} 0.0',
        'patchbay_processes{condition="draining"} 1.0',
        'patchbay_processes{condition="silent"} 1.0',
        'patchbay_processes{condition="dead"} 1.0',
    ]
