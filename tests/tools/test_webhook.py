"""`webhook`: signed as receivers expect it, by a receiver on loopback that misbehaves in every way."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from runtime.aftercall.loading import VersionLoader
from runtime.aftercall.ports import Delivery, EndedCall, Sent
from runtime.aftercall.reader import AfterCallReader
from runtime.session.call_session import SystemClock
from runtime.store.memory import MemoryStore
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import compile_workflow
from tests.contract.rows import START, a_call, some_events
from tools.base import ToolContext, ToolError
from tools.guard import open_client
from tools.registry import default_registry
from tools.webhook import Webhook, WebhookConfig, WebhookSender, Workspace
from tools.webhook_post import Message, signatures
from tools.workspaces import workspaces_of

Json = Any

KEY = b"a key of thirty-two bytes or so."
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SIGNED = "{{ secrets.CRM_KEY }}"


class Receiver:
    """Where it listens, what it answers, and what it has got."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[tuple[int, Mapping[str, str]]] = [(200, {})]
        self.got: list[tuple[Mapping[str, str], bytes]] = []
        self.hanging = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        status, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if status == 0:
            await self.hanging.wait()
        if status == 1:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=max(status, 200), headers=headers, text="internal details token-4711")

    def verified(self, index: int = 0, secret: str | bytes = SECRET) -> Json:
        headers, body = self.got[index]
        return Verifier(secret).verify(body, dict(headers))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    receiver.hanging.set()
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_client(lambda host, _port: host == "127.0.0.1") as client:
        yield client


async def workspace(_organization_id: str) -> Workspace:
    return Workspace({"REGION": "eu"}, {"CRM_KEY": SECRET, "TOKEN": "token-4711"})


def ended(url: str, *, timeout_s: float = 5, **config: Json) -> EndedCall:
    tool = {
        "tool_type": "webhook",
        "config": {"url": f"{url}/hook", "secret": SIGNED, **config},
        "timeout_s": timeout_s,
    }
    document = {"session": {"on_end": [tool]}, "agents": [{"id": "a", "name": "Desk", "instructions": "Help."}]}
    call = a_call("o", variables={"customer_id": "4271"}, from_number="+15550199", ended_at=START)
    workflow = compile_workflow(WorkflowConfig.model_validate(document))
    return EndedCall(call, some_events(call, 1, 2), workflow, "support")


async def send(http: httpx.AsyncClient, call: EndedCall) -> Sent:
    delivery = Delivery("3f0b6cbe-1f0e-4c53-9a93-0a8f5b1d8c11", 1, datetime.now(UTC))
    return await WebhookSender(http, workspace).send(call.workflow.on_end[0], delivery, call)


# ---------------------------------------------------------------- signatures


@pytest.mark.parametrize(("secret", "key"), [(SECRET, KEY), (SECRET.rstrip("="), KEY), ("plain words", b"plain")])
def test_signatures_are_those_of_the_reference(secret: str, key: bytes) -> None:
    message = Message("msg_1", datetime.now(UTC), '{"text": "ü 😀"}'.encode())
    headers = {
        "webhook-id": message.id,
        "webhook-timestamp": str(int(message.at.timestamp())),
        "webhook-signature": signatures(secret, message),
    }
    Verifier(key).verify(message.body, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(b"another").verify(message.body, headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(key).verify(message.body + b" ", headers)


def test_two_secrets_are_two_signatures() -> None:
    message = Message("msg_1", START, b"{}")
    both = signatures(f"{SECRET} old", message)
    assert both == f"{signatures(SECRET, message)} {signatures('old', message)}"


@pytest.mark.parametrize("secret", ["", "  ", "whsec_", "whsec_a"])
def test_what_is_no_secret_signs_nothing(secret: str) -> None:
    with pytest.raises(ValueError):
        signatures(secret, Message("msg_1", START, b"{}"))


# ---------------------------------------------------------------- the config


def faults(**config: Json) -> str:
    given = {"url": "https://crm.example/hook", "secret": SIGNED, **config}
    found = default_registry().config_faults("webhook", {key: value for key, value in given.items() if value != "-"})
    return " ".join(f"{'.'.join(map(str, where))}: {sentence}" for where, sentence in found)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"secret": "-"}, "secret: it is missing"),
        ({"secret": "4711"}, "by name"),
        ({"secret": "{{ workspace.KEY }}"}, "by name"),
        ({"headers": {"Webhook-Id": "x"}}, "set by itself"),
        ({"headers": {"Host": "x"}}, "set by itself"),
        ({"events": ["call_end"]}, "call_ended"),
        ({"url": "crm.example"}, "https://host/"),
        ({"url": "https://{{ caller.number }}/"}, "https://host/"),
        ({"method": "PUT"}, "no such key"),
        ({"parameters": {"type": "array"}}, "JSON Schema"),
    ],
)
def test_a_faulty_config_is_told(config: Json, words: str) -> None:
    assert words in faults(**config)


@pytest.mark.parametrize("config", [{}, {"secret": None}, {"events": True}, {"events": ["call_ended", "path_taken"]}])
def test_a_config_is_accepted(config: Json) -> None:
    assert faults(**config) == ""


# ---------------------------------------------------------------- after the call


async def test_an_ended_call_is_sent_signed(receiver: Receiver, http: httpx.AsyncClient) -> None:
    call = ended(receiver.url, headers={"X-Region": "{{ workspace.REGION }}"}, events=["user_turn"])
    assert await send(http, call) == Sent(ok=True, status=200)
    told = receiver.verified()
    assert told["type"] == "call.ended"
    assert told["session"]["id"] == call.row.id
    assert len(told["events"]) == 2
    headers, _ = receiver.got[0]
    assert headers["webhook-id"] == told["delivery_id"]
    assert headers["content-type"] == "application/json"
    assert headers["x-region"] == "eu"


async def test_it_is_sent_without_a_signature_where_the_config_says_so(
    receiver: Receiver, http: httpx.AsyncClient
) -> None:
    assert (await send(http, ended(receiver.url, secret=None))).ok
    assert "webhook-signature" not in receiver.got[0][0]
    assert "webhook-id" in receiver.got[0][0]


@pytest.mark.parametrize("secret", ["{{ secrets.NOT_SET }}", "{{ secrets.TOKEN_2 }}"])
async def test_what_is_to_be_signed_never_goes_out_unsigned(
    receiver: Receiver, http: httpx.AsyncClient, secret: str
) -> None:
    sent = await send(http, ended(receiver.url, secret=secret))
    assert (sent.ok, sent.error_code, sent.retryable) == (False, "secret_missing", True)
    assert receiver.got == []


ANSWERS = {
    200: (True, False),
    204: (True, False),
    301: (False, True),
    400: (False, False),
    401: (False, False),
    404: (False, False),
    408: (False, True),
    410: (False, False),
    425: (False, True),
    429: (False, True),
    500: (False, True),
    503: (False, True),
}


@pytest.mark.parametrize("status", ANSWERS)
async def test_an_answer_is_taken_or_passing_or_final(receiver: Receiver, http: httpx.AsyncClient, status: int) -> None:
    receiver.answers = [(status, {"Location": f"{receiver.url}/elsewhere"})]
    sent = await send(http, ended(receiver.url))
    assert (sent.ok, sent.retryable) == ANSWERS[status]
    assert sent.status == status
    assert sent.error_code == ("" if sent.ok else f"http_{status}")
    assert len(receiver.got) == 1  # no redirect is followed


@pytest.mark.parametrize(
    ("asked", "low", "high"),
    [("120", 120, 120), ("soon", None, None), (None, None, None), ("Fri, 31 Dec 1999 23:59:59 GMT", -1e12, 0)],
)
async def test_a_receiver_says_when_to_come_back(
    receiver: Receiver, http: httpx.AsyncClient, asked: str | None, low: float | None, high: float | None
) -> None:
    receiver.answers = [(503, {} if asked is None else {"Retry-After": asked})]
    wait = (await send(http, ended(receiver.url))).retry_after_s
    assert wait is None if low is None or high is None else wait is not None and low <= wait <= high


async def test_a_receiver_that_hangs_is_given_up_in_time(receiver: Receiver, http: httpx.AsyncClient) -> None:
    receiver.answers = [(0, {})]
    sent = await send(http, ended(receiver.url, timeout_s=0.2))
    assert sent == Sent(ok=False, error_code="timeout", retryable=True)


async def test_a_receiver_that_hangs_up_may_be_asked_again(receiver: Receiver, http: httpx.AsyncClient) -> None:
    receiver.answers = [(1, {})]
    assert await send(http, ended(receiver.url)) == Sent(ok=False, error_code="unreachable", retryable=True)


async def test_nobody_listens(http: httpx.AsyncClient) -> None:
    assert (await send(http, ended("http://127.0.0.1:1"))).error_code == "unreachable"


async def test_a_private_address_is_refused(receiver: Receiver) -> None:
    async with open_client() as guarded:
        sent = await send(guarded, ended(receiver.url))
    assert sent == Sent(ok=False, error_code="address_refused")
    assert receiver.got == []


async def test_a_url_that_a_value_would_move_is_not_asked(receiver: Receiver, http: httpx.AsyncClient) -> None:
    call = ended(f"{receiver.url}/{{{{ customer_id }}}}")
    moved = replace(call, row=replace(call.row, variables={"customer_id": ".."}))
    sent = await send(http, moved)
    assert (sent.ok, sent.error_code, sent.retryable) == (False, "invalid_arguments", False)
    assert receiver.got == []


async def test_a_config_of_an_older_release_is_final(receiver: Receiver, http: httpx.AsyncClient) -> None:
    assert (await send(http, ended(receiver.url, strange=1))).error_code == "config_invalid"


async def test_a_delivery_goes_all_the_way(receiver: Receiver, http: httpx.AsyncClient) -> None:
    """From the call's end to the receiver, over one that is down, and with no secret in any row."""
    receiver.answers = [(503, {}), (200, {})]
    store = MemoryStore()
    owner = await store.ensure_organization("Acme")
    await store.set_variable(owner.id, "CRM_KEY", "locked", is_secret=True)
    tool = {"tool_type": "webhook", "config": {"url": f"{receiver.url}/hook", "secret": SIGNED}}
    document = {"session": {"on_end": [tool]}, "agents": [{"id": "a", "name": "Desk", "instructions": "Help."}]}
    version = await store.save_draft(owner.id, "support", document)
    call = a_call(owner.id, workflow_version_id=version.id)
    await store.open_call(call)
    await store.close_call(replace(call, status="completed", ended_at=datetime.now(UTC) - timedelta(seconds=1)))
    sender = WebhookSender(http, workspaces_of(store, lambda _token: SECRET))
    reader = AfterCallReader(store, VersionLoader(store).load, sender, None, SystemClock())
    (row,) = await reader.run_session(call.id, 10)
    assert (row.status, row.last_status, row.last_error) == ("pending", 503, "http_503")
    (row,) = await reader.replay([row.id])
    assert (row.status, row.last_status, row.last_error) == ("delivered", 200, None)
    assert receiver.verified(0)["delivery_id"] == receiver.verified(1)["delivery_id"] == row.id
    assert "4711" not in repr(row)


# ---------------------------------------------------------------- during the call


def context(http: httpx.AsyncClient, **fields: Any) -> ToolContext:
    return ToolContext(
        tool_call_id="t-1",
        timeout_s=5,
        http=http,
        variables={"customer_id": "4271"},
        caller={"number": "+15550199", "dialled": "+15550100"},
        call={"id": "c-1", "channel": "phone", "direction": "inbound"},
        secrets={"CRM_KEY": SECRET},
        **{"function": "tell_crm", **fields},
    )


def webhook(url: str, **config: Json) -> Webhook:
    return Webhook(WebhookConfig.model_validate({"url": f"{url}/{{{{ customer_id }}}}", "secret": SIGNED, **config}))


async def test_a_model_tells_it_signed(receiver: Receiver, http: httpx.AsyncClient) -> None:
    tool = webhook(receiver.url)
    result = await tool.run({"reason": "refund"}, context(http))
    assert (result.value, result.text) == ({"ok": True, "status": 200}, "Done.")
    told = receiver.verified()
    assert told["type"] == "call.tool"
    assert told["tool"] == "tell_crm"
    assert told["arguments"] == {"reason": "refund"}
    assert told["session"]["id"] == "c-1"
    assert told["session"]["caller"]["number"] == "+15550199"


async def test_a_repeat_has_the_same_id(receiver: Receiver, http: httpx.AsyncClient) -> None:
    tool = webhook(receiver.url)
    assert tool.is_repeatable({})
    await tool.run({}, context(http))
    await tool.run({}, context(http))
    first, again = (headers["webhook-id"] for headers, _ in receiver.got)
    assert first == again == json.loads(receiver.got[0][1])["delivery_id"]


@pytest.mark.parametrize(("status", "passing"), [(503, True), (400, False)])
async def test_a_refusal_is_told_without_what_was_answered(
    receiver: Receiver, http: httpx.AsyncClient, status: int, passing: bool
) -> None:
    receiver.answers = [(status, {})]
    with pytest.raises(ToolError) as caught:
        await webhook(receiver.url).run({}, context(http))
    assert (caught.value.code, caught.value.passing) == (f"http_{status}", passing)
    assert "4711" not in str(caught.value)


async def test_a_missing_secret_is_told(receiver: Receiver, http: httpx.AsyncClient) -> None:
    with pytest.raises(ToolError, match="secret_missing"):
        await webhook(receiver.url, secret="{{ secrets.OTHER }}").run({}, context(http))
    assert receiver.got == []


def test_it_is_built_in() -> None:
    assert "webhook" in default_registry().tool_types()
    parameters = {"type": "object", "properties": {"reason": {"type": "string"}}}
    assert webhook("https://crm.example", parameters=parameters).parameters() == parameters
