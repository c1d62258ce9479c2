"""TLS over the guarded transport: the certificate is checked against the name, not the address connected to."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

import tools.guard
from tests.tools.tls import service_called
from tools.guard import GuardedTransport


async def loopback(*_asked: object) -> tuple[str, ...]:
    return ("127.0.0.1",)


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_the_certificate_is_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools.guard, "resolve", loopback)
    async with (
        service_called("named.example", tmp_path) as (port, trust, hosts),
        httpx.AsyncClient(transport=GuardedTransport(ssl_context=trust), trust_env=False) as client,
    ):
        assert (await client.get(f"https://named.example:{port}/")).status_code == 200
        with pytest.raises(httpx.NetworkError):
            await client.get(f"https://other.example:{port}/")
    assert hosts == [f"named.example:{port}"]


async def test_an_address_that_does_not_answer_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def two(*_asked: object) -> tuple[str, ...]:
        return ("127.0.0.2", "127.0.0.1")

    monkeypatch.setattr(tools.guard, "resolve", two)
    async with (
        service_called("named.example", tmp_path) as (port, trust, _),
        httpx.AsyncClient(transport=GuardedTransport(ssl_context=trust), trust_env=False) as client,
    ):
        assert (await client.get(f"https://named.example:{port}/")).status_code == 200


async def test_no_socket_of_the_machine() -> None:
    with pytest.raises(Exception, match="no socket"):
        await tools.guard._GuardedBackend(lambda _host, _port: True).connect_unix_socket("/run/x.sock")
