"""A voice test in a real LiveKit room, joined with the API's own answer: speech, keys, mute and interruption."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.services import Services
from tests.api.conftest import Tenant, acme, services
from tests.fakes.databases import Databases
from tests.fakes.livekit_server import LiveKitServer, livekit_server
from tests.fakes.room_caller import RATE, RoomCaller
from tests.fakes.speech import take
from tests.fakes.working import Watched
from tests.fakes.working_rooms import ByHeart, RoomDesk, working_rooms
from tests.live.test_voice_api import BILLING, CANCEL, DESK, LONG

__all__ = ["acme", "services"]

pytestmark = pytest.mark.live

Json = Any


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with livekit_server(tmp_path_factory.mktemp("livekit")) as server:
        yield server


@pytest.fixture
async def url(databases: Databases) -> str:
    return await databases.migrated()


@pytest.fixture
async def desk(
    livekit: LiveKitServer, url: str, tmp_path: Path, warmed: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RoomDesk]:
    """A worker on the API's database, whose recogniser knows the callers' phrases by heart."""
    ByHeart.learn()
    monkeypatch.setattr("runtime.voice.pipeline.PocketsphinxSTT", ByHeart)
    name = f"patchbay-{uuid.uuid4().hex[:6]}"
    async with working_rooms(livekit, url, tmp_path / "worker", PATCHBAY_AGENT_NAME=name) as desk:
        yield desk


async def _converse(desk: RoomDesk, call: Watched, caller: RoomCaller) -> None:
    """Speak unheard, then heard, press keys, and cut the agent off with words that end the call."""
    microphone = next(iter(caller.room.local_participant.track_publications.values())).track
    assert microphone is not None
    microphone.mute()
    await caller.say(take(CANCEL, RATE))
    microphone.unmute()
    await caller.silence(0.5)
    await caller.say(take(BILLING, RATE))
    await desk.happened(call, "user_turn")
    await caller.silence(1.0)
    await caller.press("4271")
    await desk.happened(call, "path_taken")
    await caller.hears()
    await caller.say(take(CANCEL, RATE))
    await desk.happened(call, "call_ended")


async def test_a_room_is_joined_spoken_in_keyed_muted_and_interrupted(
    services: Services, desk: RoomDesk, acme: Tenant
) -> None:
    first, bills, *others = DESK["agents"]
    config = {**DESK, "agents": [first, {**bills, "greeting": {"mode": "say", "text": LONG}}, *others]}
    version = await services.store.save_draft(acme.id, "desk", config)
    app = create_app(replace(services, settings=desk.settings))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://api.test", headers=acme.keys["builder"]
    ) as http:
        answer = await http.post(f"/api/workflow-versions/{version.id}/test/voice")
        told = answer.json()
        assert (answer.status_code, told["transport"]) == (201, "livekit"), told
        async with asyncio.timeout(100), RoomCaller(told["url"], told["token"]) as caller:
            call = await desk.rung(told["room"])
            await caller.hears(0.0)
            await desk.happened(call, "agent_turn")
            await _converse(desk, call, caller)
        result = await desk.result(call)
        cut = [turn for turn in result.payloads("agent_turn") if turn["interrupted"]]
        assert [len(turn["spoken_text"]) < len(LONG) for turn in cut] == [True]
        assert [turn["text"] for turn in result.payloads("user_turn") if turn["by"] == "speech"] == [BILLING, CANCEL]
        assert [path["path_name"] for path in result.payloads("path_taken")] == ["To Billing", "Finish"]
        assert result.row.variables == {"customer_number": "4271"}
        assert (result.row.channel, result.row.is_test, result.row.end_reason) == ("voice_test", True, "agent_hangup")
        read = await http.get(f"/api/test-sessions/{told['test_session_id']}")
        assert read.json()["session_id"] == result.row.id
