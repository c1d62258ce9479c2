"""What the house promises of every call, read off its stored events."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from runtime.conversation.events import fact_from_row
from runtime.conversation.folding import fold
from tests.calls.runs import CallResult

__all__ = ["assert_promises"]

STAYS = frozenset({"agent_entered", "agent_exited"})


def assert_promises(result: CallResult) -> None:
    """Assert what holds of any call that has ended, whatever its caller and its model did."""
    _numbered(result)
    _begun_and_ended_once(result)
    _paired(result)
    _paths_in_order(result)
    _stays_in_order(result)
    _folded(result)


def _numbered(result: CallResult) -> None:
    assert [event.seq for event in result.events] == list(range(1, len(result.events) + 1))
    for before, after in pairwise(result.events):
        assert before.payload["elapsed_ms"] <= after.payload["elapsed_ms"]
        assert before.payload["turn"] <= after.payload["turn"]
    for event in result.events:
        cause = event.payload["caused_by"]
        assert cause is None or cause < event.seq


def _begun_and_ended_once(result: CallResult) -> None:
    assert result.types[0] == "call_started"
    assert result.types[-1] == "call_ended"
    assert result.types.count("call_started") == result.types.count("call_ended") == 1
    ended = result.events[-1].payload
    assert (result.row.status, result.row.end_reason) == (ended["status"], ended["reason"])
    assert result.row.variables == ended["variables"]
    assert result.row.ended_at is not None


def _paired(result: CallResult) -> None:
    started = Counter(payload["tool_call_id"] for payload in result.payloads("tool_started"))
    ended = Counter(
        payload["tool_call_id"]
        for event_type in ("tool_succeeded", "tool_failed")
        for payload in result.payloads(event_type)
    )
    assert started == ended
    assert all(count == 1 for count in started.values())
    begun = result.types.count("transfer_started")
    assert begun == result.types.count("transfer_succeeded") + result.types.count("transfer_failed")


def _paths_in_order(result: CallResult) -> None:
    requested: set[str] = set()
    by_turn: Counter[int] = Counter()
    was_resumed = "call_resumed" in result.types
    for at, event in enumerate(result.events):
        if event.event_type == "path_requested":
            requested.add(event.payload["path_id"])
        if event.event_type != "path_taken":
            continue
        taken = event.payload
        assert taken["path_id"] in requested
        by_turn[taken["turn"]] += taken["by"] != "rule"
        stays = [each for each in result.events[at + 1 :] if each.event_type in {*STAYS, "path_taken"}]
        if not was_resumed:  # where a worker died in between, that comes first
            assert stays[0] is result.events[at + 1]
        exited = stays[0]
        assert (exited.event_type, exited.agent_id) == ("agent_exited", taken["from_agent_id"])
        if taken["to_agent_id"] is not None:
            entered = stays[1]
            assert (entered.event_type, entered.agent_id) == ("agent_entered", taken["to_agent_id"])
    assert all(count <= 1 for count in by_turn.values()), "the first path of a turn wins"


def _stays_in_order(result: CallResult) -> None:
    stays = [event for event in result.events if event.event_type in STAYS]
    for number, event in enumerate(stays):
        assert event.event_type == ("agent_exited" if number % 2 else "agent_entered")
    assert all(entered.agent_id == left.agent_id for entered, left in zip(stays[::2], stays[1::2], strict=True))


def _folded(result: CallResult) -> None:
    state = fold(fact_from_row(event.event_type, event.payload, event.occurred_at) for event in result.events)
    assert (state.seq, state.ended, state.values) == (len(result.events), True, result.row.variables)
    assert state.turn == result.events[-1].payload["turns"]
