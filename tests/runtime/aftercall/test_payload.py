"""What a receiver is told."""

from __future__ import annotations

import json
from datetime import timedelta

from runtime.aftercall.payload import as_body, call_ended
from runtime.aftercall.ports import Delivery, EndedCall
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import compile_workflow
from tests.contract.rows import START, a_call, some_events
from tests.runtime.aftercall.conftest import config


def ended() -> EndedCall:
    call = a_call("o", variables={"pin": "•••"}, ended_at=START + timedelta(minutes=5), from_number="+15550199")
    workflow = compile_workflow(WorkflowConfig.model_validate(config()))
    return EndedCall(call, some_events(call, 1, 2, secret="token"), workflow, "support")


DELIVERY = Delivery("d-1", 1, START + timedelta(minutes=6))


def test_it_is_the_stored_row() -> None:
    call = ended()
    told = json.loads(as_body(call_ended(call, DELIVERY)))
    assert (told["v"], told["type"], told["delivery_id"]) == (1, "call.ended", "d-1")
    assert told["sent_at"] == "2026-05-03T15:36:00.123456+00:00"
    assert told["session"]["id"] == call.row.id
    assert told["session"]["is_test"] is True
    assert told["session"]["variables"] == {"pin": "•••"}
    assert told["session"]["analysis"] is None
    assert told["workflow"]["name"] == "support"
    assert "events" not in told


def test_events_are_sent_where_they_are_asked_for() -> None:
    call = ended()
    every = json.loads(as_body(call_ended(call, DELIVERY, events=True)))["events"]
    assert [each["seq"] for each in every] == [1, 2]
    assert every[0]["payload"] == dict(call.events[0].payload)
    assert call_ended(call, DELIVERY, events=["call_ended"])["events"] == []


def test_no_ciphertext_is_sent() -> None:
    assert b"token" not in as_body(call_ended(ended(), DELIVERY, events=True))
