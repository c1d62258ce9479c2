"""`patchbay webhooks`."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.session.outbox_ports import DeliveryRow
from runtime.store.memory import MemoryStore
from tests.cli.conftest import Patchbay
from tests.contract.rows import a_call

Json = Any


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Logs go to stderr in a command, and here to nobody."""
    with capture_logs():
        yield


class Receiver:
    """A receiver on loopback, outside the command's event loop; it answers `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[dict[str, Json]] = []
        self.url = ""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("PATCHBAY_ALLOW_PRIVATE_HOSTS", f"127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


async def fill(store: MemoryStore, url: str, names: tuple[str, ...], organization: str = "local") -> list[DeliveryRow]:
    owner = await store.ensure_organization(organization)
    tools = [
        {"tool_type": "webhook", "display_name": name, "config": {"url": f"{url}/hook", "secret": None}}
        for name in names
    ]
    document = {"session": {"on_end": tools}, "agents": [{"id": "a", "name": "Desk", "instructions": "Help."}]}
    version = await store.save_draft(owner.id, "support", document)
    call = a_call(owner.id, workflow_version_id=version.id)
    await store.open_call(call)
    now = datetime.now(UTC)
    await store.close_call(replace(call, status="completed", ended_at=now))
    held = await store.claim_after_call(now, now + timedelta(seconds=1))
    assert held is not None
    await store.finish_after_call(held, names, now)
    return await store.deliveries(owner.id, session_id=call.id)


async def kill(store: MemoryStore, row: DeliveryRow) -> None:
    now = datetime.now(UTC)
    held = await store.claim_delivery(now, now + timedelta(seconds=1), delivery_id=row.id)
    assert held is not None
    await store.settle_delivery(replace(held, status="dead", last_status=410, last_error="http_410"))


@pytest.fixture
def rows(patchbay: Patchbay, store: MemoryStore, receiver: Receiver) -> list[DeliveryRow]:
    """Two deliveries of one call; the second is dead. Another organization has one too."""
    organization = said(patchbay, "organization", "show")["name"]
    made = asyncio.run(fill(store, receiver.url, ("CRM", "Billing"), organization))
    asyncio.run(kill(store, made[1]))
    asyncio.run(fill(store, receiver.url, ("Theirs",), "Other"))
    return made


def said(patchbay: Patchbay, *args: str, code: int = 0) -> Json:
    result = patchbay(*args, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def names(found: Json) -> list[str]:
    return [row["name"] for row in found["deliveries"]]


def test_deliveries_are_listed(patchbay: Patchbay, rows: list[DeliveryRow]) -> None:
    found = said(patchbay, "webhooks", "list")
    assert names(found) == ["CRM", "Billing"]
    assert found["deliveries"][1] == {
        "id": rows[1].id,
        "session_id": rows[1].session_id,
        "organization_id": rows[1].organization_id,
        "tool_index": 1,
        "name": "Billing",
        "status": "dead",
        "attempts": 1,
        "due_at": rows[1].due_at.isoformat(),
        "created_at": rows[1].created_at.isoformat(),
        "last_attempt_at": found["deliveries"][1]["last_attempt_at"],
        "delivered_at": None,
        "last_status": 410,
        "last_error": "http_410",
    }
    assert names(said(patchbay, "webhooks", "list", "--status", "dead")) == ["Billing"]
    assert names(said(patchbay, "webhooks", "list", "--session", rows[0].session_id[:8])) == ["CRM", "Billing"]
    assert names(said(patchbay, "webhooks", "list", "--limit", "1")) == ["CRM"]
    shown = patchbay("webhooks", "list").stdout
    assert "http_410" in shown
    assert rows[0].id in shown


def test_an_empty_list_says_how_to_begin(patchbay: Patchbay, store: MemoryStore) -> None:
    result = patchbay("webhooks", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "session.on_end" in result.stderr


def test_one_is_shown_with_what_is_sent(patchbay: Patchbay, rows: list[DeliveryRow]) -> None:
    found = said(patchbay, "webhooks", "show", rows[1].id[:10])
    assert (found["id"], found["status"], found["last_status"]) == (rows[1].id, "dead", 410)
    assert found["payload"]["type"] == "call.ended"
    assert found["payload"]["session"]["id"] == rows[1].session_id
    assert '"call.ended"' in patchbay("webhooks", "show", rows[1].id).stdout


def test_one_is_replayed(patchbay: Patchbay, rows: list[DeliveryRow], receiver: Receiver) -> None:
    found = said(patchbay, "webhooks", "replay", rows[1].id)
    assert [(row["id"], row["status"], row["last_status"]) for row in found["deliveries"]] == [
        (rows[1].id, "delivered", 200)
    ]
    assert [told["delivery_id"] for told in receiver.got] == [rows[1].id]
    said(patchbay, "webhooks", "replay", rows[1].id)
    assert [told["delivery_id"] for told in receiver.got] == [rows[1].id] * 2


def test_every_dead_letter_is_replayed(patchbay: Patchbay, rows: list[DeliveryRow], receiver: Receiver) -> None:
    receiver.status = 503
    assert [row["status"] for row in said(patchbay, "webhooks", "replay", "--dead", code=1)["deliveries"]] == [
        "pending"
    ]
    receiver.status = 200
    assert patchbay("webhooks", "replay", rows[0].id, rows[1].id).exit_code == 0
    result = patchbay("webhooks", "replay", "--dead")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no dead letter" in result.stderr


@pytest.mark.parametrize("args", [[], ["7f3a", "--dead"]])
def test_a_replay_of_nothing_or_of_both_is_wrong_usage(patchbay: Patchbay, store: MemoryStore, args: list[str]) -> None:
    assert patchbay("webhooks", "replay", *args).exit_code == 2


@pytest.mark.parametrize("verb", ["show", "replay"])
def test_an_unknown_delivery_is_not_found(patchbay: Patchbay, rows: list[DeliveryRow], verb: str) -> None:
    result = patchbay("webhooks", verb, "zzzz\x1b[31m")
    assert result.exit_code == 1
    assert "webhooks list" in result.stderr
    assert "\x1b" not in result.output
    assert patchbay("webhooks", verb, "7c9e6679-7425-40de-944b-e07fc1f90ae7").exit_code == 1


def test_what_belongs_to_another_organization_is_not_found(
    patchbay: Patchbay, rows: list[DeliveryRow], store: MemoryStore
) -> None:
    (theirs,) = asyncio.run(store.deliveries(asyncio.run(store.ensure_organization("Other")).id))
    assert patchbay("webhooks", "replay", theirs.id).exit_code == 1


def test_an_ambiguous_beginning_is_wrong_usage(patchbay: Patchbay, rows: list[DeliveryRow], store: MemoryStore) -> None:
    for index, row in enumerate(rows):
        store._deliveries[f"abc{index}"] = replace(row, id=f"abc{index}")
    assert patchbay("webhooks", "show", "abc").exit_code == 2


def test_a_webhook_that_is_gone_from_its_workflow_has_no_payload(
    patchbay: Patchbay, rows: list[DeliveryRow], store: MemoryStore
) -> None:
    store._deliveries[rows[0].id] = replace(rows[0], tool_index=7)
    assert said(patchbay, "webhooks", "show", rows[0].id)["payload"] is None
    (row,) = said(patchbay, "webhooks", "replay", rows[0].id, code=1)["deliveries"]
    assert (row["status"], row["last_error"]) == ("dead", "webhook_gone")
