"""Live events: over sockets of the application, and one over a real server."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import websockets
from fastapi import FastAPI

import api.live
from api.live import Place
from api.open_sockets import OpenSockets
from api.services import Services
from api.serving import serve
from api.sockets import listening_socket
from runtime.session.ports import CallRow
from runtime.store.row_access import SERVICE
from runtime.tasks import cancel_and_wait, spawn
from tests.api.chats import Builder, lines
from tests.api.conftest import Tenant
from tests.api.live_sockets import PATIENCE_S, opened
from tests.contract.rows import CONFIG, a_call, some_events

pytestmark = pytest.mark.server

_CUT = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'patchbay listen' and datname = current_database()"


async def a_running_call(services: Services, tenant: Tenant, *seqs: int, **fields: Any) -> CallRow:
    call = a_call(tenant.id, **{"is_test": False, "channel": "phone", "started_at": datetime.now(UTC)} | fields)
    await services.store.open_call(call)
    await services.store.append(some_events(call, *seqs))
    return call


async def end(services: Services, call: CallRow, seq: int) -> None:
    last = replace(some_events(call, seq)[0], event_type="call_ended")
    await services.store.append([last])
    await services.store.close_call(replace(call, status="completed", ended_at=datetime.now(UTC)))


async def listens(services: Services) -> None:
    """Wait until the process hears of events."""
    assert services.database is not None
    async with asyncio.timeout(PATIENCE_S):
        while not await services.database.fetch(  # noqa: ASYNC110 - the database is another process
            "select from pg_stat_activity where application_name = 'patchbay listen' and datname = current_database() "
            "and query ilike 'listen%' and state = 'idle'"
        ):
            await asyncio.sleep(0.02)


async def test_what_is_stored_comes_first_and_then_what_is_written(
    app: FastAPI, services: Services, acme: Tenant
) -> None:
    call = await a_running_call(services, acme, 1, 2, 3)
    async with opened(app, f"/api/sessions/{call.id}/live?after=1", acme.keys["viewer"]) as socket:
        assert await socket.seqs(2) == [2, 3]
        for seq in range(4, 40):
            await services.store.append(some_events(call, seq))
        assert await socket.seqs(36) == list(range(4, 40))
        await end(services, call, 40)
        assert (await socket.next())["event"]["event_type"] == "call_ended"
        assert await socket.next() == {"type": "ended"}
        assert await socket.next() == {"code": 1000, "reason": "ended"}


async def test_word_of_the_database_comes_before_the_next_look(
    app: FastAPI, services: Services, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live, "_POLL_S", 3600.0)
    call = await a_running_call(services, acme, 1)
    async with opened(app, f"/api/sessions/{call.id}/live", acme.keys["viewer"]) as socket:
        assert await socket.seqs(1) == [1]
        await listens(services)
        await services.store.append(some_events(call, 2))
        assert await socket.seqs(1) == [2]
        # A connection that is lost is made anew, and what came meanwhile is looked for then.
        assert services.database is not None
        assert len(await services.database.fetch(_CUT)) == 1
        await services.store.append(some_events(call, 3))
        assert await socket.seqs(1) == [3]
    assert not await services.database.fetch(_CUT)  # nobody watches, so nobody listens


async def test_without_a_database_it_looks_by_itself(
    app: FastAPI, services: Services, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live, "_POLL_S", 0.05)
    app.state.services = replace(services, database=None)
    call = await a_running_call(services, acme, 1)
    async with opened(app, f"/api/sessions/{call.id}/live", acme.keys["viewer"]) as socket:
        assert await socket.seqs(1) == [1]
        await services.store.append(some_events(call, 2))
        assert await socket.seqs(1) == [2]


async def test_a_hole_is_waited_for(app: FastAPI, services: Services, acme: Tenant) -> None:
    call = await a_running_call(services, acme, 1, 3)
    async with opened(app, f"/api/sessions/{call.id}/live", acme.keys["viewer"]) as socket:
        assert await socket.seqs(1) == [1]
        await services.store.append(some_events(call, 2))
        assert await socket.seqs(2) == [2, 3]


def test_what_never_comes_is_passed_over() -> None:
    place = Place()
    rows = [{"seq": seq, "event_type": "user_turn"} for seq in (1, 3, 4)]
    assert [row["seq"] for row in place.take(rows, 100.0)] == [1]
    assert place.take(rows, 104.9) == []
    assert [row["seq"] for row in place.take(rows, 105.0)] == [3, 4]
    assert place.take(rows, 200.0) == []


async def test_a_session_that_is_over_ends_at_once(app: FastAPI, services: Services, acme: Tenant) -> None:
    call = await a_running_call(services, acme, 1)
    await end(services, call, 2)
    for after in (2, 1):
        async with opened(app, f"/api/sessions/{call.id}/live?after={after}", acme.keys["viewer"]) as socket:
            if after == 1:
                assert await socket.seqs(1) == [2]
            assert await socket.next() == {"type": "ended"}
            assert await socket.next() == {"code": 1000, "reason": "ended"}


async def test_only_events_that_are_wanted_come(app: FastAPI, services: Services, acme: Tenant) -> None:
    call = await a_running_call(services, acme, 1, 2)
    await end(services, call, 3)
    path = f"/api/sessions/{call.id}/live?event_type=call_ended"
    async with opened(app, path, acme.keys["viewer"]) as socket:
        assert await socket.seqs(1) == [3]
        assert await socket.next() == {"type": "ended"}


async def test_who_may_not_is_told_why(app: FastAPI, services: Services, acme: Tenant, umbrella: Tenant) -> None:
    call = await a_running_call(services, acme, 1)
    for path, headers, code in (
        (f"/api/sessions/{call.id}/live", {}, 4401),
        (f"/api/sessions/{call.id}/live", {"Authorization": "Bearer pb_nobody"}, 4401),
        (f"/api/sessions/{call.id}/live?ticket=x", {}, 4401),
        (f"/api/sessions/{call.id}/live", umbrella.keys["owner"], 4404),
        (f"/api/sessions/{uuid4()}/live", acme.keys["owner"], 4404),
        (f"/api/live?organization_id={acme.id}", umbrella.keys["owner"], 4403),
        ("/api/live?organization_id=x", umbrella.keys["owner"], 4422),
    ):
        async with opened(app, path, headers) as socket:
            assert (await socket.next())["code"] == code, path


async def test_a_key_that_is_revoked_sees_nothing_more(
    app: FastAPI, services: Services, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live, "_POLL_S", 0.05)
    call = await a_running_call(services, acme, 1)
    async with (
        opened(app, f"/api/sessions/{call.id}/live", acme.keys["viewer"]) as one,
        opened(app, "/api/live", acme.keys["viewer"]) as all_of_them,
    ):
        assert await one.seqs(1) == await all_of_them.seqs(1) == [1]
        now = datetime.now(UTC).isoformat()
        rows = services.access.of(SERVICE)
        await rows.update(
            "api_key", [("organization_id", "eq", acme.id), ("name", "eq", "viewer")], {"revoked_at": now}
        )
        await services.store.append(some_events(call, 2))
        assert (await one.next())["code"] == 4404
        assert (await all_of_them.next())["code"] == 4403


async def test_of_one_callers_sockets_so_many_are_open_at_once(app: FastAPI, services: Services, acme: Tenant) -> None:
    app.state.open_sockets = OpenSockets(of_caller=2, of_process=3)
    call = await a_running_call(services, acme, 1)
    path, mine, other, third = (
        f"/api/sessions/{call.id}/live",
        *(acme.keys[role] for role in ("viewer", "owner", "builder")),
    )
    async with opened(app, path, mine) as one, opened(app, "/api/live", mine) as two:
        assert await one.seqs(1) == await two.seqs(1) == [1]
        async with opened(app, path, mine) as too_many:
            assert await too_many.next() == {"code": 4429, "reason": "too_many_requests"}
        async with opened(app, path, other) as theirs:
            assert await theirs.seqs(1) == [1]
            async with opened(app, path, third) as too_many:
                assert await too_many.next() == {"code": 4429, "reason": "too_many_requests"}
    async with opened(app, path, mine) as again:
        assert await again.seqs(1) == [1]


async def test_a_ticket_stands_for_its_caller_once(
    http: httpx.AsyncClient, app: FastAPI, services: Services, acme: Tenant
) -> None:
    call = await a_running_call(services, acme, 1)
    made = await http.post("/api/live-tickets", headers=acme.user("viewer"))
    assert made.status_code == 201, made.text
    left = datetime.fromisoformat(made.json()["expires_at"]) - datetime.now(UTC)
    assert 50 < left.total_seconds() <= 60
    path = f"/api/sessions/{call.id}/live?ticket={made.json()['ticket']}"
    async with opened(app, path) as socket:
        assert await socket.seqs(1) == [1]
    async with opened(app, path) as socket:
        assert await socket.next() == {"code": 4401, "reason": "unauthenticated"}
    late = (await http.post("/api/live-tickets", headers=acme.keys["viewer"])).json()["ticket"]
    rows = services.access.of(SERVICE)
    await rows.update("live_ticket", [("expires_at", "gt", "2020-01-01")], {"expires_at": "2020-01-01"})
    async with opened(app, f"/api/live?ticket={late}") as socket:
        assert await socket.next() == {"code": 4401, "reason": "unauthenticated"}


async def test_a_reader_that_is_too_slow_is_cut_off_and_resumes(
    app: FastAPI, services: Services, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live, "_SEND_S", 0.1)
    call = await a_running_call(services, acme, 1, 2)
    async with opened(app, f"/api/sessions/{call.id}/live", acme.keys["viewer"]) as socket:
        assert await socket.seqs(2) == [1, 2]
        socket.takes.clear()
        await services.store.append(some_events(call, 3, 4))
        assert await socket.next() == {"code": 4408, "reason": "timed_out"}
    async with opened(app, f"/api/sessions/{call.id}/live?after=2", acme.keys["viewer"]) as socket:
        assert await socket.seqs(2) == [3, 4]


async def test_silence_is_filled_with_pings(
    app: FastAPI, services: Services, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.live, "_POLL_S", 0.05)
    monkeypatch.setattr(api.live, "_PING_S", 0.1)
    call = await a_running_call(services, acme)
    async with opened(app, f"/api/sessions/{call.id}/live", acme.keys["viewer"]) as socket:
        message = await asyncio.wait_for(socket.received.get(), PATIENCE_S)
        assert json.loads(message["text"]) == {"type": "ping"}


async def test_an_organization_sees_all_of_its_running_sessions(
    app: FastAPI, services: Services, acme: Tenant, umbrella: Tenant
) -> None:
    over = await a_running_call(services, acme, 1)
    await end(services, over, 2)
    first = await a_running_call(services, acme, *range(1, 46))
    theirs = await a_running_call(services, umbrella, 1)
    await a_running_call(services, acme, 1, is_test=True)
    async with opened(app, "/api/live", acme.keys["viewer"]) as socket:
        assert await socket.seqs(45) == list(range(1, 46))
        second = await a_running_call(services, acme, 1, 2)
        seen = [(await socket.next())["event"] for _ in range(2)]
        assert [(event["session_id"], event["seq"]) for event in seen] == [(second.id, 1), (second.id, 2)]
        await services.store.append(some_events(theirs, 2))
        await end(services, second, 3)
        assert (await socket.next())["event"]["event_type"] == "call_ended"
        await services.store.append([*some_events(first, 46), *some_events(theirs, 3)])
        last = (await socket.next())["event"]
        assert (last["session_id"], last["seq"]) == (first.id, 46)


async def test_an_organizations_events_are_filtered(app: FastAPI, services: Services, acme: Tenant) -> None:
    version = await services.store.save_draft(acme.id, "support", CONFIG)
    mine = await a_running_call(services, acme, 1, workflow_version_id=version.id, is_test=True, channel="chat_test")
    await a_running_call(services, acme, 1)
    for query in (f"workflow_id={version.workflow_id}&tests=true", "channel=chat_test&tests=true"):
        async with opened(app, f"/api/live?{query}", acme.keys["viewer"]) as socket:
            assert (await socket.next())["event"]["session_id"] == mine.id


async def test_a_chat_test_is_seen_as_it_goes(
    http: httpx.AsyncClient, app: FastAPI, services: Services, acme: Tenant
) -> None:
    builder = Builder(http, services, acme)
    version = await builder.version()
    said = [line for line in lines("front_desk", "billing") if line and not line.startswith("#")]
    told = await builder.chat(version, message=said[0], offline=True)
    async with opened(app, f"/api/sessions/{told['session_id']}/live", acme.keys["viewer"]) as socket:
        for line in said[1:]:
            if told["status"] == "ended":
                break
            told = await builder.chat(version, message=line, test_session_id=told["test_session_id"])
        seen = []
        while (message := await socket.next()) != {"type": "ended"}:
            seen.append(message["event"])
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert {event["event_type"] for event in seen} >= {"call_started", "user_turn", "path_taken", "call_ended"}


async def test_over_a_real_server(http: httpx.AsyncClient, services: Services, acme: Tenant) -> None:
    call = await a_running_call(services, acme, 1)
    listening = listening_socket("127.0.0.1", 0)
    place = f"ws://127.0.0.1:{listening.getsockname()[1]}"
    serving = spawn(serve(services, listening), name="api")
    try:
        ticket = (await http.post("/api/live-tickets", headers=acme.keys["analyst"])).json()["ticket"]
        async with websockets.connect(f"{place}/api/sessions/{call.id}/live?ticket={ticket}") as socket:
            assert json.loads(await socket.recv())["event"]["seq"] == 1
            began = time.perf_counter()
            await services.store.append(some_events(call, 2))
            assert json.loads(await socket.recv())["event"]["seq"] == 2
            assert time.perf_counter() - began < PATIENCE_S
            await end(services, call, 3)
            assert json.loads(await socket.recv())["event"]["event_type"] == "call_ended"
            assert json.loads(await socket.recv()) == {"type": "ended"}
            with pytest.raises(websockets.ConnectionClosedOK):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (1000, "ended")
    finally:
        await cancel_and_wait(serving)
