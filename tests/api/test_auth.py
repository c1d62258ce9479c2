"""Whose a token is, and that nothing else passes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.warnings import InsecureKeyLengthWarning

from api.access import PERMISSIONS, READS, Principal, permissions_of
from api.auth import TokenAuthenticator, hash_of, new_key, open_authenticator
from api.jwks import Jwks
from api.local import local_secret
from api.problems import Problem
from api.services import Services
from runtime.settings import Settings
from runtime.store.row_access import SERVICE, Claims
from tests.api.conftest import JWT_SECRET, ROLES, Tenant, user_token
from tests.examples import examples

Json = Any
USER = str(uuid4())
ORGANIZATION = str(uuid4())


class Table:
    """A way to rows that are all in memory: what the authenticator asks of one."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Json]]] = {
            "api_key": [],
            "organization_member": [{"user_id": USER, "organization_id": ORGANIZATION, "role": "builder"}],
        }
        self.asked = 0

    def of(self, claims: Claims) -> Any:
        assert claims == SERVICE
        return self

    async def select(
        self, table: str, *, columns: Sequence[str], where: Sequence[Any], limit: int | None = None
    ) -> list[Mapping[str, Json]]:
        self.asked += 1
        [(column, how, value)] = where
        assert how == "eq"
        return [{name: row[name] for name in columns} for row in self.rows[table] if row[column] == value][:limit]

    def add_key(self, **fields: Json) -> str:
        key = new_key()
        known = {"scopes": None, "expires_at": None, "revoked_at": None, "role": "builder"}
        self.rows["api_key"].append(
            {"id": str(uuid4()), "organization_id": ORGANIZATION, "key_hash": hash_of(key)} | known | fields
        )
        return key


class Server:
    """A sign-in server with keys of its own."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.extra: list[Json] = []
        self.asked = 0
        self.away = False
        self.now = 0.0
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url == "https://project.test/auth/v1/.well-known/jwks.json"
        self.asked += 1
        if self.away:
            raise httpx.ConnectError("nobody there")
        return httpx.Response(200, json={"keys": [self.public(kid) for kid in self.keys] + self.extra})

    def public(self, kid: str) -> dict[str, Json]:
        key = self.keys[kid].public_key()
        algorithm = ECAlgorithm if isinstance(key, ec.EllipticCurvePublicKey) else RSAAlgorithm
        return json.loads(algorithm.to_jwk(key)) | {"kid": kid, "use": "sig"}  # type: ignore[no-any-return]

    def jwks(self) -> Jwks:
        return Jwks(self.http, "https://project.test/auth/v1/.well-known/jwks.json", clock=lambda: self.now)

    def token(self, kid: str, *, algorithm: str = "ES256", **claims: Json) -> str:
        return jwt.encode(payload(**claims), self.keys[kid], algorithm=algorithm, headers={"kid": kid})


@pytest.fixture(scope="module")
def server_keys() -> dict[str, Any]:
    return {
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "new": ec.generate_private_key(ec.SECP256R1()),
    }


@pytest.fixture
def server(server_keys: dict[str, Any]) -> Server:
    found = Server()
    found.keys = {name: key for name, key in server_keys.items() if name != "new"}
    return found


@pytest.fixture
def table() -> Table:
    return Table()


def payload(**claims: Json) -> dict[str, Json]:
    known = {"sub": USER, "aud": "authenticated", "role": "authenticated", "exp": int(time.time()) + 3600}
    return {name: value for name, value in (known | claims).items() if value is not ...}


def signed(secret: str = JWT_SECRET, algorithm: str = "HS256", **claims: Json) -> str:
    return jwt.encode(payload(**claims), secret, algorithm=algorithm)


async def why_not(authenticator: TokenAuthenticator, token: str) -> str:
    with pytest.raises(Problem) as caught:
        await authenticator.principal(token)
    problem = caught.value
    assert (problem.status, problem.code) == (401, "unauthenticated")
    assert problem.headers["WWW-Authenticate"].startswith("Bearer")
    assert not token or len(token) < 8 or token not in str(problem.body(None))
    return problem.detail


# ------------------------------------------------------------ API keys


async def test_a_key_is_its_organization_its_role_and_its_scopes(table: Table) -> None:
    authenticator = TokenAuthenticator(table)
    whole = await authenticator.principal(table.add_key())
    assert whole == Principal("api_key", table.rows["api_key"][0]["id"], {ORGANIZATION: "builder"})
    narrow = await authenticator.principal(table.add_key(scopes=["workflows:read"], role="owner"))
    assert narrow.may("workflows:read", ORGANIZATION)
    assert not narrow.may("workflows:write", ORGANIZATION)
    assert not narrow.may("workflows:read", str(uuid4()))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"revoked_at": "2026-05-03T15:30:00+00:00"}, "revoked"),
        ({"expires_at": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()}, "expired"),
    ],
)
async def test_a_key_that_has_ended_does_not_pass(table: Table, fields: Json, said: str) -> None:
    assert said in await why_not(TokenAuthenticator(table), table.add_key(**fields))


async def test_an_unknown_key_does_not_pass(table: Table) -> None:
    authenticator = TokenAuthenticator(table)
    assert "no such" in await why_not(authenticator, new_key())
    asked = table.asked
    for key in ("pb_", "pb_x", new_key() + "x", new_key()[:-1] + "ü", "pb_" + "\ud800" * 43):
        assert "no such" in await why_not(authenticator, key)
    assert table.asked == asked


async def test_a_revoked_key_dies_soon(table: Table) -> None:
    now = [0.0]
    authenticator = TokenAuthenticator(table, clock=lambda: now[0])
    key = table.add_key()
    await authenticator.principal(key)
    table.rows["api_key"][0]["revoked_at"] = "2026-05-03T15:30:00+00:00"
    now[0] += 4.9
    await authenticator.principal(key)
    assert table.asked == 1
    now[0] += 5.1
    assert "revoked" in await why_not(authenticator, key)


async def test_a_key_that_is_forgotten_is_read_again(table: Table) -> None:
    authenticator = TokenAuthenticator(table)
    key = table.add_key()
    principal = await authenticator.principal(key)
    table.rows["api_key"][0]["revoked_at"] = "2026-05-03T15:30:00+00:00"
    authenticator.forget(principal.id)
    assert "revoked" in await why_not(authenticator, key)


async def test_a_kept_key_still_expires_on_time(table: Table) -> None:
    authenticator = TokenAuthenticator(table)
    key = table.add_key()
    await authenticator.principal(key)
    ((_, row),) = authenticator._kept.values()
    row["expires_at"] = datetime.now(UTC).isoformat()
    assert "expired" in await why_not(authenticator, key)


async def test_what_is_kept_is_bounded(table: Table) -> None:
    authenticator = TokenAuthenticator(table)
    for _ in range(1005):
        await authenticator.principal(table.add_key())
    assert len(authenticator._kept) == 1000


# ------------------------------------------------------------ users, by a secret


async def test_a_user_has_a_role_in_each_organization(table: Table) -> None:
    other = str(uuid4())
    table.rows["organization_member"].append({"user_id": USER, "organization_id": other, "role": "viewer"})
    principal = await TokenAuthenticator(table, jwt_secret=JWT_SECRET).principal(signed(sub=USER.upper()))
    assert principal == Principal("user", USER, {ORGANIZATION: "builder", other: "viewer"})
    stranger = await TokenAuthenticator(table, jwt_secret=JWT_SECRET).principal(signed(sub=str(uuid4())))
    assert stranger.organizations == {}


NOW = int(time.time())


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": NOW - 31}, "expired"),
        ({"exp": ...}, "missing"),
        ({"exp": "soon"}, "no token"),
        ({"exp": 1e400}, "accepted"),
        ({"nbf": NOW + 600}, "not valid yet"),
        ({"sub": ...}, "missing"),
        ({"sub": "me"}, "no token"),
        ({"sub": ""}, "accepted"),
        ({"sub": 7}, "no token"),
        ({"aud": ...}, "missing"),
        ({"aud": "anon"}, "aud"),
        ({"role": "anon"}, "signed-in"),
        ({"role": "service_role"}, "signed-in"),
        ({"is_anonymous": True}, "anonymous"),
        ({"role": ...}, "signed-in"),
        ({"role": ["authenticated"]}, "signed-in"),
    ],
)
async def test_claims_that_are_no_signed_in_users(table: Table, claims: Json, said: str) -> None:
    assert said in await why_not(TokenAuthenticator(table, jwt_secret=JWT_SECRET), signed(**claims))


async def test_the_clocks_may_differ_by_half_a_minute(table: Table) -> None:
    token = signed(exp=int(time.time()) - 20, nbf=int(time.time()) + 20)
    await TokenAuthenticator(table, jwt_secret=JWT_SECRET).principal(token)


async def test_the_keys_of_a_project_are_nobodys(table: Table) -> None:
    authenticator = TokenAuthenticator(table, jwt_secret=JWT_SECRET)
    for role in ("anon", "service_role"):
        token = jwt.encode({"iss": "supabase", "role": role, "exp": 4_000_000_000}, JWT_SECRET, algorithm="HS256")
        await why_not(authenticator, token)


async def test_another_secret_does_not_pass(table: Table) -> None:
    authenticator = TokenAuthenticator(table, jwt_secret=JWT_SECRET, more_secrets=["m" * 32])
    assert (await authenticator.principal(signed("m" * 32))).id == USER
    assert (await authenticator.principal(signed())).id == USER
    assert "signature" in await why_not(authenticator, signed("x" * 32))
    assert "this way" in await why_not(authenticator, signed("m" * 64, algorithm="HS512"))
    assert "this way" in await why_not(TokenAuthenticator(table), signed())


async def test_a_home_has_users_of_its_own(table: Table, tmp_path: Path) -> None:
    known = Settings.model_validate({"PATCHBAY_HOME": tmp_path, "SUPABASE_JWT_SECRET": JWT_SECRET})
    async with open_authenticator(known, table, local=True) as authenticator:
        for secret in (JWT_SECRET, local_secret(tmp_path)):
            assert (await authenticator.principal(signed(secret))).id == USER
    async with open_authenticator(known, table) as authenticator:
        assert "signature" in await why_not(authenticator, signed(local_secret(tmp_path)))
    assert (tmp_path / "jwt.secret").stat().st_mode & 0o777 == 0o600


# ------------------------------------------------------------ users, by public keys


async def test_users_signed_in_with_public_keys(table: Table, server: Server) -> None:
    authenticator = TokenAuthenticator(table, jwks=server.jwks())
    for kid, algorithm in (("ec", "ES256"), ("rsa", "RS256")):
        assert (await authenticator.principal(server.token(kid, algorithm=algorithm))).id == USER
    assert server.asked == 1
    assert "expired" in await why_not(authenticator, server.token("ec", exp=NOW - 60))
    assert "signed-in" in await why_not(authenticator, server.token("ec", role="anon"))


async def test_a_public_key_is_no_secret(table: Table, server: Server) -> None:
    """The classic: HS256 over the public key's text, which everybody has."""
    authenticator = TokenAuthenticator(table, jwt_secret=JWT_SECRET, jwks=server.jwks())
    public = server.keys["rsa"].public_key()
    for text in (
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(server.public("rsa")).encode(),
    ):
        forged = by_hand({"alg": "HS256", "kid": "rsa"}, text)
        assert "signature" in await why_not(authenticator, forged)
        assert "this way" in await why_not(TokenAuthenticator(table, jwks=server.jwks()), forged)
    # A key of one algorithm checks no other, and the secret's algorithm is not the keys' even with their id.
    assert "names" not in await why_not(authenticator, by_hand({"alg": "none", "kid": "rsa"}, b""))
    mixed = jwt.encode(payload(), server.keys["rsa"], algorithm="RS256", headers={"kid": "ec"})
    assert "does not name" in await why_not(authenticator, mixed)
    unasked = jwt.encode(payload(), server.keys["rsa"], algorithm="RS512", headers={"kid": "rsa"})
    assert "this way" in await why_not(authenticator, unasked)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 7, "HS384", "ES512", "PS256"])
async def test_other_algorithms_do_not_pass(table: Table, server: Server, algorithm: Json) -> None:
    authenticator = TokenAuthenticator(table, jwt_secret=JWT_SECRET, jwks=server.jwks())
    await why_not(authenticator, by_hand({"alg": algorithm, "kid": "ec"}, JWT_SECRET.encode()))
    await why_not(authenticator, by_hand({"alg": algorithm}, b"").rpartition(".")[0] + ".")


async def test_only_keys_for_signatures_count(table: Table, server: Server) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - that is the point
    server.keys["weak"] = weak
    server.extra = [
        {"kid": "oct", "kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "alg": "HS256"},
        {"kid": "enc", "use": "enc"} | {k: v for k, v in server.public("rsa").items() if k not in {"kid", "use"}},
        {"kid": "bad", "kty": "EC", "crv": "P-256", "x": "?", "y": 1},
        "nothing",
        {"kid": ["ec"], "kty": "RSA"},
    ]
    authenticator = TokenAuthenticator(table, jwks=server.jwks())
    with pytest.warns(InsecureKeyLengthWarning):
        token = server.token("weak", algorithm="RS256")
    assert "does not name" in await why_not(authenticator, token)
    forged = jwt.encode(payload(), server.keys["rsa"], algorithm="RS256", headers={"kid": "enc"})
    assert "does not name" in await why_not(authenticator, forged)
    assert "this way" in await why_not(authenticator, by_hand({"alg": "HS256", "kid": "oct"}, b"x" * 32))
    assert (await authenticator.principal(server.token("ec"))).id == USER


async def test_a_new_key_is_found_and_guessing_costs_one_request_in_half_a_minute(
    table: Table, server: Server, server_keys: dict[str, Any]
) -> None:
    authenticator = TokenAuthenticator(table, jwks=server.jwks())
    await authenticator.principal(server.token("ec"))
    server.keys = {"new": server_keys["new"]}
    for _ in range(5):
        await why_not(authenticator, server.token("new"))
    assert server.asked == 1
    server.now += 30
    assert (await authenticator.principal(server.token("new"))).id == USER
    assert server.asked == 2
    server.now += 599
    await authenticator.principal(server.token("new"))
    assert server.asked == 2
    server.now += 1
    await authenticator.principal(server.token("new"))
    assert server.asked == 3


async def test_old_keys_are_kept_while_the_server_is_away(table: Table, server: Server) -> None:
    authenticator = TokenAuthenticator(table, jwks=server.jwks())
    await authenticator.principal(server.token("ec"))
    server.away = True
    server.now += 700
    assert (await authenticator.principal(server.token("ec"))).id == USER
    assert server.asked == 2
    assert (await authenticator.principal(server.token("rsa", algorithm="RS256"))).id == USER
    assert server.asked == 2
    gone = server.keys.pop("ec")
    server.away, server.now = False, server.now + 30
    token = jwt.encode(payload(), gone, algorithm="ES256", headers={"kid": "ec"})
    assert "does not name" in await why_not(authenticator, token)


@pytest.mark.parametrize("body", ["", "[]", '{"keys": 1}', "{" * 5000, "[" * 300_000, '{"keys": [' + '"x",' * 90_000])
async def test_an_answer_that_is_no_set_of_keys(body: str) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, text=body))) as http:
        assert await Jwks(http, "https://project.test/keys").key("ec", "ES256") is None


# ------------------------------------------------------------ garbage


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def by_hand(header: Mapping[str, Json], key: bytes, body: Mapping[str, Json] | None = None) -> str:
    """Sign without the library, which refuses to sign what nobody should."""
    signed_part = (
        f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(payload() if body is None else body).encode())}"
    )
    return f"{signed_part}.{encoded(hmac.new(key, signed_part.encode(), hashlib.sha256).digest())}"


_part = st.one_of(st.binary(max_size=200), st.sampled_from([b"{}", b"[]", b"null", b"[" * 9000, b'{"alg":"HS256"}', b'{"alg":"ES256","kid":{}}', b'{"a":' * 2000]))  # fmt: skip
_tokens = st.one_of(
    st.text(max_size=300),
    st.builds(lambda *parts: ".".join(map(encoded, parts)), _part, _part, _part),
    st.builds(
        lambda header, body: by_hand({"typ": "JWT", "alg": "HS256"} | header, JWT_SECRET.encode(), body),
        st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "typ"]), st.one_of(st.none(), st.text(max_size=9), st.integers(), st.lists(st.text(max_size=3)))),
        st.dictionaries(st.sampled_from(["sub", "aud", "exp", "nbf", "iat", "role"]), st.one_of(st.none(), st.text(max_size=9), st.integers(), st.floats(), st.just(USER), st.lists(st.integers()))),
    ),
)  # fmt: skip


@given(token=_tokens)
@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_garbage_passes_or_breaks_anything(server: Server, token: str) -> None:
    authenticator = TokenAuthenticator(Table(), jwt_secret=JWT_SECRET, more_secrets=["m" * 32], jwks=server.jwks())
    with pytest.raises(Problem) as caught:
        await authenticator.principal(token)
    assert caught.value.status == 401


@given(at=st.integers(min_value=0, max_value=10_000), bit=st.integers(min_value=0, max_value=5))
@settings(max_examples=examples(200), deadline=None)
async def test_no_token_passes_with_one_character_changed(at: int, bit: int) -> None:
    token = signed()
    at %= len(token) - 1  # the last character has bits that say nothing
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if token[at] == ".":
        changed = token[:at] + "A" + token[at + 1 :]
    else:
        changed = token[:at] + alphabet[alphabet.index(token[at]) ^ (1 << bit)] + token[at + 1 :]
    with pytest.raises(Problem):
        await TokenAuthenticator(Table(), jwt_secret=JWT_SECRET).principal(changed)


# ------------------------------------------------------------ permissions


def test_each_role_may_what_the_next_may_and_more() -> None:
    assert READS == permissions_of("viewer") == permissions_of("analyst")
    assert permissions_of("viewer") < permissions_of("builder") < permissions_of("owner") == PERMISSIONS


# ------------------------------------------------------------ over HTTP


@pytest.mark.server
async def test_requests_with_and_without_a_token(http: httpx.AsyncClient, acme: Tenant) -> None:
    for role in ROLES:
        for headers in (acme.keys[role], acme.user(role)):
            assert (await http.get("/api/workflows", headers=headers)).status_code == 200
    for headers in (
        {},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {new_key()}"},
        {"Authorization": f"Bearer {user_token(acme.users['owner'], role='service_role')}"},
        {"Authorization": "Bearer \xff\xfe"},
    ):
        answer = await http.get(
            "/api/workflows", headers={name: value.encode("latin-1") for name, value in headers.items()}
        )
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.server
async def test_a_member_who_leaves_is_out_at_once(http: httpx.AsyncClient, acme: Tenant, services: Services) -> None:
    headers = acme.user("viewer")
    assert (await http.get("/api/workflows", headers=headers)).status_code == 200
    await services.access.of(SERVICE).delete("organization_member", [("user_id", "eq", acme.users["viewer"])])
    assert (await http.get("/api/workflows", headers=headers)).status_code == 403
