"""`patchbay caller erase`, as an operator gives it: nothing of the person is left in the database or in any file of the home."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from runtime.aftercall.number_forms import NumberForms
from runtime.session.records import Opened, encode
from tests.cli.conftest import Patchbay
from tests.cli.console import Console
from tests.contract.rows import a_call

NUMBER = "+491701234567"
FORMS = NumberForms(NUMBER)
ERASE = ("caller", "erase", NUMBER, "--yes", "--json")

INSERT = """
with organization as (select id from organization where name = 'local'),
session as (
  insert into call_session (organization_id, channel, from_number, started_at, ended_at, status)
  select id, 'phone', $1, now() - interval '1 hour', case when $2 then now() end, 'completed' from organization returning id, organization_id
)
insert into session_event (session_id, organization_id, seq, event_type, payload)
select session.id, session.organization_id, n, 'user_turn', $3::text::jsonb from session, generate_series(1, 50) n
returning session_id, organization_id
"""


_HELD = re.compile(b"170 ?1234567")


def holding(home: Path) -> list[str]:
    """The files below the home, the database's own included, in which the number stands."""
    files = [path for path in sorted(home.rglob("*")) if path.is_file()]
    return [str(path.relative_to(home)) for path in files if _HELD.search(path.read_bytes())]


@pytest.mark.server
async def test_nothing_of_the_person_is_left_in_the_home(tmp_path: Path) -> None:
    console = Console(tmp_path)
    console.run("retention", "show")
    ((session, organization), *_) = await console.rows(INSERT, NUMBER, True, json.dumps({"text": f"I am {NUMBER}"}))
    await console.rows(INSERT, "+4930111", True, json.dumps({"text": "ring 0170 1234567"}))
    events = console.home / "events"
    events.mkdir(exist_ok=True)
    row = a_call(str(organization), id=str(session), from_number=NUMBER)
    (events / "refused.ndjson").write_bytes(encode(Opened(row), refused="x"))
    (console.home / "livekit.log").write_text(f"INVITE sip:{NUMBER}@carrier\nBYE\n")
    (console.home / "recordings").mkdir()
    (console.home / "recordings" / f"{session}.wav").write_bytes(b"RIFF")
    assert len(holding(console.home)) >= 3

    looked = console.run("caller", "erase", NUMBER, "--dry-run", "--json").json
    assert looked["dry_run"] is True
    assert looked["organizations"][0]["sessions"] == 1
    assert await console.rows("select from call_session where id = $1", session)

    done = console.run(*ERASE)
    (counts,) = done.json["organizations"]
    assert counts["sessions"] == 1
    assert counts["rows"]["session_event"] == 50
    assert counts["masked"]["session_event.payload"] == 50
    assert counts["files"]["removed"] == 1
    assert NUMBER not in done.out + done.err
    assert holding(console.home) == []
    assert not FORMS.within(await console.everything())
    assert (console.home / "livekit.log").read_text().endswith("\nBYE\n")
    again = console.run(*ERASE).json["organizations"][0]
    assert (again["sessions"], again["masked"]) == (0, {})


@pytest.mark.server
async def test_a_call_that_runs_is_named_and_refused(tmp_path: Path) -> None:
    console = Console(tmp_path)
    console.run("retention", "show")
    ((session, _), *_) = await console.rows(INSERT, NUMBER, False, "{}")
    done = console.run(*ERASE, code=1)
    assert str(session) in done.err
    assert await console.rows("select from session_event where session_id = $1", session)
    assert console.run("caller", "erase", NUMBER, "--dry-run", "--json", code=1).json["organizations"][0][
        "running"
    ] == [str(session)]


def test_it_asks_first(patchbay: Patchbay) -> None:
    result = patchbay("caller", "erase", NUMBER)
    assert result.exit_code == 2
    assert "--dry-run" in result.stderr


@pytest.mark.parametrize("number", ["0170 1234567", "anna", "+49"])
def test_a_number_has_its_country_code(patchbay: Patchbay, number: str) -> None:
    result = patchbay("caller", "erase", number, "--yes")
    assert result.exit_code == 2
    assert "E.164" in result.stderr


def test_the_number_may_come_from_standard_input(patchbay: Patchbay) -> None:
    assert "E.164" in patchbay("caller", "erase", "-", "--yes", stdin="nobody\n").stderr
