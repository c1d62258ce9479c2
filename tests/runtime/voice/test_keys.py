"""Keys and servers: what a provider is given, and what a stored config never gets."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from aiohttp import web
from livekit.agents import inference

from runtime.addresses import AddressRefused
from runtime.errors import ConfigRefused, ProviderMissing
from runtime.settings import AllowedHosts
from runtime.voice import clients
from runtime.voice.chat_completions import connections
from tests.runtime.voice.nodes import (
    LOCAL_SERVER,
    OPENAI,
    PLUGINS_OWN,
    Make,
    agent,
    authorization,
    client_of,
    connections_of,
)


async def test_a_missing_key_names_the_variable_and_offline(make: Make) -> None:
    with pytest.raises(ProviderMissing) as caught:
        make().llm(agent(llm=OPENAI))
    assert "OPENAI_API_KEY" in str(caught.value)
    assert "llm of agent 'Agent 0'" in str(caught.value)
    assert "--offline" in caught.value.remedy


@pytest.mark.parametrize("kind", ["llm", "stt", "tts"])
async def test_the_gateway_without_a_key(make: Make, kind: str) -> None:
    config = {"provider": "inference"} | ({"options": {"model": "x/y"}} if kind == "tts" else {"model": "x/y"})
    with pytest.raises(ProviderMissing, match="LIVEKIT_API_KEY"):
        getattr(make(), kind)(agent(**{kind: config}))


async def test_the_gateway_gets_unknown_options_for_the_model_behind_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_API_KEY", "k")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "s" * 32)
    model = make().llm(agent(llm={"provider": "inference", "model": "openai/gpt-4.1", "options": {"temperature": 0.2}}))
    assert isinstance(model, inference.LLM)
    assert model._opts.extra_kwargs == {"temperature": 0.2}


@pytest.mark.parametrize("options", [{}, PLUGINS_OWN])
async def test_a_key_of_the_config(make: Make, options: dict[str, Any]) -> None:
    node = agent(llm=OPENAI | {"api_key": "{{ secrets.KEY }}"} | options)
    assert authorization(make(secrets={"KEY": "sk-1"}).llm(node)) == "Bearer sk-1"
    with pytest.raises(ProviderMissing, match="the secret 'KEY' is not set"):
        make(secrets={"KEY": ""}).llm(node)


async def test_a_key_that_is_no_template(make: Make) -> None:
    with pytest.raises(ConfigRefused, match="no template"):
        make().llm(agent(llm=OPENAI | {"api_key": "{{ secrets.KEY | nope }}"}))


@pytest.mark.parametrize("options", [{}, PLUGINS_OWN])
async def test_the_environments_key_is_for_the_plugins_own_server(
    make: Make, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-worker")
    assert authorization(make(stored=True).llm(agent(llm=OPENAI | options))) == "Bearer sk-worker"


async def test_the_environment_goes_to_the_plugins_own_server(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-worker")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Worker: 7")
    endpoint = connections_of(make(stored=True).llm(agent(llm=OPENAI))).endpoint
    assert endpoint.url == "https://api.openai.com/v1"
    assert (endpoint.headers["openai-organization"], endpoint.headers["x-worker"]) == ("org-1", "7")
    assert "sk-worker" not in repr(endpoint)


@pytest.mark.parametrize("where", ["own", "options"])
async def test_a_stored_config_never_gets_the_workers_key(
    make: Make, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "sk-worker")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Worker: sk-worker\nAuthorization: Bearer sk-worker")
    foreign = "https://elsewhere.example/v1"
    config = OPENAI | ({"base_url": foreign} if where == "own" else {"options": {"base_url": foreign}})
    endpoint = connections_of(make(stored=True).llm(agent(llm=config))).endpoint
    assert endpoint.url == foreign
    assert "sk-worker" not in str(dict(endpoint.headers))
    assert endpoint.headers["authorization"] == f"Bearer {clients.NO_KEY}"
    config["options"] = {**config.get("options", {}), **PLUGINS_OWN["options"]}
    client = client_of(make(stored=True).llm(agent(llm=config)))
    request = client._build_request(openai._models.FinalRequestOptions(method="get", url="/models"))
    assert str(request.url) == f"{foreign}/models"
    assert "sk-worker" not in str(request.headers.multi_items())
    assert request.headers["authorization"] == f"Bearer {clients.NO_KEY}"


@pytest.mark.parametrize("key", ["sk-worker", ""])
async def test_a_file_run_by_hand_may_use_the_environments_key(
    make: Make, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    for options in ({}, PLUGINS_OWN):
        model = make(stored=False).llm(agent(llm=LOCAL_SERVER | options))
        assert authorization(model) == f"Bearer {key or clients.NO_KEY}"


@pytest.mark.parametrize(
    "server",
    [
        "http://127.0.0.1:9/v1",
        "http://localhost:11434/v1",
        "http://[::1]:8000",
        "http://169.254.169.254/",
        "http://10.0.0.8",
    ],
)
async def test_a_stored_config_reaches_no_private_server(make: Make, server: str) -> None:
    node = agent(llm=OPENAI | {"base_url": server})
    with pytest.raises(ConfigRefused, match="private"):
        make(stored=True).llm(node)
    assert make(stored=True, allowed=lambda _host, _port: True).llm(node)
    assert make(stored=False).llm(node)


async def test_what_is_no_address(make: Make) -> None:
    with pytest.raises(ConfigRefused, match="no address"):
        make(stored=True).llm(agent(llm=OPENAI | {"base_url": "ftp://x"}))


async def test_the_guard_holds_when_the_name_turns_private(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def private(host: str, port: int, allowed: object) -> tuple[str, ...]:
        raise AddressRefused(host, port)

    monkeypatch.setattr(clients, "resolve", private)
    monkeypatch.setattr(connections, "resolve", private)
    config = OPENAI | {"base_url": "https://rebound.example/v1"}
    model = make(stored=True).llm(agent(llm=config | PLUGINS_OWN))
    with pytest.raises(openai.APIConnectionError):
        await client_of(model).models.list()
    with pytest.raises(AddressRefused):
        await connections_of(make(stored=True).llm(agent(llm=config))).warm()


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_a_guarded_client_speaks_to_what_it_checked(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-worker")
    got: list[tuple[str, str]] = []

    async def models(request: web.Request) -> web.Response:
        got.append((request.host, request.headers["Authorization"]))
        return web.json_response({"object": "list", "data": []})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    server = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    port = server.addresses[0][1]
    named = AllowedHosts.parse(f"localhost:{port}")
    config = OPENAI | {"base_url": f"http://localhost:{port}/v1"}
    one, two = (make(stored=True, allowed=named.allows) for _ in range(2))
    node, other = agent(llm=config), agent(llm=config | PLUGINS_OWN)
    client = client_of(one.llm(other))
    assert client is client_of(two.llm(other))
    assert connections_of(one.llm(node)) is connections_of(two.llm(node))
    await client.models.list()
    await connections_of(one.llm(node)).warm()
    await one.aclose()
    await two.aclose()
    await server.cleanup()
    assert got == [(f"localhost:{port}", f"Bearer {clients.NO_KEY}")] * 2
