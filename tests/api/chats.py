"""Workflows and requests for tests of chat tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from api.services import Services
from runtime.session.ports import VersionRow
from tests.api.conftest import Tenant
from tests.calls.runs import EXAMPLES, read

__all__ = ["Builder", "lines", "sse"]

Json = Any


@dataclass(frozen=True)
class Builder:
    """A builder of a tenant, who tests versions over HTTP."""

    http: httpx.AsyncClient
    services: Services
    tenant: Tenant
    role: str = "builder"

    async def version(self, config: Mapping[str, Json] | str = "front_desk", name: str = "desk") -> VersionRow:
        """Store a draft: a config, or that of an example."""
        read_config = read(config) if isinstance(config, str) else config
        return await self.services.store.save_draft(self.tenant.id, name, read_config)

    async def chat(self, version: VersionRow | str, *, status: int = 200, **body: Json) -> dict[str, Json]:
        """Send one request to the chat test and return its body."""
        answer = await self.http.post(self.url(version), json=body, headers=self.tenant.keys[self.role])
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    @staticmethod
    def url(version: VersionRow | str) -> str:
        return f"/api/workflow-versions/{version if isinstance(version, str) else version.id}/test/chat"

    async def get(self, path: str, *, status: int = 200, **params: Json) -> dict[str, Json]:
        answer = await self.http.get(f"/api{path}", params=params, headers=self.tenant.keys[self.role])
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def delete(self, path: str) -> int:
        return (await self.http.delete(f"/api{path}", headers=self.tenant.keys[self.role])).status_code


def lines(example: str, script: str) -> list[str]:
    """Return an example's script line by line."""
    return (EXAMPLES / example / f"{script}.txt").read_text(encoding="utf-8").splitlines()


def sse(text: str) -> list[tuple[str, dict[str, Json]]]:
    """Return the kind and the data of each message of an event stream."""
    messages = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            messages.append((fields["event"], json.loads(fields["data"])))
    return messages
