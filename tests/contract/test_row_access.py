"""Rows under a user's role: the same over Postgres, over a transaction pooler and over Supabase's API."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import jwt
import pytest

from runtime.errors import StoreUnreachable, Unreachable
from runtime.settings import Settings
from runtime.store.opening_rows import open_row_access
from runtime.store.pool import Database
from runtime.store.row_access import SERVICE, Claims, RowAccess, Rows, RowsFault, RowsFaultKind
from runtime.store.row_access_postgres import PostgresRowAccess, become
from runtime.store.supabase_rows import SupabaseRowAccess, UserTokens
from tests.contract.supabase_project import service_key
from tests.fakes.databases import Databases
from tests.fakes.pgbouncer import PGBOUNCER, transaction_pooler
from tests.fakes.postgrest import JWT_SECRET, client, postgrest, postgrest_binary

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

Json = Any
ROLES = ("owner", "builder", "analyst", "viewer")
FUNCTIONS = """
create function public.sets(texts text[], more jsonb default '1') returns setof text language sql as 'select unnest(texts) where more is null';
create function public.nothing() returns void language sql as 'select 1';
create function public.sleeps() returns void language sql as 'select pg_catalog.pg_sleep(20)';
"""


@dataclass
class Subject:
    """A database with two organizations, and the way in under test."""

    access: RowAccess
    url: str
    organizations: dict[str, str] = field(default_factory=dict)
    users: dict[tuple[str, str], str] = field(default_factory=dict)
    keys: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def service(self) -> Rows:
        return self.access.of(SERVICE)

    @property
    def acme(self) -> str:
        return self.organizations["Acme"]

    def user(self, role: str = "builder", name: str = "Acme", request_id: str | None = None) -> Rows:
        return self.access.of(Claims(user_id=self.users[name, role], request_id=request_id))

    def key(self, role: str = "builder", name: str = "Acme") -> Rows:
        return self.access.of(Claims(api_key_id=self.keys[name, role]))

    async def workflows(self, *names: str, name: str = "Acme") -> list[str]:
        added = self.user("builder", name)
        return [
            (await added.insert("workflow", {"organization_id": self.organizations[name], "name": each}))["id"]
            for each in names
        ]


@pytest.fixture(params=["postgres", "pooler", "postgrest"])
async def subject(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> AsyncIterator[Subject]:
    url = await databases.migrated()
    connection = await asyncpg.connect(url)
    await connection.execute(FUNCTIONS)
    await connection.close()
    async with contextlib.AsyncExitStack() as stack:
        found = Subject(await way_in(stack, request.param, url, tmp_path), url)
        await furnish(found)
        yield found


async def way_in(stack: contextlib.AsyncExitStack, kind: str, url: str, folder: Path) -> RowAccess:
    if kind == "postgrest":
        if postgrest_binary() is None:
            pytest.skip("no PostgREST: run python -m tests.fakes.postgrest")
        base = await stack.enter_async_context(postgrest(url, folder))
        http = await stack.enter_async_context(client())
        return SupabaseRowAccess(http, base, service_key(), jwt_secret=JWT_SECRET)
    if kind == "pooler" and PGBOUNCER is not None:
        url = await stack.enter_async_context(transaction_pooler(url, folder))
    database = Database(url, transaction_pooler=kind == "pooler", max_connections=4)
    stack.push_async_callback(database.aclose)
    return PostgresRowAccess(database)


async def furnish(subject: Subject) -> None:
    rows = subject.service
    for name in ("Acme", "Umbrella"):
        made = await rows.insert("organization", {"name": name}, returning=["id"])
        subject.organizations[name] = made["id"]
        for role in ROLES:
            user = subject.users[name, role] = str(uuid4())
            await rows.insert("organization_member", {"organization_id": made["id"], "user_id": user, "role": role})
            key = {"name": role, "prefix": "pb_x", "key_hash": sha256(uuid4().bytes).hexdigest(), "role": role}
            found = await rows.insert("api_key", {"organization_id": made["id"], **key}, returning=["id"])
            subject.keys[name, role] = found["id"]


async def refused(awaitable: Awaitable[Any], kind: RowsFaultKind) -> RowsFault:
    with pytest.raises(RowsFault) as caught:
        await awaitable
    assert caught.value.kind == kind, caught.value
    return caught.value


# ------------------------------------------------------------ whose rows


@pytest.mark.parametrize("way", ["user", "key"])
async def test_everyone_sees_and_changes_their_own_organization_only(subject: Subject, way: str) -> None:
    await subject.workflows("desk")
    [theirs] = await subject.workflows("desk", name="Umbrella")
    of: Callable[..., Rows] = subject.user if way == "user" else subject.key
    found = await of("viewer").select("workflow")
    assert [(row["organization_id"], row["name"]) for row in found] == [(subject.acme, "desk")]
    assert len(await subject.service.select("workflow")) == 2
    builder = of("builder")
    assert await builder.update("workflow", [("id", "eq", theirs)], {"name": "mine"}) == []
    assert await builder.delete("workflow", [("id", "eq", theirs)]) == []
    row = {"organization_id": subject.organizations["Umbrella"], "name": "mine"}
    await refused(builder.insert("workflow", row), "forbidden")
    await refused(of("viewer").insert("workflow", {"organization_id": subject.acme, "name": "mine"}), "forbidden")
    assert await of("analyst").delete("workflow", [("name", "eq", "desk")]) == []


async def test_a_stranger_sees_nothing(subject: Subject) -> None:
    await subject.workflows("desk")
    for claims in (Claims(user_id=str(uuid4())), Claims(api_key_id=str(uuid4()))):
        rows = subject.access.of(claims)
        assert await rows.select("workflow") == []
        assert await rows.select("organization") == []
        await refused(rows.insert("workflow", {"organization_id": subject.acme, "name": "x"}), "forbidden")


async def test_a_key_that_is_revoked_or_expired_sees_nothing(subject: Subject) -> None:
    await subject.workflows("desk")
    for role, change in (
        ("owner", {"revoked_at": datetime.now(UTC)}),
        ("builder", {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}),
    ):
        assert len(await subject.key(role).select("workflow")) == 1
        await subject.service.update("api_key", [("id", "eq", subject.keys["Acme", role])], change, returning=["id"])
        assert await subject.key(role).select("workflow") == []


async def test_one_user_does_not_stay_on_the_connection_of_the_next(subject: Subject) -> None:
    await subject.workflows("desk")
    for _ in range(4):
        assert len(await subject.user().select("workflow")) == 1
        assert await subject.user(name="Umbrella").select("workflow") == []
        assert len(await subject.service.select("organization")) == 2


async def test_the_record_of_changes_names_who_and_in_which_request(subject: Subject) -> None:
    user = subject.user("builder", request_id="r-1")
    made = await user.insert("workflow", {"organization_id": subject.acme, "name": "desk"})
    await subject.key("owner").update("workflow", [("id", "eq", made["id"])], {"name": "front desk"})
    log = await subject.user("owner").select(
        "audit_log", where=[("table_name", "eq", "workflow")], order=[("id", "asc")]
    )
    assert [
        (row["actor_kind"], row["actor_id"], row["request_id"], row["action"], row["after"].get("name")) for row in log
    ] == [
        ("user", subject.users["Acme", "builder"], "r-1", "insert", "desk"),
        ("api_key", subject.keys["Acme", "owner"], log[1]["request_id"], "update", "front desk"),
    ]


# ------------------------------------------------------------ reading


async def test_times_are_utc_and_values_have_their_columns_types(subject: Subject) -> None:
    given = {
        "organization_id": subject.acme,
        "channel": "web",
        "is_test": True,
        "started_at": "2026-05-03T17:30:00.123456+02:00",
        "variables": {"a": [1, 2.5, None, "ü😀"]},
        "cost": 0.125,
    }
    made = await subject.service.insert("call_session", given)
    [row] = await subject.user("viewer").select("call_session", where=[("id", "eq", made["id"])])
    assert row == made
    assert row["started_at"] == "2026-05-03T15:30:00.123456+00:00"
    assert (row["is_test"], row["variables"], row["cost"], row["ended_at"]) == (True, given["variables"], 0.125, None)
    scopes = ["workflows:read", 'a"b,{c}']
    where: list[Any] = [("id", "eq", subject.keys["Acme", "viewer"])]
    assert await subject.service.update("api_key", where, {"scopes": scopes}, returning=["scopes"]) == [
        {"scopes": scopes}
    ]


async def test_conditions(subject: Subject) -> None:
    names = ["desk", "front_desk", 'quo"te,(x)', "star*", "back\\slash", "50%"]
    ids = await subject.workflows(*names)
    await subject.user().update("workflow", [("name", "eq", "desk")], {"description": "x"})

    async def found(*where: Any) -> list[str]:
        rows = await subject.user().select("workflow", columns=["name"], where=where)
        assert all(list(row) == ["name"] for row in rows)
        return sorted(row["name"] for row in rows)

    for where, wanted in (
        ([("name", "eq", 'quo"te,(x)')], ['quo"te,(x)']),
        ([("name", "neq", "desk"), ("name", "lt", "c")], ["50%", "back\\slash"]),
        ([("name", "in", ["desk", 'quo"te,(x)', "back\\slash", "none"])], ["back\\slash", "desk", 'quo"te,(x)']),
        ([("name", "in", [])], []),
        ([("id", "in", [ids[0], ids[1]])], ["desk", "front_desk"]),
        ([("description", "is", None)], sorted(names[1:])),
        ([("description", "eq", None)], []),
        ([("name", "ilike", "%DESK")], ["desk", "front_desk"]),
        ([("name", "ilike", "%t\\_desk")], ["front_desk"]),
        ([("name", "ilike", "d_sk")], ["desk"]),
        ([("name", "ilike", "%*")], ["star*"]),
        ([("name", "ilike", "%\\\\%")], ["back\\slash"]),
        ([("name", "ilike", "50\\%")], ["50%"]),
        ([("name", "ilike", "desk.*")], []),
        ([("created_at", "gte", "2020-01-01T00:00:00+02:00"), ("created_at", "lt", datetime.now(UTC) + timedelta(days=1))], sorted(names)),
        ([("created_at", "lt", "2020-01-01")], []),
    ):  # fmt: skip
        assert await found(*where) == wanted, where
    assert await subject.service.select("call_session", where=[("is_test", "is", True)]) == []
    assert await subject.service.select("call_session", where=[("is_test", "eq", False)]) == []


@pytest.mark.parametrize("how", ["asc", "desc"])
async def test_a_list_is_read_page_by_page(subject: Subject, how: Any) -> None:
    call = {"organization_id": subject.acme, "channel": "web"}
    for minute in (1, 1, 1, 2, 3):
        await subject.service.insert("call_session", call | {"started_at": f"2026-05-03T00:0{minute}:00Z"})
    order = [("started_at", how), ("id", how)]
    whole = await subject.user().select("call_session", order=order)
    keys = [(row["started_at"], row["id"]) for row in whole]
    assert keys == sorted(keys, reverse=how == "desc")
    paged: list[Json] = []
    while page := await subject.user().select(
        "call_session", order=order, after=[paged[-1]["started_at"], paged[-1]["id"]] if paged else None, limit=2
    ):
        assert len(page) <= 2
        paged += page
    assert paged == whole
    for cursor in (["x", "y"], [1, 2], ["2026-01-01"], [], [str(uuid4()), str(uuid4())]):
        await refused(subject.user().select("call_session", order=order, after=cursor), "refused")


async def test_more_rows_than_one_answer_holds(subject: Subject) -> None:
    connection = await asyncpg.connect(subject.url)
    await connection.execute(
        "insert into workflow (organization_id, name) select $1, n::text from generate_series(1, 1203) n", subject.acme
    )
    await connection.close()
    assert len({row["name"] for row in await subject.user().select("workflow", order=[("name", "asc")])}) == 1203
    assert len(await subject.user().select("workflow", order=[("name", "asc")], limit=1101)) == 1101


# ------------------------------------------------------------ writing


async def test_a_row_is_made_changed_and_removed(subject: Subject) -> None:
    rows = subject.user("owner")
    made = await rows.insert(
        "workflow", {"organization_id": subject.acme, "name": "desk", "description": None}, returning=["id", "name"]
    )
    assert made == {"id": made["id"], "name": "desk"}
    where: list[Any] = [("id", "eq", made["id"])]
    changed = await rows.update("workflow", where, {"name": "front"}, returning=["name"])
    assert changed == [{"name": "front"}]
    assert await rows.update("workflow", where, {}, returning=["name"]) == [{"name": "front"}]
    assert await rows.update("workflow", [*where, ("name", "eq", "desk")], {"name": "late"}) == []
    assert [row["name"] for row in await rows.delete("workflow", where)] == ["front"]
    assert await rows.delete("workflow", where) == []
    assert await rows.delete("workflow", [("id", "in", [])]) == []


async def test_an_upsert_makes_a_row_or_changes_it(subject: Subject) -> None:
    rows = subject.user()
    for value in ("1", "2"):
        row = {"organization_id": subject.acme, "name": "A", "value": value}
        made = await rows.upsert(
            "workspace_variable", row, conflict=["organization_id", "name"], returning=["name", "value"]
        )
        assert made == {"name": "A", "value": value}
    assert len(await rows.select("workspace_variable", columns=["id"])) == 1
    other = {"organization_id": subject.organizations["Umbrella"], "name": "A", "value": "x"}
    await refused(
        rows.upsert("workspace_variable", other, conflict=["organization_id", "name"], returning=["name"]), "forbidden"
    )


async def test_columns_that_are_for_nobody_stay_so(subject: Subject) -> None:
    rows = subject.user("owner")
    row = {"organization_id": subject.acme, "name": "A", "secret": "token"}
    await rows.insert("workspace_variable", row, returning=["id"])
    await refused(rows.select("workspace_variable", columns=["secret"]), "forbidden")
    await refused(rows.select("workspace_variable"), "forbidden")
    await refused(rows.select("api_key", columns=["key_hash"]), "forbidden")
    await refused(rows.insert("organization", {"name": "x"}), "forbidden")


# ------------------------------------------------------------ functions


async def test_functions_are_called_by_name(subject: Subject) -> None:
    [workflow] = await subject.workflows("desk")
    first = await subject.user().rpc("create_draft", {"workflow_id": workflow, "config": {"agents": []}})
    assert (first["version"], first["config"]) == (1, {"agents": []})
    second = await subject.user().rpc("create_draft", {"workflow_id": workflow, "config": None})
    assert (second["version"], second["config"]) == (2, {"agents": []})
    await refused(subject.user(name="Umbrella").rpc("create_draft", {"workflow_id": workflow}), "not_found")
    await refused(subject.user("viewer").rpc("create_draft", {"workflow_id": workflow}), "not_found")
    made = await subject.access.of(Claims(user_id=str(uuid4()))).rpc("create_organization", {"name": "Own"})
    assert made["name"] == "Own"
    assert await subject.user().rpc("sets", {"texts": ["a", "b,{}"], "more": None}) == ["a", "b,{}"]
    assert await subject.user().rpc("nothing", {}) is None
    with pytest.raises(StoreUnreachable, match="db migrate"):
        await subject.user().rpc("not_there", {"a": 1})
    with pytest.raises(StoreUnreachable, match="db migrate"):
        await subject.user().rpc("sets", {"other": 1})


# ------------------------------------------------------------ faults


async def test_what_is_there_already_or_in_use_is_a_conflict(subject: Subject) -> None:
    [workflow] = await subject.workflows("desk")
    rows = subject.user("owner")
    fault = await refused(rows.insert("workflow", {"organization_id": subject.acme, "name": "desk"}), "conflict")
    assert fault.message == "There is one already (constraint workflow_organization_id_name_key)."
    version = await rows.rpc("create_draft", {"workflow_id": workflow, "config": {"agents": []}})
    await subject.service.insert(
        "call_session", {"organization_id": subject.acme, "workflow_version_id": version["id"], "channel": "web"}
    )
    await rows.insert("phone_number", {"organization_id": subject.acme, "number": "+4930123", "workflow_id": workflow})
    fault = await refused(
        rows.insert(
            "phone_number", {"organization_id": subject.acme, "number": "+4930124", "workflow_id": str(uuid4())}
        ),
        "conflict",
    )
    assert re.search("workflow", fault.message)
    await subject.user("owner").delete("organization_member", [("role", "in", ["builder", "viewer", "analyst"])])
    fault = await refused(rows.delete("organization_member", [("role", "eq", "owner")]), "conflict")
    assert (fault.message, fault.remedy) == (
        "An organization keeps at least one owner.",
        "Make somebody else an owner first.",
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"name": ""}, "A value is not one of those that are allowed (constraint workflow_name_check)."),
        ({"name": None}, "name must not be empty."),
        ({"name": "a\0b"}, None),
        ({"name": "a\ud800b"}, None),
        ({"name": "x", "organization_id": "no uuid, but s3cret"}, "Invalid input syntax for type uuid."),
        ({"name": "x", "description": float("nan")}, None),
        ({"name": "x" * 10_000}, None),
    ],
)
async def test_what_does_not_fit_is_refused_in_words(subject: Subject, row: Json, said: str | None) -> None:
    given = {"organization_id": subject.acme, **row}
    if row["name"] == "x" * 10_000:  # too long for an index unless it is squeezed; random text is not
        given["name"] = "".join(uuid4().hex for _ in range(400))
    fault = await refused(subject.user().insert("workflow", given), "refused")
    assert "s3cret" not in str(fault)
    assert "DETAIL" not in str(fault)
    assert said in {None, fault.message}


@pytest.mark.parametrize(
    "condition",
    [("id", "eq", "s3cret"), ("name", "eq", "a\0"), ("name", "eq", "\ud800"), ("name", "ilike", "a\\"),
     ("created_at", "lt", "tomorrow, or later"), ("id", "in", ["s3cret"])],
)  # fmt: skip
async def test_a_condition_that_no_column_can_have_is_refused(subject: Subject, condition: Any) -> None:
    fault = await refused(subject.user().select("workflow", where=[condition]), "refused")
    assert "s3cret" not in str(fault)


async def test_a_table_or_column_that_is_missing_is_told_to_be_migrated(subject: Subject) -> None:
    for work in (
        subject.user().select("not_there"),
        subject.user().select("workflow", columns=["not_there"]),
        subject.user().insert("workflow", {"not_there": 1}),
    ):
        with pytest.raises(StoreUnreachable, match="db migrate"):
            await work


async def test_a_database_that_is_away_is_unreachable(subject: Subject, databases: Databases) -> None:
    await databases.drop(subject.url)
    with pytest.raises(StoreUnreachable):
        await subject.user().select("workflow")
    with pytest.raises(StoreUnreachable):
        await subject.user().insert("workflow", {"organization_id": subject.acme, "name": "x"})


# ------------------------------------------------------------ each way by itself


async def test_a_statement_that_takes_too_long_is_ended(databases: Databases) -> None:
    database = Database(await databases.migrated())
    rows = PostgresRowAccess(database, timeout_s=0.05).of(Claims(user_id=str(uuid4())))
    connection = await asyncpg.connect(database._url)
    await connection.execute(FUNCTIONS)
    with pytest.raises(StoreUnreachable, match="took too long"):
        await rows.rpc("sleeps", {})
    assert await rows.select("workflow") == []
    await connection.close()
    await database.aclose()


async def test_a_connection_that_was_lost_before_anything_was_sent_is_made_again(databases: Databases) -> None:
    url = await databases.migrated()
    database = Database(url, max_connections=1)
    rows = PostgresRowAccess(database).of(SERVICE)
    await rows.select("workflow")
    other = await asyncpg.connect(url)
    await other.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert (await rows.insert("organization", {"name": "Acme"}))["name"] == "Acme"
    await other.close()
    await database.aclose()


async def test_who_may_not_become_a_user_is_told_what_to_grant(databases: Databases) -> None:
    url = await databases.migrated()
    connection = await asyncpg.connect(url)
    await connection.execute(
        "do $$ begin create role patchbay_nobody login; exception when duplicate_object then null; end $$"
    )
    await connection.execute("set session authorization patchbay_nobody")
    async with connection.transaction():
        with pytest.raises(StoreUnreachable, match="grant authenticated to"):
            await become(connection, Claims(user_id=str(uuid4())))
    await connection.close()


async def test_the_settings_say_which_way_in(tmp_path: Path, databases: Databases) -> None:
    supabase = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_SERVICE_ROLE_KEY": "key", "PATCHBAY_HOME": tmp_path}
    async with open_row_access(Settings.model_validate(supabase)) as rows:
        access = rows.access
        assert isinstance(access, SupabaseRowAccess)
        assert rows.database is None
        with pytest.raises(StoreUnreachable, match="cannot be reached"):
            await access.of(SERVICE).select("workflow")
        with pytest.raises(Unreachable, match="SUPABASE_JWT_SECRET"):
            await access.of(Claims(user_id="x")).select("workflow")
    url = await databases.migrated()
    async with open_row_access(Settings.model_validate(supabase | {"DATABASE_URL": url})) as rows:
        assert rows.database is not None
        assert await rows.access.of(SERVICE).select("organization") == []
    empty = Settings.model_validate({"DATABASE_URL": await databases.empty()})
    with pytest.raises(StoreUnreachable, match="db migrate"):
        async with open_row_access(empty):
            pass


def test_a_token_lives_for_minutes_and_is_kept_meanwhile() -> None:
    now = [1000.0]
    tokens = UserTokens(JWT_SECRET, clock=lambda: now[0])
    first = tokens.of(Claims(user_id="u", request_id="r-1"))
    assert tokens.of(Claims(user_id="u", request_id="r-2")) == first
    assert tokens.of(Claims(api_key_id="u")) != first
    said = jwt.decode(first, JWT_SECRET, algorithms=["HS256"], audience="authenticated", options={"verify_exp": False})
    assert said == {"role": "authenticated", "sub": "u", "aud": "authenticated", "exp": 1300}
    now[0] += 241
    assert tokens.of(Claims(user_id="u")) != first


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, '{"message": "Invalid API key"}'),
        (502, "<html>"),
        (200, "<html>"),
        (200, "{}"),
        (503, '{"code": "PGRST002"}'),
    ],
)
async def test_what_is_no_answer_of_the_api_is_unreachable(status: int, body: str) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=body)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(StoreUnreachable):
            await SupabaseRowAccess(http, "http://project.test/", "key").of(SERVICE).select("workflow")


async def test_without_the_secret_a_users_own_token_goes_along() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json=[])

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        access = SupabaseRowAccess(http, "http://project.test", "key")
        await access.of(Claims(user_id="u", token="the user's")).select("workflow", limit=1)
        with pytest.raises(Unreachable, match="API key"):
            await access.of(Claims(api_key_id="k")).select("workflow")
    assert seen == ["Bearer the user's"]


async def test_a_token_that_the_api_does_not_trust_names_the_secret() -> None:
    answer = httpx.Response(401, json={"code": "PGRST301", "message": "JWSError", "details": None, "hint": None})
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: answer)) as http:
        with pytest.raises(StoreUnreachable, match="SUPABASE_JWT_SECRET"):
            await (
                SupabaseRowAccess(http, "http://project.test", "key", jwt_secret="x" * 32)
                .of(Claims(user_id="u"))
                .select("workflow")
            )
