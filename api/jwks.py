"""The public keys of a Supabase project's sign-in server, fetched when they are needed and kept while it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx
import jwt
import structlog

__all__ = ["ASYMMETRIC", "Jwks"]

Json = Any
_log = structlog.get_logger("api")

ASYMMETRIC: Final = frozenset({"ES256", "RS256"})
"""The algorithms that a public key may be used with; a public key never checks an HMAC."""
_FRESH_S: Final = 600.0
_AGAIN_S: Final = 30.0
_TIMEOUT_S: Final = 5.0
_LARGEST: Final = 256 * 1024
_SHORTEST_RSA: Final = 2048


class Jwks:
    """The keys at `url`, by their id. `http` belongs to whoever opened it.

    They are fetched again after ten minutes, and for an id that is unknown, but never twice within 30 seconds.
    """

    def __init__(self, http: httpx.AsyncClient, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._url = url
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._fetching = asyncio.Lock()

    async def key(self, key_id: str, algorithm: str) -> jwt.PyJWK | None:
        """Return the key for tokens of this algorithm, or None where there is no such key."""
        if self._is_due(key_id):
            async with self._fetching:
                if self._is_due(key_id):  # nobody else has asked meanwhile
                    await self._fetch()
        found = self._keys.get(key_id)
        return found if found is not None and found.algorithm_name == algorithm else None

    def _is_due(self, key_id: str) -> bool:
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < _AGAIN_S:
            return False
        return key_id not in self._keys or self._fetched_at is None or now - self._fetched_at >= _FRESH_S

    async def _fetch(self) -> None:
        self._asked_at = self._clock()
        try:
            response = await self._http.get(self._url, timeout=_TIMEOUT_S)
            response.raise_for_status()
            self._keys = _read(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
            _log.warning("jwks_unreachable", url=self._url, error=type(error).__name__, keys=len(self._keys))
            return
        self._fetched_at = self._asked_at


def _read(response: httpx.Response) -> Mapping[str, jwt.PyJWK]:
    """Return the usable keys; raises ValueError where the answer is no set of keys."""
    found = response.json() if len(response.content) <= _LARGEST else None
    if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
        raise ValueError("no set of keys")  # noqa: TRY004 - it is the answer that is wrong, not an argument
    usable = ((entry.get("kid"), _key(entry)) for entry in found["keys"] if isinstance(entry, dict))
    return {kid: key for kid, key in usable if isinstance(kid, str) and key is not None}


def _key(entry: dict[str, Json]) -> jwt.PyJWK | None:
    if entry.get("kty") not in {"EC", "RSA"} or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK.from_dict(entry)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    is_short = entry["kty"] == "RSA" and key.key.key_size < _SHORTEST_RSA
    return key if key.algorithm_name in ASYMMETRIC and not is_short else None
