"""`http_request` against a real service, and what its templates come to."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

import tools.guard
from runtime.addresses import AddressRefused, Allowed
from tests.tools.conftest import NewRunner, Service, call, compiled
from tools.base import ToolContext, ToolError
from tools.guard import open_client
from tools.http_request import HttpRequest, HttpRequestConfig

Json = Any
NUMBER = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}
BASE = "https://api.acme.example"


def get(address: str, **more: Any) -> dict[str, Json]:
    return {"url": address, **more}


# ------------------------------------------------------------ against a service


@pytest.mark.server
@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/status/404", "http_404", "The service answered 404."),
        ("/status/500", "http_500", "The service answered 500."),
        ("/status/304", "http_304", "The service answered 304."),
        ("/huge", "response_too_large", "too long"),
        ("/bomb", "response_too_large", "too long"),
        ("/broken", "bad_response", "could not be read"),
        ("/deep", "bad_response", "could not be read"),
        ("/mispacked", "bad_response", "could not be read"),
        ("/brotli", "bad_response", "could not be read"),
        ("/cut", "unreachable", "cannot be reached"),
        ("/redirect/loop", "too_many_redirects", "circles"),
        ("/redirect/file", "redirect_refused", "somewhere else"),
        ("/orders/1", "", '"status": "shipped"'),
        ("/packed", "", '{"ok": true}'),
        ("/text", "", "plain words"),
        ("/charset", "", "grüße"),
        ("/nan", "", '{"a": null}'),
        ("/empty", "", "Done."),
    ],
)
async def test_answers(new_runner: NewRunner, service: Service, path: str, code: str, text: str) -> None:
    runner = new_runner(private=True)
    outcome = await runner.run(call(compiled("http_request", get(service.url + path))))
    assert outcome.error_code == code
    assert text in outcome.text
    assert "internal details" not in outcome.text


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_slow(new_runner: NewRunner, service: Service) -> None:
    outcome = await new_runner(private=True).run(
        call(compiled("http_request", get(f"{service.url}/slow"), timeout_s=0.2))
    )
    assert outcome.error_code == "timeout"


@pytest.mark.server
@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "127.1", "2130706433"])
async def test_loopback_is_refused(new_runner: NewRunner, service: Service, name: str) -> None:
    target = service.url.replace("127.0.0.1", name)
    outcome = await new_runner().run(call(compiled("http_request", get(f"{target}/orders/1"))))
    assert outcome.error_code == "address_refused"
    assert outcome.text == "This service may not be asked from here."
    assert service.requests == []


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_a_redirect_to_a_private_address_is_refused(service: Service) -> None:
    port = int(service.url.rpartition(":")[2])
    async with open_client(lambda host, at: (host, at) == ("127.0.0.1", port)) as client:
        tool = HttpRequest(HttpRequestConfig.model_validate(get(f"{service.url}/redirect/metadata")))
        with pytest.raises(ToolError) as caught:
            await tool.run({}, _context(client))
        tool = HttpRequest(HttpRequestConfig.model_validate(get(f"{service.url}/redirect/other")))
        with pytest.raises(ToolError) as other:
            await tool.run({}, _context(client))
    assert caught.value.code == other.value.code == "address_refused"


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_a_name_that_changes_its_address_gains_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[tuple[str, ...] | AddressRefused] = [("127.0.0.1",), AddressRefused("rebound.example", 80)]
    asked: list[str] = []

    async def resolve(host: str, port: int, allowed: Allowed) -> tuple[str, ...]:
        asked.append(host)
        answer = answers[len(asked) - 1]
        if isinstance(answer, AddressRefused):
            raise answer
        return answer

    monkeypatch.setattr(tools.guard, "resolve", resolve)
    target = service.url.replace("127.0.0.1", "rebound.example")
    async with open_client() as client:
        assert (await client.get(f"{target}/orders/1")).json()["number"] == "1"
    async with open_client() as client:
        with pytest.raises(AddressRefused):
            await client.get(f"{target}/orders/1")
    assert asked == ["rebound.example", "rebound.example"]
    assert service.requests[0][2]["host"].startswith("rebound.example:")


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_what_is_sent(new_runner: NewRunner, service: Service) -> None:
    config = get(
        f"{service.url}/echo?fixed=1",
        method="POST",
        parameters=NUMBER,
        headers={"Authorization": "Bearer {{ secrets.KEY }}", "X-From": "{{ caller.number }}"},
        query={"q": "{{ arguments.number }}", "none": "{{ arguments.other }}", "flag": True, "n": 2},
        json={
            "id": "{{ customer_id }}",
            "many": ["{{ arguments.count }}", "n {{ arguments.count }}"],
            "unset": "{{ nobody }}",
        },
    )
    arguments = {"number": "a&b=c", "count": 3}
    await new_runner(private=True, secrets={"KEY": "secret-key-1"}).run(
        call(compiled("http_request", config), arguments)
    )
    method, path, sent, body = service.requests[0]
    assert (method, path) == ("POST", "/echo?fixed=1&q=a%26b%3Dc&flag=true&n=2")
    assert sent["authorization"] == "Bearer secret-key-1"
    assert sent["x-from"] == "+15550199"
    assert sent["idempotency-key"] == "c-1:t-1"
    assert json.loads(body) == {"id": "4271", "many": [3, "n 3"], "unset": None}


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_a_form(new_runner: NewRunner, service: Service) -> None:
    config = get(f"{service.url}/echo", method="PUT", form={"a": "{{ customer_id }}"})
    await new_runner(private=True).run(call(compiled("http_request", config)))
    _, _, sent, body = service.requests[0]
    assert sent["content-type"] == "application/x-www-form-urlencoded"
    assert "idempotency-key" not in sent
    assert body == b"a=4271"


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_echoed_secrets_are_blotted_out(new_runner: NewRunner, service: Service) -> None:
    config = get(f"{service.url}/echo", headers={"X-Key": "{{ secrets.KEY }}"}, query={"k": "{{ secrets.KEY }}"})
    tool = compiled("http_request", config, assign={"order_status": "$.headers['x-key']"})
    outcome = await new_runner(private=True, secrets={"KEY": "s3cr&t/key"}).run(call(tool))
    for text in (outcome.text, outcome.preview, json.dumps(dict(outcome.assigned))):
        assert "s3cr" not in text
    assert outcome.assigned == {"order_status": "•••"}


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_result_and_assign(new_runner: NewRunner, service: Service) -> None:
    config = get(f"{service.url}/orders/{{{{ arguments.number }}}}", parameters=NUMBER, result="$.items[*].sku")
    tool = compiled("http_request", config, assign={"order_status": "$.status", "nothing": "$.nothing"})
    outcome = await new_runner(private=True).run(call(tool, {"number": "4/2"}))
    assert outcome.text == '["a", "b"]'
    assert outcome.assigned == {"order_status": "shipped"}
    assert service.requests[0][1] == "/orders/4%2F2"


@pytest.mark.server
@pytest.mark.timeout(20)
@pytest.mark.parametrize(("path", "kept"), [("same", True), ("other", False)])
async def test_redirects_take_no_keys_to_another_host(
    new_runner: NewRunner, service: Service, path: str, kept: bool
) -> None:
    config = get(f"{service.url}/redirect/{path}", headers={"X-Key": "secret-key-1"})
    outcome = await new_runner(private=True).run(call(compiled("http_request", config)))
    assert outcome.error_code == ""
    assert ("x-key" in service.requests[-1][2]) is kept
    assert service.requests[-1][2]["user-agent"] == "Patchbay"


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_a_body_goes_to_no_other_host(new_runner: NewRunner, service: Service) -> None:
    config = get(f"{service.url}/redirect/keeping", method="POST", json={"key": "secret-key-1"})
    outcome = await new_runner(private=True).run(call(compiled("http_request", config)))
    assert outcome.error_code == "redirect_refused"
    assert len(service.requests) == 1


@pytest.mark.server
@pytest.mark.timeout(20)
async def test_no_cookie_is_carried_on(service: Service) -> None:
    async with open_client(lambda _host, _port: True) as client:
        await client.get(f"{service.url}/cookie")
        await client.get(f"{service.url}/cookie")
    assert "cookie" not in service.requests[1][2]


@pytest.mark.timeout(20)
async def test_nobody_there(new_runner: NewRunner) -> None:
    runner = new_runner(private=True)
    for address in ("http://127.0.0.1:1/", "https://nowhere.invalid/"):
        assert (await runner.run(call(compiled("http_request", get(address))))).error_code == "unreachable"


def _context(client: httpx.AsyncClient) -> ToolContext:
    return ToolContext(tool_call_id="t", timeout_s=5, http=client)
