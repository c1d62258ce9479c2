"""`patchbay key`, on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from api.auth import hash_of
from runtime.store.embedded import EmbeddedPostgres
from tests.cli.conftest import Patchbay
from tests.fakes.databases import Databases

pytestmark = pytest.mark.server

Json = dict[str, Any]


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("home")).start()
    try:
        yield Databases(server.dsn)
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def url(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> str:
    found = asyncio.run(databases.migrated())
    monkeypatch.setenv("DATABASE_URL", found)
    return found


@pytest.fixture
def acme(patchbay: Patchbay) -> str:
    return str(said(patchbay, "org", "create", "Acme")["id"])


def said(patchbay: Patchbay, *args: str) -> Json:
    result = patchbay(*args, "--json")
    assert result.exit_code == 0, result.output
    found: Json = json.loads(result.stdout)
    return found


def stored(url: str) -> list[Json]:
    async def read() -> list[Json]:
        connection = await asyncpg.connect(url)
        rows = await connection.fetch("select * from api_key order by created_at, id")
        await connection.close()
        return [dict(row) for row in rows]

    return asyncio.run(read())


@pytest.mark.parametrize("role", ["owner", "builder", "analyst", "viewer"])
def test_a_key_is_shown_once_and_its_hash_is_kept(patchbay: Patchbay, url: str, acme: str, role: str) -> None:
    made = said(patchbay, "key", "create", "--org", acme, "--role", role)
    assert set(made) == {"id", "key"}
    [row] = stored(url)
    assert (str(row["id"]), str(row["organization_id"]), row["role"], row["name"]) == (made["id"], acme, role, role)
    assert (row["key_hash"], row["prefix"]) == (hash_of(made["key"]), made["key"][:9])
    assert (row["scopes"], row["expires_at"], row["revoked_at"]) == (None, None, None)


def test_for_people_the_key_alone_is_on_stdout(patchbay: Patchbay, acme: str) -> None:
    result = patchbay("key", "create", "--org", "Acme", "--role", "viewer")
    assert result.stdout.startswith("pb_")
    assert len(result.stdout.splitlines()) == 1
    assert "not shown again" in result.stderr


def test_a_key_can_be_narrow_and_end(patchbay: Patchbay, url: str, acme: str) -> None:
    scopes = ["--scope", "workflows:write", "--scope", "workflows:read", "--scope", "workflows:read"]
    said(patchbay, "key", "create", "--org", acme, "--role", "builder", "--name", "CI", "--expires-in", "90d", *scopes)
    [row] = stored(url)
    assert (row["name"], row["scopes"]) == ("CI", ["workflows:read", "workflows:write"])
    assert abs(row["expires_at"] - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=2)
    listed = said(patchbay, "key", "list", "--org", acme)["keys"]
    assert [each["name"] for each in listed] == ["CI"]
    assert not {"key", "key_hash"} & set(listed[0])
    assert "until" in patchbay("key", "list", "--org", acme).stdout


def test_a_key_is_revoked_once(patchbay: Patchbay, url: str, acme: str) -> None:
    made = said(patchbay, "key", "create", "--org", acme, "--role", "viewer")
    assert patchbay("key", "revoke", made["id"]).exit_code == 0
    first = stored(url)[0]["revoked_at"]
    assert first is not None
    again = patchbay("key", "revoke", made["id"])
    assert (again.exit_code, stored(url)[0]["revoked_at"]) == (0, first)
    assert "before" in again.stderr
    assert "revoked" in patchbay("key", "list", "--org", acme).stdout
    for unknown in (str(uuid4()), "x"):
        assert patchbay("key", "revoke", unknown).exit_code == 1


def test_without_org_it_is_the_one_of_the_settings(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch, url: str, acme: str
) -> None:
    monkeypatch.setenv("PATCHBAY_ORG", "Acme")
    said(patchbay, "key", "create", "--role", "viewer")
    monkeypatch.setenv("PATCHBAY_ORG", "New one")
    said(patchbay, "key", "create", "--role", "viewer")
    first, second = stored(url)
    assert str(first["organization_id"]) == acme
    assert [each["name"] for each in said(patchbay, "org", "list")["organizations"]] == ["Acme", "New one"]
    assert second["organization_id"] != first["organization_id"]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--role", "king"], 2),
        ([], 2),
        (["--role", "viewer", "--scope", "workflows:write"], 2),
        (["--role", "viewer", "--scope", "everything\x1b"], 2),
        (["--role", "viewer", "--expires-in", "0d"], 2),
        (["--role", "viewer", "--expires-in", "soon"], 2),
        (["--role", "viewer", "--expires-in", "999999w"], 2),
        (["--role", "viewer", "--name", " "], 2),
        (["--role", "viewer", "--name", "a\ud800"], 2),
        (["--role", "viewer", "--org", "Umbrella"], 1),
        (["--role", "viewer", "--org", str(uuid4())], 1),
    ],
)
def test_what_makes_no_key(patchbay: Patchbay, url: str, args: list[str], code: int) -> None:
    result = patchbay("key", "create", *args)
    assert result.exit_code == code, result.output
    assert "\x1b" not in result.output
    assert stored(url) == []


def test_organizations_of_one_name_are_told_apart_by_id(patchbay: Patchbay, acme: str) -> None:
    second = patchbay("org", "create", "Acme", "--json")
    other = json.loads(second.stdout)
    assert set(other) == {"id", "name"}
    assert other["id"] != acme
    assert "1 more of this name" in second.stderr
    refused = patchbay("key", "create", "--org", "Acme", "--role", "viewer")
    assert refused.exit_code == 2
    assert acme in refused.stderr
    assert said(patchbay, "key", "list", "--org", other["id"]) == {"keys": []}
    assert patchbay("organization", "create", "").exit_code == 2


def test_a_database_that_is_away_is_3(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pw-secret@127.0.0.1:1/db")
    for args in (["org", "create", "Acme"], ["org", "list"], ["key", "list"], ["key", "revoke", str(uuid4())]):
        result = patchbay(*args)
        assert result.exit_code == 3, result.output
        assert "pw-secret" not in result.output
