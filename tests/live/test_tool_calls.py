"""One call, by chat and by voice: an order looked up, a visit booked through Supabase, knowledge asked, the caller put through."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest
from aiohttp import web

from runtime.harness.chat import ChatCaller
from runtime.harness.phone import LocalPhone
from runtime.harness.script import Say
from runtime.harness.voice import RATE, VoiceCaller
from runtime.knowledge.documents import read_document
from runtime.knowledge.library import Library
from runtime.knowledge.searching import Searcher
from runtime.session.call_session import SystemClock
from runtime.session.event_log import EventLog
from runtime.session.ports import CallRow, EventRow, RunnerOrder, TransferOutcome
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.postgres import PostgresStore
from runtime.store.tool_database import ToolDatabases
from runtime.store.tool_database_postgrest import PostgrestTransport
from runtime.voice.live_call import CallPlan, open_call
from runtime.voice.local.heard_words import heard_words
from runtime.voice.pipeline import Providers
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import compile_workflow
from tests.fakes.databases import Databases
from tests.fakes.http_model import Call, Follower, HttpModel, http_model
from tests.fakes.postgrest import JWT_SECRET, client, postgrest, postgrest_binary
from tests.fakes.speech import take
from tools.guard import open_client
from tools.registry import default_registry
from tools.runner import Runner
from tools.services import Services
from tools.tables import databases as tool_databases

Json = Any
pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(postgrest_binary() is None, reason="no PostgREST: run python -m tests.fakes.postgrest"),
]

SAID = ("can you check my order", "the third of may", "what are your opening hours", "transfer me please")
DESK = "+15550142"
KEY = "canary-3f9a77c1d2"
VISITS = """
create table public.visits (organization_id uuid not null, day date not null, order_number text not null);
create function public.book_visit(day date, order_number text) returns jsonb language sql as
  'insert into public.visits values (patchbay.organization(), day, order_number) returning to_jsonb(visits) - ''organization_id''';
select patchbay.expose_table('public.visits', array['select', 'insert']);
select patchbay.expose_function('public.book_visit(date, text)');
"""
HOURS = "# Opening hours\n\nThe workshop is open from nine to five, Monday to Friday. On Saturdays it is closed.\n"


def config(orders: str) -> dict[str, Json]:
    number = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}
    look_up = {
        "description": 'Looks an order up. For example: "can you check my order"',
        "parameters": number,
        "url": f"{orders}/{{{{ arguments.number }}}}",
        "headers": {"Authorization": "Bearer {{ secrets.ORDERS_KEY }}"},
    }
    book = {
        "description": 'Books a visit. For example: "the third of may"',
        "function": "book_visit",
        "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
        "arguments": {"day": "{{ arguments.day }}", "order_number": "{{ order_number }}"},
    }
    people = {"description": 'Puts the caller through. For example: "transfer me please"', "to": DESK}
    agent = {
        "id": "desk",
        "name": "Desk",
        "instructions": 'Help with orders, visits and questions such as "what are your opening hours".',
        "greeting": {"mode": "say", "text": "Hello."},
        "tools": [
            {
                "tool_type": "http_request",
                "display_name": "Check order",
                "config": look_up,
                "assign": {"order_number": "$.number", "order_status": "$.status"},
            },
            {"tool_type": "supabase_rpc", "display_name": "Book visit", "config": book, "assign": {"visit": "$.day"}},
            {"tool_type": "transfer_call", "config": people},
        ],
        "knowledge": ["handbook"],
    }
    local = {"provider": "local"}
    return {
        "defaults": {"stt": local, "tts": local},
        "variables": [{"name": name} for name in ("order_number", "order_status")]
        + [{"name": "visit", "data_type": "date"}],
        "agents": [agent],
    }


FOLLOWS = Follower(
    (r"check my order", Call("check_order", {"number": "4271"})),
    (r"third of may", Call("book_visit", {"day": "2027-05-03"})),
    (r"opening hours", Call("knowledge_search", {"query": "what are your opening hours"})),
    (r"transfer me", Call("transfer_call", {})),
)


@dataclass(slots=True)
class Phone:
    """The caller's telephone, whose transfers succeed."""

    transfers: list[str] = field(default_factory=list)

    async def transfer(self, to: str) -> TransferOutcome:
        self.transfers.append(to)
        return TransferOutcome(ok=True, sip_status=200)

    async def send_keys(self, keys: str) -> str | None:
        return f"nobody wants {keys}"


@dataclass(frozen=True, slots=True)
class World:
    """What the tools reach."""

    store: PostgresStore
    url: str
    services: Services
    organization_id: str
    orders: str
    asked: list[str]
    model: HttpModel


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("home")).start()
    yield Databases(postgres.dsn)
    postgres.stop()


@asynccontextmanager
async def order_service(asked: list[str]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Authorization"])
        return web.json_response({"number": request.match_info["number"], "status": "shipped", "seen": asked[-1]})

    app = web.Application()
    app.router.add_get("/orders/{number}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/orders"
    finally:
        await runner.cleanup()


def anywhere(_host: str, _port: int) -> bool:
    return True


@pytest.fixture
async def world(server: Databases, tmp_path: Path) -> AsyncIterator[World]:
    url = await server.migrated()
    connection = await asyncpg.connect(url)
    await connection.execute(VISITS)
    await connection.close()
    async with AsyncExitStack() as stack:
        store = PostgresStore(url)
        stack.push_async_callback(store.aclose)
        organization = await store.ensure_organization("Acme")
        (tmp_path / "hours.md").write_text(HOURS)
        library = Library(store, organization.id)
        await library.add("handbook", read_document(tmp_path / "hours.md"))
        await library.count_words("handbook")
        base = await stack.enter_async_context(postgrest(url, tmp_path))
        supabase = await stack.enter_async_context(client())
        services = Services(
            await stack.enter_async_context(open_client(anywhere)),
            database=tool_databases(ToolDatabases(PostgrestTransport(supabase, base, JWT_SECRET))),
            knowledge=Searcher(store).of,
        )
        asked: list[str] = []
        orders = await stack.enter_async_context(order_service(asked))
        model = await stack.enter_async_context(http_model(FOLLOWS))
        yield World(store, url, services, organization.id, orders, asked, model)


async def played(
    world: World, channel: Literal["chat_test", "voice_test"], folder: Path
) -> tuple[list[EventRow], Phone]:
    """Return the events of the call as stored, and the caller's telephone."""
    raw = world.model.configured(config(world.orders), api_key="{{ secrets.MODEL_KEY }}")
    version = await world.store.save_draft(world.organization_id, channel, raw)
    workflow = compile_workflow(WorkflowConfig.model_validate(raw), version_id=version.id)
    now, phone, secrets = datetime.now(UTC), Phone(), {"ORDERS_KEY": KEY, "MODEL_KEY": "model-key-1"}
    row = CallRow(
        str(uuid.uuid4()), world.organization_id, version.id, channel, "inbound", is_test=True, started_at=now
    )
    order = RunnerOrder(world.organization_id, workflow, secrets=secrets, telephone=phone)
    text, clock = channel == "chat_test", SystemClock()
    async with AsyncExitStack() as stack:
        log = await EventLog.open(folder / "events", world.store, flush_s=0.02)
        stack.push_async_callback(log.aclose)
        plan = CallPlan(
            workflow=workflow,
            log=log.open_call(row),
            clock=clock,
            tools=Runner(default_registry(), world.services, order),
            providers=Providers(secrets=secrets, allowed=anywhere, vocabulary=heard_words(workflow)),
            encrypt=lambda told: f"encrypted {len(told)}",
            runtime_version="tests",
            goodbye_s=0.1,
            telephone=phone,
        )
        live = await stack.enter_async_context(open_call(plan, text=text))
        if text:
            chat = ChatCaller(live, clock)
            await chat.begin()
            await chat.play([Say(words) for words in SAID])
        else:
            caller = VoiceCaller(LocalPhone(live))
            await caller.begin()
            await caller.play_recordings([take(words, RATE) for words in SAID])
            await caller.aclose()
        await live.call.aclose()
    return await world.store.events(row.id), phone


@pytest.mark.live
@pytest.mark.parametrize("channel", ["chat_test", "voice_test"])
async def test_a_call_that_uses_them_all(
    world: World, channel: Literal["chat_test", "voice_test"], tmp_path: Path
) -> None:
    async with asyncio.timeout(90):
        events, phone = await played(world, channel, tmp_path)
    done = {event.payload["name"]: event.payload for event in events if event.event_type == "tool_succeeded"}
    told = [(event.event_type, event.payload) for event in events]
    assert list(done) == ["check_order", "book_visit", "knowledge_search", "transfer_call"], told
    ended = events[-1].payload
    assert (ended["reason"], phone.transfers) == ("transferred", [DESK])
    assert ended["variables"] == {"order_number": "4271", "order_status": "shipped", "visit": "2027-05-03"}
    assert [source["document"] for source in done["knowledge_search"]["sources"]] == ["Opening hours"]
    assert "nine to five" in done["knowledge_search"]["result_preview"]
    connection = await asyncpg.connect(world.url)
    booked = await connection.fetch("select organization_id::text, day::text, order_number from visits")
    await connection.close()
    assert [tuple(each) for each in booked] == [(world.organization_id, "2027-05-03", "4271")]
    assert world.asked == [f"Bearer {KEY}"]
    read = [str(message) for asked in world.model.requests for message in asked.messages]
    assert not any(KEY in place for place in (*read, str(told))), "a secret reaches its service and nothing else"
