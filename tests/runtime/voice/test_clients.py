"""The clients of model servers that a stored config names."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import openai
import pytest

from runtime.addresses import nothing_private
from runtime.voice import clients
from runtime.voice.chat_completions import connections
from runtime.voice.clients import Server, lease, lease_connections, release, release_connections
from tests.tools.tls import service_called


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_the_certificate_is_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def loopback(*_asked: object) -> tuple[str, ...]:
        return ("127.0.0.2", "127.0.0.1")

    monkeypatch.setattr(clients, "resolve", loopback)
    monkeypatch.setattr(connections, "resolve", loopback)
    async with service_called("named.example", tmp_path) as (port, trust, hosts):
        monkeypatch.setattr(clients, "ssl_context", lambda: trust)
        named, other = (
            Server(f"https://{name}.example:{port}/v1", None, nothing_private) for name in ("named", "other")
        )
        await lease(named).models.list()
        with pytest.raises(openai.APIConnectionError):
            await lease(other).models.list()
        await lease_connections(named).warm()
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await lease_connections(other).warm()
        for server in (named, other, other):
            await release(server)
            await release_connections(server)
    assert hosts == [f"named.example:{port}"] * 2
