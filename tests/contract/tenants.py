"""Two organizations with a row in every table, and whoever may ask for them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from runtime.session.ports import CallRow
from runtime.store.postgres import PostgresStore
from tests.contract.rows import a_call, some_events

__all__ = ["ROLES", "Tenant", "acting", "fill", "relations"]

Connection = Any
Json = Any

ROLES = ("owner", "builder", "analyst", "viewer")
CONFIG = {
    "agents": [
        {
            "id": "intake",
            "name": "Intake",
            "instructions": "",
            "tools": [{"tool_type": "check_order", "config": {}}],
            "paths": [
                {
                    "id": "p",
                    "name": "To Billing",
                    "target_agent_id": "billing",
                    "required_variables": [{"name": "customer_id"}],
                }
            ],
        },
        {"id": "billing", "name": "Billing", "instructions": ""},
    ]
}
# What a column of a type holds where nothing else is known; anything else is null, or its default.
_VALUES: Mapping[str, Json] = {
    "text": "x",
    "integer": 1,
    "bigint": 1,
    "numeric": 1,
    "double precision": 1,
    "boolean": False,
    "date": "2026-05-03",
    "timestamp with time zone": "2026-05-03T15:30:00Z",
    "jsonb": {},
    "text[]": [],
    "bigint[]": [1] * 12,
    "integer[]": [1],
}
_COLUMNS = """
select a.attname, pg_catalog.format_type(a.atttypid, null) as type from pg_catalog.pg_attribute a
where a.attrelid = ('public.' || $1)::regclass and a.attnum > 0 and not a.attisdropped and a.attnotnull and not a.atthasdef
  and a.attidentity = ''
"""


@dataclass
class Tenant:
    """An organization with one row in every table, and a member and API keys for each role."""

    organization_id: str
    call: CallRow
    members: dict[str, UUID] = field(default_factory=dict)
    keys: dict[str, UUID] = field(default_factory=dict)
    ended_keys: dict[str, UUID] = field(default_factory=dict)
    base_id: str = ""

    @property
    def ids(self) -> set[str]:
        """What names it, in the columns that say whose a row is."""
        return {self.organization_id, self.call.id, self.base_id}


@asynccontextmanager
async def acting(
    connection: Connection, role: str, user: UUID | None = None, key: UUID | None = None
) -> AsyncIterator[None]:
    """Be `role` with the token of `user` or of an API key until the block ends; what it changed is undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"set local role {role}")
        ids = {"sub": user, "api_key_id": key}
        claims = json.dumps({"role": role, **{name: str(value) for name, value in ids.items() if value}})
        await connection.execute("select set_config('request.jwt.claims', $1, true)", claims)
        yield
    finally:
        await transaction.rollback()


async def relations(connection: Connection, *kinds: str) -> list[str]:
    """The names of what stands in the schema public: `r` and `p` tables, `v` and `m` views."""
    found = await connection.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind::text = any ($1) order by 1",
        list(kinds),
    )
    return [row[0] for row in found]


async def fill(store: PostgresStore, connection: Connection, name: str) -> Tenant:
    organization_id = (await store.ensure_organization(name)).id
    tenant = Tenant(organization_id, a_call(organization_id, is_test=False))
    version = await store.publish((await store.save_draft(organization_id, "support", CONFIG)).id)
    await store.set_variable(organization_id, "KEY", "token", is_secret=True)
    await store.open_call(tenant.call)
    await store.append(some_events(tenant.call, 1, secret="token"))
    ids = {"organization_id": organization_id, "workflow_id": version.workflow_id, "session_id": tenant.call.id}
    tenant.base_id = await add(connection, "knowledge_base", ids)
    ids["knowledge_base_id"] = tenant.base_id
    ids["document_id"] = await add(connection, "knowledge_document", ids | {"sha256": "0" * 64})
    await add(connection, "knowledge_chunk", ids | {"language": "english"})
    await add(connection, "knowledge_lexeme", ids)
    await add(connection, "after_call", ids)
    for table in ("call_lease", "call_checkpoint", "late_event"):
        await add(connection, table, ids)
    await add(connection, "phone_number", ids | {"number": "+4930123"})
    await add(connection, "webhook_delivery", ids)
    await add(connection, "test_session", ids | {"workflow_version_id": version.id})
    for role in ROLES:
        tenant.members[role] = uuid4()
        await add(connection, "organization_member", ids | {"user_id": str(tenant.members[role]), "role": role})
        tenant.keys[role] = await _key(connection, ids, role)
    tenant.ended_keys = {
        "revoked": await _key(connection, ids, "owner", revoked_at="2026-01-01T00:00:00Z"),
        "expired": await _key(connection, ids, "owner", expires_at="2026-01-01T00:00:00Z"),
    }
    await _figures(connection, ids | {"workflow_version_id": version.id})
    return tenant


async def add(connection: Connection, table: str, known: Mapping[str, Json], **more: Json) -> str:
    """Insert a row whose columns are what is known, or anything; return what its first column is."""
    needed = {row["attname"]: row["type"] for row in await connection.fetch(_COLUMNS, table)}
    own = {row[0] for row in await connection.fetch(_ALL_COLUMNS, table)}
    values = {name: str(uuid4()) if kind == "uuid" else _VALUES[kind] for name, kind in needed.items()}
    values |= {name: value for name, value in (known | more).items() if name in own}
    columns = ", ".join(values)
    found = await connection.fetchval(
        f"insert into public.{table} as t ({columns}) select {columns} from jsonb_populate_record(null::public.{table}, $1::text::jsonb) "  # noqa: S608 - our own names
        "returning (select value from jsonb_each_text(to_jsonb(t)) where key = 'id')",
        json.dumps(values),
    )
    return str(found)


_ALL_COLUMNS = (
    "select attname from pg_catalog.pg_attribute where attrelid = ('public.' || $1)::regclass "
    "and attnum > 0 and not attisdropped and attgenerated = ''"
)


async def _key(connection: Connection, ids: Mapping[str, Json], role: str, **more: Json) -> UUID:
    digest = sha256(uuid4().bytes).hexdigest()
    return UUID(await add(connection, "api_key", ids, role=role, key_hash=digest, **more))


async def _figures(connection: Connection, ids: Mapping[str, Json]) -> None:
    """Facts as calls leave them, and totals of them: whatever a table of figures is called, it ends so."""
    await add(connection, "call_fact", ids)
    for table in await relations(connection, "r"):
        if table.endswith("_fact") and table != "call_fact":
            await add(connection, table, ids)
    for subject in ("call", "agent", "path", "refusal", "variable", "tool", "turn", "usage"):
        await add(connection, "daily_total", ids, subject=subject, histogram=[1, 1, 1])
    await add(connection, "retention_run", ids)
