"""Asks a Patchbay server, through its API, for a voice test and how to join it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx

from runtime.errors import ConfigRefused, NotFound, PatchbayError, Unreachable, UsageFault
from runtime.workflow.faults import Fault

__all__ = ["ApiServer", "Invitation", "Wanted", "invite"]

Json = Any
_PATIENCE_S: Final = 60.0
_TOLD: Final = 300
_PATH: Final = "/api/workflow-versions/{version_id}/test/voice"


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API is (`http://127.0.0.1:8080`), and what opens it."""

    url: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raise UsageFault for a URL that is none."""
        try:
            parts = urlsplit(self.url)
            fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query and parts.port != 0
        except ValueError:
            fine = False
        if not fine:
            raise UsageFault(
                f"'{self.url[:_TOLD]}' is no URL of a server.", remedy="For example: --url http://127.0.0.1:8080"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine by its address: nothing on the way sees the token."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    def socket_url(self, told: str) -> str:
        """Return the WebSocket's URL on this server: a proxy before it may have changed the scheme, the host and the path."""
        own, parts = urlsplit(self.url), urlsplit(told)
        scheme = "wss" if own.scheme == "https" else "ws"
        return urlunsplit((scheme, own.netloc, own.path.rstrip("/") + parts.path, parts.query, ""))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be tested: a version by its id, or the published one of a workflow by its name; the rest as in the API."""

    version: str | None = None
    workflow: str | None = None
    mocks: Mapping[str, Json] = field(default_factory=dict)
    offline: bool = False


@dataclass(frozen=True, slots=True)
class Invitation:
    """How to join: the WebSocket with its ticket (one use, a minute)."""

    url: str = field(repr=False)
    test_session_id: str
    direct: bool = False
    """Whether the server is this machine, which no proxy leads to."""


async def invite(server: ApiServer, wanted: Wanted) -> Invitation:
    """Have the server open a voice test by WebSocket. Raises PatchbayError, saying what the server said.

    NotFound for a version or a workflow that is not there, ConfigRefused for one that cannot run, Unreachable where the
    server is away, is none of ours, is too old or refuses the token.
    """
    headers = {"Authorization": f"Bearer {server.token}"}
    async with httpx.AsyncClient(
        base_url=server.url, headers=headers, timeout=_PATIENCE_S, trust_env=not server.is_loopback
    ) as http:
        asking = _Asking(server, http)
        version = wanted.version or await asking.published(wanted.workflow or "")
        body = {"transport": "websocket", "mocks": dict(wanted.mocks), "offline": wanted.offline}
        told = await asking.asked("POST", _PATH.format(version_id=version), body)
    try:
        return Invitation(server.socket_url(told["url"]), str(told["test_session_id"]), direct=server.is_loopback)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _stranger(server) from None


class _Asking:
    def __init__(self, server: ApiServer, http: httpx.AsyncClient) -> None:
        self._server = server
        self._http = http

    async def published(self, name: str) -> str:
        """Return the id of a workflow's published version."""
        rows = await self._all("/api/workflows", name=name)
        found = next((row for row in rows if row.get("name") == name), None)
        if found is None:
            raise NotFound(
                f"There is no workflow '{name[:_TOLD]}' on {self._server.url}.", remedy="See GET /api/workflows."
            )
        for version in await self._all(f"/api/workflows/{found['id']}/versions"):
            if version.get("status") == "published":
                return str(version["id"])
        raise NotFound(
            f"No version of the workflow '{name[:_TOLD]}' is published on {self._server.url}.",
            remedy="Publish one, or name a version with --version ID.",
        )

    async def _all(self, path: str, **filters: str) -> list[dict[str, Json]]:
        rows: list[dict[str, Json]] = []
        after: dict[str, str] = {}
        while True:
            page = await self.asked("GET", path, params={**filters, "limit": "200", **after})
            if not isinstance(page.get("items"), list):
                raise _stranger(self._server)
            rows += page["items"]
            if not page.get("next"):
                return rows
            after = {"after": str(page["next"])}

    async def asked(
        self, method: str, path: str, body: Json = None, params: Mapping[str, str] | None = None
    ) -> dict[str, Json]:
        """Return what the server answers; raises what it refuses."""
        try:
            answer = await self._http.request(method, path, json=body, params=params)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"{self._server.url} does not answer: {str(error) or type(error).__name__}.",
                remedy="Start it (patchbay api, patchbay dev), or name another with --url.",
            ) from None
        told = _object(answer)
        if told is None:
            raise _stranger(self._server)
        if answer.is_success:
            return told
        if answer.status_code in {404, 405} and not await self._offers_voice():
            raise Unreachable(
                f"{self._server.url} offers no voice tests: it is too old, or no Patchbay server.",
                remedy="Install a newer release there, or name another with --url.",
            )
        raise _refusal(self._server, answer.status_code, told)

    async def _offers_voice(self) -> bool:
        try:
            described = _object(await self._http.get("/openapi.json"))
        except httpx.TransportError:
            return False
        return described is not None and _PATH in (described.get("paths") or {})


def _object(answer: httpx.Response) -> dict[str, Json] | None:
    try:
        told = answer.json()
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _stranger(server: ApiServer) -> Unreachable:
    return Unreachable(
        f"{server.url} does not answer as a Patchbay server does.", remedy="Name the API's address with --url."
    )


def _refusal(server: ApiServer, status: int, told: Mapping[str, Json]) -> PatchbayError:
    message = str(told.get("detail") or f"{server.url} answers with HTTP {status}.")
    remedy = str(told.get("remedy") or "")
    match status:
        case 401:
            return Unreachable(
                f"{server.url} refuses the token: {message}",
                remedy="Name a key with --token or PATCHBAY_API_KEY (patchbay key create makes one).",
            )
        case 404:
            return NotFound(message, remedy=remedy)
        case 422 if isinstance(told.get("faults"), list):
            return ConfigRefused(message, faults=tuple(_faults(told["faults"])), remedy=remedy)
        case _ if status >= 500:
            return Unreachable(message, remedy=remedy)
        case _:
            return PatchbayError(message, remedy=remedy)


def _faults(told: list[Json]) -> list[Fault]:
    names = ("path", "code", "severity", "message", "remedy")
    return [Fault(*(str(each.get(name) or "") for name in names)) for each in told if isinstance(each, dict)]  # type: ignore[arg-type]
