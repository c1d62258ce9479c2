"""How a voice test is asked for: who may, what is answered, and what becomes of a ticket that nobody uses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import jwt
import numpy as np
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.services import Services
from api.testing.voice_ears import Ears
from api.testing.voice_tickets import VoiceTickets
from runtime.harness.wire import BadMessage
from tests.api.conftest import Tenant
from tests.fakes.working import agent, ends

Json = Any
CONFIG = agent(variables=[{"name": "customer", "data_type": "string", "description": "who calls"}], paths=[ends("bye")])
LIVEKIT = {"LIVEKIT_URL": "ws://livekit.test", "LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "s" * 32}


@pytest.fixture
async def version(services: Services, acme: Tenant) -> str:
    return (await services.store.save_draft(acme.id, "desk", CONFIG)).id


async def asked(
    http: httpx.AsyncClient, version: str, key: dict[str, str], body: Json = None, status: int = 201
) -> dict[str, Json]:
    answer = await http.post(f"/api/workflow-versions/{version}/test/voice", headers=key, json=body)
    assert answer.status_code == status, answer.text
    told: dict[str, Json] = answer.json()
    return told


async def test_it_says_how_to_join_by_websocket(
    http: httpx.AsyncClient, services: Services, acme: Tenant, version: str
) -> None:
    told = await asked(http, version, acme.keys["builder"], {"offline": True, "variables": {"customer": "Anna"}})
    url = urlsplit(told["url"])
    assert (url.scheme, url.netloc) == ("ws", "api.test")
    assert url.path == f"/api/test-sessions/{told['test_session_id']}/voice"
    assert parse_qs(url.query) == {"ticket": [told["ticket"]]}
    assert (told["transport"], told["sample_rate"], told["output_rate"]) == ("websocket", 16000, 24000)
    assert told["input_rates"] == [8000, 16000, 24000, 48000]
    row = await services.store.call(told["session_id"])
    assert (row.channel, row.is_test, row.ended_at) == ("voice_test", True, None)
    read = await http.get(f"/api/test-sessions/{told['test_session_id']}", headers=acme.keys["builder"])
    assert read.json()["session_id"] == told["session_id"]


async def test_a_ticket_that_nobody_uses_ends_its_call(
    app: FastAPI, http: httpx.AsyncClient, services: Services, acme: Tenant, version: str
) -> None:
    app.state.voice_tickets = VoiceTickets(lives_s=0.05)
    told = await asked(http, version, acme.keys["builder"], {"offline": True})
    async with asyncio.timeout(20):
        while (row := await services.store.call(told["session_id"])).ended_at is None:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.05)
    assert (row.status, row.end_reason) == ("dropped", "not_connected")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"transport": "livekit"}, "has no LiveKit"),
        ({"transport": "pigeon"}, "transport"),
        ({"offline": True, "more": 1}, "more"),
        ({"offline": True, "variables": {"nobody": "x"}}, "declares no variable"),
        ({"offline": True, "variables": {"customer": "a\0b"}}, "cannot be stored"),
        ({"offline": True, "mocks": {"tools": {"nothing": []}}}, "nothing"),
    ],
)
async def test_what_does_not_fit_is_refused(
    http: httpx.AsyncClient, services: Services, acme: Tenant, version: str, body: Json, words: str
) -> None:
    told = await asked(http, version, acme.keys["builder"], body, 422)
    assert words in told["detail"], told
    assert services.tests.running(acme.id) == 0


async def test_only_who_may_test_and_only_what_is_theirs(
    http: httpx.AsyncClient, services: Services, acme: Tenant, umbrella: Tenant, version: str
) -> None:
    assert (await asked(http, version, umbrella.keys["owner"], {"offline": True}, 404))["code"] == "not_found"
    assert (await asked(http, str(uuid4()), acme.keys["owner"], {"offline": True}, 404))["code"] == "not_found"
    for role in ("viewer", "analyst"):
        assert (await asked(http, version, acme.keys[role], {"offline": True}, 403))["code"] == "forbidden"
    assert (await asked(http, version, {}, {"offline": True}, 401))["code"] == "unauthenticated"
    assert services.tests.running(acme.id) == 0


async def test_a_faulty_draft_is_told_with_its_faults(
    http: httpx.AsyncClient, services: Services, acme: Tenant
) -> None:
    draft = await services.store.save_draft(acme.id, "faulty", {"schema_version": 1, "agents": []})
    for body in ({"offline": True, "transport": "websocket"}, {}):
        told = await asked(http, draft.id, acme.keys["builder"], body, 422)
        assert (told["code"], bool(told["faults"])) == ("config_has_faults", True)


async def test_it_says_how_to_join_a_room(services: Services, acme: Tenant, version: str) -> None:
    settings = type(services.settings).model_validate(
        {"PATCHBAY_HOME": services.settings.home, "DATABASE_URL": services.settings.database_url, **LIVEKIT}
    )
    app = create_app(replace(services, settings=settings))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://api.test") as http:
        told = await asked(http, version, acme.keys["builder"], {"variables": {"customer": "Anna"}})
        assert (told["transport"], told["url"]) == ("livekit", "ws://livekit.test")
        claims = jwt.decode(told["token"], LIVEKIT["LIVEKIT_API_SECRET"], algorithms=["HS256"])
        assert (claims["sub"], claims["video"]["room"]) == (told["identity"], told["room"])
        assert claims["video"]["canPublishData"] is True
        assert told["test_session_id"] in str(claims["roomConfig"])
        refused = await asked(http, version, acme.keys["builder"], {"transport": "livekit", "offline": True}, 422)
        assert "websocket" in refused["remedy"]
        by_socket = await asked(http, version, acme.keys["builder"], {"offline": True})
        assert by_socket["url"].startswith("wss://api.test/api/")


# ------------------------------------------------------------ ears


async def heard(ears: Ears, frames: int) -> np.ndarray[Any, Any]:
    found = [np.frombuffer((await ears.audio.__anext__()).data, dtype=np.int16) for _ in range(frames)]
    return np.concatenate(found)


async def test_what_is_said_is_heard_at_the_agents_rate_and_silence_while_muted() -> None:
    ears, loud = Ears(8000), np.full(800, 1000, dtype=np.int16).tobytes()
    for _ in range(5):
        ears.hear(loud)
    assert np.abs(await heard(ears, 5)).max() > 900
    ears.mute(muted=True)
    listening = asyncio.ensure_future(ears.listen())  # noqa: TID251 - one line's work
    try:
        async with asyncio.timeout(5):
            ears.hear(loud)
            assert not (await heard(ears, 3)).any()
    finally:
        listening.cancel()


async def test_who_sends_nothing_is_silent_and_who_sends_too_much_is_told() -> None:
    ears = Ears(16000)
    listening = asyncio.ensure_future(ears.listen())  # noqa: TID251 - one line's work
    try:
        async with asyncio.timeout(5):
            assert not (await heard(ears, 3)).any()
    finally:
        listening.cancel()
    for _ in range(4):
        ears.hear(bytes(32000))
    with pytest.raises(BadMessage, match="more than 5 s"):
        _hear(ears, 3)
    for wrong in (b"odd", bytes(32002)):
        with pytest.raises(BadMessage, match="whole samples"):
            ears.hear(wrong)


def _hear(ears: Ears, seconds: int) -> None:
    for _ in range(seconds):
        ears.hear(bytes(32000))
