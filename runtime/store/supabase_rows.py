"""Rows under a user's role over Supabase's API (PostgREST): a short-lived token says who asks.

Over httpx and not supabase-py: its client belongs to one token, repeats requests by itself, and takes half a second to import.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import httpx
import jwt

from runtime.errors import StoreUnreachable, Unreachable
from runtime.store.row_access import SERVICE, Claims, Condition, Order, Row, RowsFault
from runtime.store.row_faults import fault_of, storable, took_too_long
from runtime.store.row_filters import Parameters, cursor_filter, filters, is_impossible, ordered

__all__ = ["SupabaseRowAccess", "SupabaseRows", "UserTokens"]

Json = Any

_TIMEOUT_S = 15.0
_LIVES_S = 300
# A token is not sent in its last minute: the server's clock may be ahead.
_SPARE_S = 60
_MOST_TOKENS = 1000
_MAX_ROWS = 1000  # the default of a project
_REPRESENTATION: Final = {"prefer": "return=representation"}


class UserTokens:
    """Tokens that PostgREST takes, signed with HS256 and kept until shortly before they expire."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock
        self._kept: dict[tuple[str | None, str | None], tuple[str, float]] = {}

    def of(self, claims: Claims) -> str:
        key = (claims.user_id, claims.api_key_id)
        token, expires = self._kept.get(key, ("", 0.0))
        if expires - _SPARE_S > self._clock():
            return token
        if len(self._kept) >= _MOST_TOKENS:
            self._kept.clear()
        expires = int(self._clock()) + _LIVES_S
        token = jwt.encode(
            claims.as_json() | {"aud": "authenticated", "exp": int(expires)}, self._secret, algorithm="HS256"
        )
        self._kept[key] = (token, expires)
        return token


class SupabaseRowAccess:
    """The rows of the project at `url` (without `/rest/v1`); whoever opened `http` closes it.

    `key` is the service role's. Without `jwt_secret` users' rows are read with their own token, and API keys have none.
    """

    def __init__(self, http: httpx.AsyncClient, url: str, key: str, *, jwt_secret: str | None = None) -> None:
        self._http = http
        self._base = f"{url.rstrip('/')}/rest/v1"
        self._key = key
        self._tokens = UserTokens(jwt_secret) if jwt_secret is not None else None

    def of(self, claims: Claims) -> SupabaseRows:
        return SupabaseRows(self, claims)

    async def send(
        self,
        method: str,
        path: str,
        claims: Claims,
        *,
        parameters: Parameters | None = None,
        body: str | None = None,
        prefer: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request and return its answer where it is a success. Raises `RowsFault` and `StoreUnreachable`."""
        headers = {"apikey": self._key, "authorization": f"Bearer {self._token(claims)}", **(prefer or {})}
        if claims.request_id:
            headers["x-request-id"] = claims.request_id
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            response = await self._http.request(
                method, f"{self._base}/{path}", params=parameters, content=body, headers=headers, timeout=_TIMEOUT_S
            )
        except httpx.TimeoutException as error:
            raise took_too_long() from error
        except (httpx.TransportError, httpx.InvalidURL, OSError) as error:
            raise StoreUnreachable(
                f"Supabase's API cannot be reached: {type(error).__name__}.", remedy="Check SUPABASE_URL."
            ) from error
        if not response.is_success:
            raise _refusal(response)
        return response

    def _token(self, claims: Claims) -> str:
        if claims.role == SERVICE.role:
            return self._key
        if self._tokens is None and claims.token is not None:
            return claims.token
        if self._tokens is None:
            raise Unreachable(
                "Rows of an API key cannot be read over Supabase's API without its secret.",
                remedy="Set SUPABASE_JWT_SECRET (Supabase: Project Settings, JWT), or DATABASE_URL.",
            )
        return self._tokens.of(claims)


class SupabaseRows:
    """`Rows` over PostgREST. An upsert is up to three requests, for users may not write the columns that tell rows apart."""

    def __init__(self, access: SupabaseRowAccess, claims: Claims) -> None:
        self._access = access
        self._claims = claims

    async def select(
        self,
        table: str,
        *,
        columns: Sequence[str] = (),
        where: Sequence[Condition] = (),
        order: Sequence[Order] = (),
        after: Sequence[Json] | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        if is_impossible(where):
            return []
        parameters = [*_chosen(columns), *filters(where), *ordered(order)]
        if after is not None:
            parameters += cursor_filter(order, after)
        return await self._pages(table, parameters, limit)

    async def insert(self, table: str, row: Mapping[str, Json], *, returning: Sequence[str] = ()) -> Row:
        response = await self._access.send(
            "POST",
            table,
            self._claims,
            parameters=_chosen(returning),
            body=storable(dict(row)),
            prefer=_REPRESENTATION,
        )
        return _rows(response)[0]

    async def upsert(
        self, table: str, row: Mapping[str, Json], *, conflict: Sequence[str], returning: Sequence[str] = ()
    ) -> Row:
        where: list[Condition] = [(column, "eq", row[column]) for column in conflict]
        changes = {column: value for column, value in row.items() if column not in conflict}
        if found := await self.update(table, where, changes, returning=returning):
            return found[0]
        try:
            return await self.insert(table, row, returning=returning)
        except RowsFault as fault:  # somebody else was quicker
            if fault.sqlstate == "23505" and (found := await self.update(table, where, changes, returning=returning)):
                return found[0]
            raise

    async def update(
        self, table: str, where: Sequence[Condition], changes: Mapping[str, Json], *, returning: Sequence[str] = ()
    ) -> list[Row]:
        if not changes:
            return await self.select(table, columns=returning, where=where)
        if is_impossible(where):
            return []
        response = await self._access.send(
            "PATCH",
            table,
            self._claims,
            parameters=[*filters(where), *_chosen(returning)],
            body=storable(dict(changes)),
            prefer=_REPRESENTATION,
        )
        return _rows(response)

    async def delete(self, table: str, where: Sequence[Condition], *, returning: Sequence[str] = ()) -> list[Row]:
        if is_impossible(where):
            return []
        parameters = [*filters(where), *_chosen(returning)]
        response = await self._access.send("DELETE", table, self._claims, parameters=parameters, prefer=_REPRESENTATION)
        return _rows(response)

    async def rpc(self, function: str, arguments: Mapping[str, Json]) -> Json:
        response = await self._access.send("POST", f"rpc/{function}", self._claims, body=storable(dict(arguments)))
        return response.json() if response.content else None

    async def _pages(self, table: str, parameters: Parameters, limit: int | None) -> list[Row]:
        """A project cuts an answer off at its `max_rows`: where more are wanted, go on until the rows are all there."""
        many = limit is None or limit > _MAX_ROWS
        prefer = {"prefer": "count=exact"} if many else None
        rows: list[Row] = []
        while True:
            page: Parameters = [("offset", len(rows))] if rows else []
            if limit is not None:
                page.append(("limit", limit - len(rows)))
            response = await self._access.send(
                "GET", table, self._claims, parameters=[*parameters, *page], prefer=prefer
            )
            found = _rows(response)
            rows += found
            if not many or not found or len(rows) >= min(_total(response), limit or _total(response)):
                return rows


def _chosen(columns: Sequence[str]) -> Parameters:
    return [("select", ",".join(columns))] if columns else []


def _rows(response: httpx.Response) -> list[Row]:
    try:
        rows = response.json()
    except (ValueError, RecursionError):
        raise _strange(response) from None
    if not isinstance(rows, list):
        raise _strange(response)
    return rows


def _total(response: httpx.Response) -> int:
    total = response.headers.get("content-range", "").rpartition("/")[2]
    return int(total) if total.isdigit() else 0


def _refusal(response: httpx.Response) -> Exception:
    try:
        said = response.json()
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("code"), str):
        return _strange(response)
    texts = {name: str(value) for name, value in said.items() if value is not None}
    return fault_of(
        texts["code"],
        texts.get("message", ""),
        detail=texts.get("details", ""),
        hint=texts.get("hint", ""),
        place="behind SUPABASE_URL",
    )


def _strange(response: httpx.Response) -> StoreUnreachable:
    return StoreUnreachable(
        f"Supabase's API answered {response.status_code} without saying why.",
        remedy="Check SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY, and that the project is not paused.",
    )
