"""Job metadata and SIP attributes as who calls whom; what is malformed is logged and counts as nothing."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from runtime.voice.rooms import Dial, DispatchMetadata
from tests.fakes.room_caller import sip_attributes
from worker.legs import CallRequest
from worker.rooms.request import read_metadata, request_of


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_metadata_is_normal(text: str) -> None:
    with capture_logs() as logs:
        assert read_metadata(text, room="r") == DispatchMetadata()
    assert logs == []


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", '"text"', '{"variables": 3}', '{"workflow_id": {}}', "\x00", '{"dial": {}}']
)
def test_what_cannot_be_read_is_a_fault_in_the_log_and_no_crash(text: str) -> None:
    with capture_logs() as logs:
        assert read_metadata(text, room="r") == DispatchMetadata()
    assert [(entry["event"], entry["room"]) for entry in logs] == [("dispatch_metadata_unreadable", "r")]
    assert logs[0]["faults"]


def test_what_others_wrote_into_the_metadata_is_left_alone() -> None:
    assert read_metadata('{"workflow_id": "w", "campaign": 7}', room="r") == DispatchMetadata(workflow_id="w")


def test_metadata_survives_the_way_through_the_server() -> None:
    meant = DispatchMetadata(workflow_version_id="v", variables={"name": "Ada", "n": [1, None]}, participant="anna")
    assert read_metadata(meant.to_json(), room="r") == meant
    assert not DispatchMetadata().to_json()


def test_a_telephone_says_who_calls_whom() -> None:
    assert request_of(DispatchMetadata(), room="call-1", attributes=sip_attributes(), sip=True) == CallRequest(
        channel="phone",
        caller="+15550199",
        dialled="+15550100",
        external_session_id="1-2345@127.0.0.1",
        room="call-1",
    )


def test_a_browser_cannot_say_that_it_is_a_telephone() -> None:
    request = request_of(DispatchMetadata(), room="r", attributes=sip_attributes(), sip=False)
    assert request == CallRequest(channel="web", room="r")


def test_a_test_session_is_a_voice_test_however_it_comes() -> None:
    metadata = DispatchMetadata(test_session_id="t", workflow_version_id="v", variables={"a": 1})
    for sip in (True, False):
        request = request_of(metadata, room="r", sip=sip)
        assert (request.channel, request.test_session_id, request.variables) == ("voice_test", "t", {"a": 1})


def test_a_call_that_goes_out_is_known_before_anybody_is_there() -> None:
    request = request_of(DispatchMetadata(dial=Dial(to="+15550123", trunk_id="ST_1")), room="r")
    assert (request.channel, request.direction, request.dialled) == ("phone", "outbound", "+15550123")
