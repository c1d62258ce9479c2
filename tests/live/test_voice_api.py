"""Voice tests through the API: a WebSocket client that speaks, interrupts, presses keys, is silent, leaves and vanishes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from api.services import Services
from api.serving import serve
from api.sockets import listening_socket
from runtime.harness.joining import ApiServer, Wanted, invite
from runtime.harness.remote import RemotePhone
from runtime.harness.script import Step, parse_script
from runtime.harness.voice import VoiceCaller
from runtime.session.ports import EventRow
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.pipeline import warm
from tests.api.conftest import Tenant, acme, databases, services, umbrella, url
from tests.calls.runs import Place, run_chat, run_voice
from tests.cli.console import Console, Done
from tests.cli.test_chat import KEYS
from tests.fakes.speech import take
from tests.fakes.voice_client import talking
from tests.fakes.working import agent, ends, leads
from tests.fakes.working_rooms import ByHeart

__all__ = ["acme", "databases", "services", "umbrella", "url"]

pytestmark = pytest.mark.live

Json = Any
BILLING = "i would like to speak to billing"
CANCEL = "i want to cancel my contract"
HOURS = "what are your opening hours"
LOUD = 300.0
LONG = (
    "This is a long sentence about our opening hours, our address and everything else that one could want to know. " * 3
)
DESK = agent(
    session={"silence": {"after_s": 60}},
    paths=[
        leads(
            "To Billing",
            BILLING,
            target_agent_id="a-bills",
            required_variables=[
                {
                    "name": "customer_number",
                    "description": "the customer number",
                    "data_type": "digits",
                    "min_length": 4,
                    "max_length": 4,
                    "dtmf": True,
                }
            ],
        ),
        leads("Hours", HOURS, target_agent_id="a-hours"),
        ends(CANCEL),
    ],
    agents=[
        {
            "id": "a-bills",
            "name": "Bills",
            "instructions": "Help.",
            "greeting": {"mode": "say", "text": "Bills, hello."},
            "paths": [ends(CANCEL) | {"id": "p-finish-2"}],
        },
        {
            "id": "a-hours",
            "name": "Hours",
            "instructions": "Help.",
            "greeting": {"mode": "say", "text": LONG},
            "paths": [ends(CANCEL) | {"id": "p-finish-3"}],
        },
    ],
)


@pytest.fixture
def by_heart(monkeypatch: pytest.MonkeyPatch) -> None:
    """No recogniser: what the callers say is known by heart."""
    ByHeart.learn()
    monkeypatch.setattr("runtime.voice.pipeline.PocketsphinxSTT", ByHeart)


@pytest.fixture
async def server(services: Services) -> AsyncIterator[str]:
    """The API as `patchbay api` serves it, on a port of its own."""
    warm(local=True)
    listening = listening_socket("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    ready = asyncio.Event()
    serving = spawn(serve(services, listening, on_ready=ready.set), name="api under test")
    await ready.wait()
    yield address
    await cancel_and_wait(serving)


async def a_version(services: Services, tenant: Tenant, config: Json | None = None) -> str:
    return (await services.store.save_draft(tenant.id, "desk", config or DESK)).id


async def invited(server: str, version: str, key: dict[str, str], **body: Json) -> dict[str, Json]:
    async with httpx.AsyncClient(base_url=server, headers=key) as http:
        answer = await http.post(f"/api/workflow-versions/{version}/test/voice", json={"offline": True, **body})
    assert answer.status_code == 201, answer.text
    told: dict[str, Json] = answer.json()
    return told


async def ended(services: Services, session_id: str) -> tuple[str, str | None]:
    async with asyncio.timeout(15):
        while (row := await services.store.call(session_id)).ended_at is None:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.05)
    return row.status, row.end_reason


# ------------------------------------------------------------ the protocol


async def _keys_and_goodbye(services: Services, invitation: dict[str, Json]) -> None:
    async with talking(invitation) as talker:
        await talker.answered()
        assert talker.loudest > LOUD
        ready = talker.messages[0]
        assert (ready["type"], ready["session_id"]) == ("ready", invitation["session_id"])
        await talker.say(take(BILLING, 16000))
        await talker.answered(1)
        for wrong in ("{", "[]", '{"type": "dance"}', '{"type": "dtmf", "digits": "x"}'):
            await talker.socket.send(wrong)
        await talker.socket.send(b"odd")
        await talker.socket.send(bytes(100_000))
        await talker.send(type="dtmf", digits="4271")
        await talker.until(lambda: talker.of("path_taken"))
        codes = [each["code"] for each in talker.told("error")]
        assert codes == ["bad_message"] * 4 + ["bad_audio"] * 2
        await talker.until(lambda: talker.state["keys"] == 4 and not talker.state["busy"])
        assert talker.state["keypad"] is False
        await talker.send(type="hangup")
        over = await talker.over()
    assert (over["reason"], over["status"], talker.code) == ("caller_hangup", "completed", 1000)
    events = [each["event"] for each in talker.told("event")]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert talker.of("user_turn")[0]["text"] == BILLING
    assert events[-1]["payload"]["variables"] == {"customer_number": "4271"}
    assert await ended(services, invitation["session_id"]) == ("completed", "caller_hangup")
    stored = await services.store.events(invitation["session_id"])
    assert [(row.seq, row.event_type) for row in stored] == [(event["seq"], event["event_type"]) for event in events]


async def _floods_and_leaves(_services: Services, invitation: dict[str, Json]) -> None:
    async with talking(invitation) as talker:
        await talker.answered()
        for _ in range(300):
            await talker.send(type="mute", muted=False)
        await talker.until(lambda: len(talker.told("error")) == 100)
        for _ in range(300):
            await talker.socket.send("{")
        await talker.send(type="hangup")
        over = await talker.over()
    codes = [each["code"] for each in talker.told("error")]
    assert codes == ["too_fast"] * 100 + ["bad_message"] * 100
    assert over["reason"] == "caller_hangup"


async def _interrupts_by_speech(services: Services, invitation: dict[str, Json]) -> None:
    async with talking(invitation, rate=48000) as talker:
        await talker.answered()
        await talker.say(take(HOURS, 48000))
        await talker.hears(1.0)
        await talker.say(take(CANCEL, 48000))
        over = await talker.over()
    cut = next(turn for turn in talker.of("agent_turn") if turn["interrupted"])
    assert talker.told("clear")
    assert len(cut["spoken_text"]) < len(cut["text"])
    assert LONG.startswith(cut["spoken_text"].split(" —")[0].strip()[:20])
    assert (over["reason"], talker.code) == ("agent_hangup", 1000)


async def _interrupts_by_button_and_vanishes(services: Services, invitation: dict[str, Json]) -> None:
    async with talking(invitation, rate=8000) as talker:
        await talker.answered()
        await talker.say(take(HOURS, 8000))
        await talker.hears(1.0)
        await talker.send(type="interrupt")
        await talker.until(lambda: any(turn["interrupted"] for turn in talker.of("agent_turn")))
        assert talker.told("clear")
        talker.socket.transport.abort()
    assert await ended(services, invitation["session_id"]) == ("dropped", "connection_lost")


async def _mutes_and_leaves(services: Services, invitation: dict[str, Json]) -> None:
    async with talking(invitation) as talker:
        await talker.answered()
        await talker.send(type="mute", muted=True)
        await talker.say(take(CANCEL, 16000))
        await talker.send(type="mute", muted=False)
        await talker.say(take(HOURS, 16000))
        await talker.send(type="mute", muted=True)
        talker.silent = True  # the end of the turn is noticed all the same
        await talker.until(lambda: talker.of("user_turn"))
        await talker.socket.close()
    assert [turn["text"] for turn in talker.of("user_turn")] == [HOURS]
    assert await ended(services, invitation["session_id"]) == ("completed", "caller_hangup")


async def test_what_a_client_can_do(services: Services, server: str, acme: Tenant, by_heart: None) -> None:
    version = await a_version(services, acme)
    clients = (
        _keys_and_goodbye,
        _floods_and_leaves,
        _interrupts_by_speech,
        _interrupts_by_button_and_vanishes,
        _mutes_and_leaves,
    )
    for client in clients:
        await client(services, await invited(server, version, acme.keys["builder"]))


async def test_a_ticket_is_good_once_and_for_its_call(services: Services, server: str, acme: Tenant) -> None:
    version = await a_version(services, acme)
    first, second = [await invited(server, version, acme.keys["builder"]) for _ in range(2)]
    other = second["url"].replace(second["test_session_id"], first["test_session_id"])
    for wrong, code in ((other, 4401), (first["url"][:-3], 4401), (first["url"] + "&rate=12", 4422)):
        socket = await connect(wrong, proxy=None)
        assert json.loads(await socket.recv())["type"] == "error"
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == code
    assert await ended(services, first["session_id"]) == ("dropped", "not_connected")
    async with talking(second) as talker:
        await talker.until(lambda: talker.audio)
        again = await connect(second["url"], proxy=None)
        assert json.loads(await again.recv())["code"] == "unauthenticated"
        await again.close()
        await talker.send(type="hangup")
        assert (await talker.over())["reason"] == "caller_hangup"


# ------------------------------------------------------------ one caller on all of them


SCRIPT = parse_script(f"{BILLING}\n[dtmf 4271]\n[interrupt 0.3] {CANCEL}")


def outline(events: list[EventRow]) -> tuple[list[str], Json, Json]:
    """Return what was taken, what is known at the end, and how it ended."""
    paths = [event.payload["path_name"] for event in events if event.event_type == "path_taken"]
    return paths, events[-1].payload["variables"], events[-1].payload["reason"]


async def played(address: str, version: str, key: str, steps: tuple[Step, ...]) -> list[EventRow]:
    events: list[EventRow] = []
    server = ApiServer(address, key)
    phone = await RemotePhone.join(await invite(server, Wanted(version=version, offline=True)), events.append)
    caller = VoiceCaller(phone)
    try:
        await caller.begin()
        await caller.play(steps)
    finally:
        await caller.aclose()
    assert phone.outcome == events[-1].payload["reason"]
    assert np.abs(caller.recorder.agent).max() > LOUD
    assert np.abs(caller.recorder.caller).max() > LOUD
    return events


async def test_one_script_gives_the_same_by_chat_here_and_on_a_server(
    services: Services, server: str, acme: Tenant, by_heart: None, tmp_path: Path
) -> None:
    version = await a_version(services, acme)
    key = acme.keys["builder"]["Authorization"].removeprefix("Bearer ")
    away = outline(await played(server, version, key, SCRIPT))
    chat = outline(list((await run_chat(DESK, SCRIPT, Place(tmp_path))).events))
    here = outline(list((await run_voice(DESK, SCRIPT, Place(tmp_path))).events))
    assert away == chat == here == (["To Billing", "Finish"], {"customer_number": "4271"}, "agent_hangup")


async def test_the_command_line_calls_a_server(services: Services, server: str, acme: Tenant, tmp_path: Path) -> None:
    version = await a_version(services, acme)
    console = Console(tmp_path)
    key = acme.keys["builder"]["Authorization"].removeprefix("Bearer ")

    def call(*args: str, code: int = 0) -> Done:
        return console.run("call", "--url", server, *args, code=code)

    def called() -> None:
        said = ("--offline", "--say", BILLING, "--json")
        done = call("--version", version, "--token", key, "--out", "call.wav", *said)
        assert [list(event) for event in done.events] == [KEYS] * len(done.events)
        assert done.events[-1]["payload"]["reason"] == "caller_hangup"
        assert "user_turn" in {event["event_type"] for event in done.events}
        assert "refuses the token" in call("--version", version, "--token", "pb_wrong", *said, code=3).err
        assert "published" in call("--workflow", "desk", "--token", key, *said, code=1).err
        assert console.servers() == []

    await asyncio.to_thread(called)
