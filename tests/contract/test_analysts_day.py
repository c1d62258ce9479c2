"""An analyst's day: signed in as a member, with supabase-py through a real PostgREST, row security in force."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import jwt
import pytest
from postgrest.exceptions import APIError
from supabase import AsyncClient, AsyncClientOptions

from runtime.store.postgres import PostgresStore
from tests.contract.analytics_calls import CONFIG, told, write
from tests.contract.supabase_project import Door, service_key
from tests.fakes.postgrest import JWT_SECRET, postgrest

pytestmark = pytest.mark.server


@pytest.fixture
async def api(url: str, tmp_path: Path) -> AsyncIterator[str]:
    async with postgrest(url, tmp_path) as base:
        yield base


async def an_organization(url: str, name: str, role: str) -> tuple[str, str]:
    """Return the ids of a new organization and of its one member."""
    store, user_id = PostgresStore(url), str(uuid4())
    organization = await store.ensure_organization(name)
    await store.aclose()
    connection = await asyncpg.connect(url)
    await connection.execute(
        "insert into organization_member (organization_id, user_id, role) values ($1, $2, $3)",
        organization.id,
        user_id,
        role,
    )
    await connection.close()
    return organization.id, user_id


@asynccontextmanager
async def signed_in(base: str, user_id: str) -> AsyncIterator[AsyncClient]:
    """Yield supabase-py as a signed-in user has it."""
    token = jwt.encode(
        {"sub": user_id, "role": "authenticated", "aud": "authenticated", "exp": 4_000_000_000}, JWT_SECRET
    )
    http = httpx.AsyncClient(transport=Door())
    options = AsyncClientOptions(
        auto_refresh_token=False,
        persist_session=False,
        headers={"Authorization": f"Bearer {token}"},
        httpx_client=http,
    )
    async with http:
        yield AsyncClient(base, service_key("anon"), options)


async def test_an_analysts_day(url: str, api: str, tmp_path: Path) -> None:
    mine, analyst_id = await an_organization(url, "Acme", "analyst")
    _, stranger_id = await an_organization(url, "Umbrella", "owner")
    store = PostgresStore(url)
    (call,) = await told(store, mine, tmp_path, "billing")
    version = (await store.published_version(mine, "front desk")).id
    await write(store, await store.save_draft(mine, "front desk", CONFIG), is_test=True)
    await store.aclose()

    async with signed_in(api, analyst_id) as client, signed_in(api, stranger_id) as stranger:
        asked = client.table("session_event").select("seq, event_type, payload")
        events = (await asked.eq("session_id", call.row.id).order("seq").execute()).data
        assert [(event["seq"], event["payload"]) for event in events] == [(e.seq, dict(e.payload)) for e in call.events]
        with_events = client.table("call_session").select("id, session_event(seq)").eq("id", call.row.id)
        (session,) = (await with_events.order("seq", foreign_table="session_event").execute()).data
        assert [event["seq"] for event in session["session_event"]] == [event.seq for event in call.events]
        with_session = client.table("session_event").select("seq, call_session(status)").eq("session_id", call.row.id)
        assert (await with_session.eq("seq", 1).execute()).data == [{"seq": 1, "call_session": {"status": "completed"}}]
        funnel = (await client.table("agent_funnel").select("agent_name, entered").execute()).data
        assert {row["agent_name"]: row["entered"] for row in funnel} == {"Front desk": 1, "Billing": 1}
        with_tests = (
            await client.table("agent_funnel_all").select("agent_name").eq("is_test", value=True).execute()
        ).data
        assert {row["agent_name"] for row in with_tests} == {"Desk", "Billing"}, "tests are left out unless asked for"
        taken = (
            await client.table("path_conversion").select("path_name, requested, taken").gt("taken", 0).execute()
        ).data
        assert {row["path_name"] for row in taken} == {path["path_name"] for path in call.payloads("path_taken")}
        answer = (await client.rpc("analytics", {"workflow_version_id": version}).execute()).data
        assert answer["calls"]["calls"] == 1

        for table in ("session_event", "call_session", "call_fact"):
            with pytest.raises(APIError):
                await client.table(table).delete().eq("organization_id", mine).execute()
        await client.table("workflow").delete().eq("organization_id", mine).execute()
        assert (await client.table("workflow").select("name").execute()).data == [{"name": "front desk"}]
        assert (await client.table("audit_log").select("id").execute()).data == []

        for table in (
            "session_event",
            "call_session",
            "agent_funnel_all",
            "path_conversion_all",
            "turn_latency_all",
            "call_fact",
        ):
            assert (await stranger.table(table).select("*").execute()).data == [], table
        assert (await stranger.rpc("analytics", {"workflow_version_id": version}).execute()).data is None
