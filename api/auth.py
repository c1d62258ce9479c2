"""Whose a token is: API keys by their hash, users by the signature of their access token."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import httpx
import jwt

from api.access import Principal
from api.jwks import ASYMMETRIC, Jwks
from api.local import local_secret
from api.problems import Problem
from runtime.settings import Settings
from runtime.store.row_access import SERVICE, RowAccess

__all__ = ["KEY_PREFIX", "TokenAuthenticator", "hash_of", "new_key", "open_authenticator"]

Json = Any
KEY_PREFIX: Final = "pb_"
_KEY: Final = re.compile(r"pb_[A-Za-z0-9_-]{43}")
_KEY_COLUMNS: Final = ("id", "organization_id", "role", "scopes", "expires_at", "revoked_at")
_KEPT_S: Final = 5.0
_MOST_KEPT: Final = 1000
_LONGEST_TOKEN: Final = 16 * 1024
_LEEWAY_S: Final = 30
# Before its signature is checked a token is anybody's text: deep nesting, huge numbers and lone surrogates are in it.
_BROKEN: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
_WHY: Final[Mapping[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "it has expired; sign in again",
    jwt.ImmatureSignatureError: "it is not valid yet; the clocks may differ",
    jwt.InvalidAudienceError: "it is not meant for signed-in users (aud)",
    jwt.MissingRequiredClaimError: "a claim is missing (exp, sub and aud are needed)",
    jwt.InvalidSignatureError: "its signature does not match",
}


def new_key() -> str:
    """Return a new API key: `pb_` and 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    """Return what is stored of a key: the SHA-256 of its text in hex. Its bits are random, so no slow hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


class TokenAuthenticator:
    """An `Authenticator` over the database's keys and members.

    `jwt_secret` and `more_secrets` sign users' tokens with HS256, the keys of `jwks` with ES256 or RS256; a token is checked
    only by what its algorithm belongs to. An API key is read again after `keep_s` at the latest, so a revoked one dies soon;
    a user's memberships are read each time.
    """

    def __init__(
        self,
        access: RowAccess,
        *,
        jwt_secret: str | None = None,
        more_secrets: Sequence[str] = (),
        jwks: Jwks | None = None,
        keep_s: float = _KEPT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rows = access.of(SERVICE)
        self._secrets = ([jwt_secret] if jwt_secret else []) + list(more_secrets)
        self._jwks = jwks
        self._keep_s = keep_s
        self._clock = clock
        self._kept: dict[str, tuple[float, dict[str, Json]]] = {}

    async def principal(self, token: str) -> Principal:
        if token.startswith(KEY_PREFIX):
            return await self._of_key(token)
        return await self._of_user(token)

    def forget(self, key_id: str) -> None:
        """Read this API key again at its next use: it was revoked, or changed."""
        self._kept = {known: kept for known, kept in self._kept.items() if kept[1]["id"] != key_id}

    # ------------------------------------------------------------ API keys

    async def _of_key(self, token: str) -> Principal:
        row = await self._key_row(hash_of(token)) if _KEY.fullmatch(token) else None
        if row is None:
            raise _refused("There is no such API key.")
        if row["revoked_at"] is not None:
            raise _refused("The API key was revoked.")
        if row["expires_at"] is not None and datetime.fromisoformat(row["expires_at"]) <= datetime.now(UTC):
            raise _refused("The API key has expired.")
        scopes = frozenset(row["scopes"]) if row["scopes"] is not None else None
        return Principal("api_key", row["id"], {row["organization_id"]: row["role"]}, scopes)

    async def _key_row(self, key_hash: str) -> dict[str, Json] | None:
        now = self._clock()
        kept = self._kept.get(key_hash)
        if kept is not None and now - kept[0] < self._keep_s:
            return kept[1]
        found = await self._rows.select("api_key", columns=_KEY_COLUMNS, where=[("key_hash", "eq", key_hash)], limit=1)
        self._kept.pop(key_hash, None)
        if not found:
            return None
        if len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]  # the one that was read the longest ago
        self._kept[key_hash] = (now, found[0])
        return found[0]

    # ------------------------------------------------------------ users

    async def _of_user(self, token: str) -> Principal:
        try:
            claims = await self._claims(token)
            user_id = str(UUID(claims["sub"]))
        except _BROKEN as error:
            why = next((said for kind, said in _WHY.items() if isinstance(error, kind)), "it is no token of a user")
            raise _refused(f"The access token is not accepted: {why}.") from None
        if claims.get("role") != "authenticated":
            raise _refused(
                "The access token is not that of a signed-in user; keys of the project itself are not accepted."
            )
        if claims.get("is_anonymous") is True:
            raise _refused("The access token is an anonymous user's; sign in with an account.")
        members = await self._rows.select(
            "organization_member", columns=["organization_id", "role"], where=[("user_id", "eq", user_id)]
        )
        roles = {row["organization_id"]: row["role"] for row in members}
        return Principal("user", user_id, roles, token=token)

    async def _claims(self, token: str) -> Mapping[str, Json]:
        """Return what the token says; raises one of `_BROKEN`, and the problem 401 where nothing here could check it."""
        if len(token) > _LONGEST_TOKEN:
            raise jwt.DecodeError
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._secrets:
            return self._by_secret(token)
        if algorithm in ASYMMETRIC and self._jwks is not None:
            key = await self._jwks.key(str(header.get("kid")), algorithm)
            if key is None:
                raise _refused("The access token is signed with a key that the sign-in server does not name.")
            return _decoded(token, key.key, algorithm)
        raise _refused("This server does not accept tokens that are signed this way.")

    def _by_secret(self, token: str) -> Mapping[str, Json]:
        *others, last = self._secrets
        for secret in others:
            try:
                return _decoded(token, secret, "HS256")
            except jwt.InvalidSignatureError:
                continue
        return _decoded(token, last, "HS256")


@asynccontextmanager
async def open_authenticator(
    settings: Settings, access: RowAccess, *, local: bool = False
) -> AsyncIterator[TokenAuthenticator]:
    """Yield what checks tokens by the settings: SUPABASE_JWT_SECRET, the keys of SUPABASE_URL.

    With `local` the users of this home are known, too (`api.local`).
    """
    async with AsyncExitStack() as stack:
        jwks = None
        if settings.supabase_url is not None:
            http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            jwks = Jwks(http, f"{settings.supabase_url.rstrip('/')}/auth/v1/.well-known/jwks.json")
        secret = settings.supabase_jwt_secret
        yield TokenAuthenticator(
            access,
            jwt_secret=secret.get_secret_value() if secret else None,
            more_secrets=[local_secret(settings.make_home())] if local else [],
            jwks=jwks,
        )


def _decoded(token: str, key: Any, algorithm: str) -> Mapping[str, Json]:
    claims: Mapping[str, Json] = jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        audience="authenticated",
        leeway=_LEEWAY_S,
        options={"require": ["exp", "sub", "aud"]},
    )
    return claims


def _refused(detail: str) -> Problem:
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
