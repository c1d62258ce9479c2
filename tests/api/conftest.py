"""An API over a database of its own, and callers with keys of each role in two organizations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import jwt
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.auth import TokenAuthenticator, hash_of, new_key
from api.services import Services
from api.testing.sessions import open_test_sessions
from runtime.settings import Settings
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.pool import Database
from runtime.store.postgres import PostgresStore
from runtime.store.row_access import SERVICE
from runtime.store.row_access_postgres import PostgresRowAccess
from runtime.store.secrets import Keyring
from tests.fakes.databases import Databases

JWT_SECRET = "secret-of-the-tests-0123456789abcdef"
ROLES = ("owner", "builder", "analyst", "viewer")


@dataclass(frozen=True)
class Tenant:
    """An organization with a key and a user for each role; keys are `Authorization` headers."""

    id: str
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)

    def user(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {user_token(self.users[role])}"}


def user_token(user_id: str, **claims: object) -> str:
    known = {"sub": user_id, "aud": "authenticated", "role": "authenticated", "exp": 4_000_000_000}
    return jwt.encode(known | claims, JWT_SECRET, algorithm="HS256")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("home")).start()
    try:
        yield Databases(server.dsn)
    finally:
        server.stop()


@pytest.fixture
async def url(databases: Databases) -> str:
    return await databases.migrated()


@pytest.fixture
async def services(url: str, tmp_path: Path) -> AsyncIterator[Services]:
    settings = Settings.model_validate({"PATCHBAY_HOME": tmp_path, "DATABASE_URL": url})
    store, database = PostgresStore(url), Database(url)
    access = PostgresRowAccess(database)
    keyring = Keyring(["b" * 43 + "="])
    async with open_test_sessions(settings, store, keyring) as tests:
        yield Services(
            settings=settings,
            store=store,
            access=access,
            keyring=keyring,
            authenticator=TokenAuthenticator(access, jwt_secret=JWT_SECRET),
            tests=tests,
            database=database,
        )
    await store.aclose()
    await database.aclose()


@pytest.fixture
def app(services: Services) -> FastAPI:
    return create_app(services)


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
        yield client


@pytest.fixture
async def acme(services: Services) -> Tenant:
    return await a_tenant(services, "Acme")


@pytest.fixture
async def umbrella(services: Services) -> Tenant:
    return await a_tenant(services, "Umbrella")


async def a_tenant(services: Services, name: str) -> Tenant:
    tenant = Tenant((await services.store.ensure_organization(name)).id)
    rows = services.access.of(SERVICE)
    for role in ROLES:
        key = new_key()
        await rows.insert(
            "api_key",
            {"organization_id": tenant.id, "name": role, "prefix": key[:9], "key_hash": hash_of(key), "role": role},
            returning=["id"],
        )
        tenant.keys[role] = {"Authorization": f"Bearer {key}"}
        tenant.users[role] = str(uuid4())
        await rows.insert(
            "organization_member", {"organization_id": tenant.id, "user_id": tenant.users[role], "role": role}
        )
    return tenant
