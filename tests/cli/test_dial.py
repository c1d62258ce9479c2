"""`patchbay dial`: bad input is told before anybody is rung, and whoever is rung hears the workflow."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime.store.memory import MemoryStore
from runtime.tasks import spawn
from tests.cli.conftest import Patchbay
from tests.cli.console import Console
from tests.cli.test_phone import hide_package, taken
from tests.fakes.hearing import loud_s
from tests.fakes.sip_caller import sip_phone

__all__ = ["taken"]

TO = "sip:anna@192.0.2.7"
CONFIG = """
variables: [{name: customer, preset: true}]
agents:
  - id: a
    name: Desk
    instructions: Help.
    greeting: {mode: say, text: "Hello {{ customer }}, this is the desk."}
"""


@pytest.fixture
def published(patchbay: Patchbay, store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text(CONFIG)
    result = patchbay("workflow", "publish", "desk.yaml")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("x", "--workflow", "desk"), "'x' is no number and no SIP address"),
        (("sip:", "--workflow", "desk"), "'sip:' is no number and no SIP address"),
        (("+4930123456", "--workflow", "desk"), "--via sbc.acme.example"),
        (("+4930123456", "--workflow", "desk", "--via", "a b"), "no SIP server"),
        ((TO, "--workflow", "desk", "--line", "fax"), "Lines: phone, livekit."),
        ((TO, "--workflow", "desk", "--var", "x"), "--var x is not NAME=VALUE"),
        ((TO, "--workflow", "desk", "--var", "=x"), "--var =x is not NAME=VALUE"),
        ((TO, "--workflow", "desk", "--listen", "nonsense"), "'nonsense'"),
        ((TO,), "--workflow"),
    ],
)
def test_what_cannot_be_meant_is_told(patchbay: Patchbay, arguments: tuple[str, ...], told: str) -> None:
    result = patchbay("dial", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert result.stdout == ""


def test_an_address_that_is_taken(patchbay: Patchbay, taken: str) -> None:
    result = patchbay("dial", TO, "--workflow", "desk", "--listen", taken)
    assert result.exit_code == 3
    assert f"cannot listen on {taken}" in result.stderr


def test_without_the_package_it_says_what_to_install(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_package(monkeypatch)
    result = patchbay("dial", TO, "--workflow", "desk")
    assert result.exit_code == 3
    assert "pip install 'patchbay[phone]'" in result.stderr


def test_through_livekit_it_needs_livekit_and_a_trunk(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("dial", "+4930123456", "--workflow", "desk", "--line", "livekit")
    result = patchbay(*command)
    assert result.exit_code == 3
    assert "LIVEKIT_URL" in result.stderr
    monkeypatch.setenv("LIVEKIT_URL", "ws://127.0.0.1:1")
    monkeypatch.setenv("LIVEKIT_API_KEY", "key")
    monkeypatch.setenv("LIVEKIT_API_SECRET", "a secret of thirty-two characters")
    result = patchbay(*command)
    assert result.exit_code == 2
    assert "--trunk ST_" in result.stderr


def test_a_workflow_that_is_not_there_or_not_published(
    patchbay: Patchbay, published: None, store: MemoryStore, tmp_path: Path
) -> None:
    result = patchbay("dial", TO, "--workflow", "Reminder")
    assert result.exit_code == 1
    assert "There is no workflow 'Reminder'" in result.stderr
    assert "desk" in result.stderr

    async def save() -> None:
        organization = await store.ensure_organization("local")
        await store.save_draft(organization.id, "Reminder", {"agents": []})

    asyncio.run(save())
    result = patchbay("dial", TO, "--workflow", "Reminder")
    assert result.exit_code == 1
    assert "no published version" in result.stderr


def test_a_number_that_the_organization_may_not_dial(patchbay: Patchbay, published: None) -> None:
    assert patchbay("organization", "limit", "--prefix", "+49").exit_code == 0
    result = patchbay("dial", "+15550123", "--via", "192.0.2.7", "--workflow", "desk")
    assert result.exit_code == 1
    assert "may not dial +15550123" in result.stderr


def test_a_secret_that_is_not_there(patchbay: Patchbay, published: None) -> None:
    result = patchbay("dial", TO, "--workflow", "desk", "--password-secret", "SBC")
    assert result.exit_code == 2
    assert "patchbay secret set SBC" in result.stderr


@pytest.mark.live
async def test_whoever_is_rung_hears_the_workflow(tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text(CONFIG)
    console = Console(tmp_path)
    await asyncio.to_thread(console.run, "workflow", "publish", "desk.yaml")
    async with sip_phone(user="anna") as phone:
        to = f"sip:anna@127.0.0.1:{phone.port}"
        dial = ("--workflow", "desk", "--offline")
        wrong = await asyncio.to_thread(console.run, "dial", to, *dial, "--var", "custmer=Anna", code=2)
        assert "declares no variable 'custmer'" in wrong.err
        assert "It declares: customer" in wrong.err
        assert not phone.named("rung")
        command = ("dial", to, *dial, "--var", "customer=Anna", "--json")
        dialled = spawn(asyncio.to_thread(console.run, *command), name="dial")
        await phone.until_true(lambda: loud_s(phone.heard) > 1.0, within_s=40, what="a voice")
        phone.hang_up()
        events = (await dialled).events
    assert (events[0]["event_type"], events[-1]["event_type"]) == ("call_started", "call_ended")
    assert events[0]["payload"]["direction"] == "outbound"
    assert events[-1]["payload"]["reason"] == "caller_hangup"
    assert events[-1]["payload"]["variables"] == {"customer": "Anna"}
