"""`patchbay retention`, as an operator gives it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Patchbay
from tests.cli.console import Console

OLD = """
insert into call_session (organization_id, channel, started_at, ended_at, status)
select o.id, 'phone', now() - interval '40 days', now() - interval '40 days', 'completed' from organization o, generate_series(1, $1::int) n
"""


@pytest.mark.server
async def test_days_are_set_shown_and_kept_to(tmp_path: Path) -> None:
    console = Console(tmp_path)
    (shown,) = console.run("retention", "show", "--json").json["organizations"]
    assert (shown["retention_days"], shown["audit_days"], shown["runs"]) == (None, None, [])
    await console.rows(OLD, 7)
    assert console.run("retention", "run", "--json").json == {"dry_run": False, "runs": [], "answers": 0}
    was_set = console.run("retention", "set", "30", "--audit", "400", "--json").json
    assert (was_set["retention_days"], was_set["audit_days"], was_set["sessions"]) == (30, 400, 7)
    assert console.run("retention", "run", "--dry-run", "--json").json["organizations"][0]["sessions"] == 7
    (run,) = console.run("retention", "run", "--org", "all", "--batch", "3", "--json").json["runs"]
    assert (run["organization"], run["status"], run["sessions"]) == ("local", "done", 7)
    assert not await console.rows("select from call_session")
    was_set = console.run("retention", "set", "forever", "--org", "local", "--json").json
    assert (was_set["retention_days"], was_set["audit_days"]) == (None, 400)


@pytest.mark.server
async def test_it_keeps_running_until_it_is_ended(tmp_path: Path) -> None:
    console = Console(tmp_path)
    console.run("retention", "set", "30")
    await console.rows(OLD, 3)
    with console.running("retention", "run", "--every", "1s", "--json") as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        assert b'"sessions": 3' in first
        assert b'"sessions": 0' in second
        console.interrupted(process, signal.SIGTERM, code=128 + signal.SIGTERM)
    assert not console.servers()


@pytest.mark.server
def test_an_organization_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = Console(tmp_path).run("retention", "show", "--org", "Globex", code=1)
    assert "Globex" in done.err
    assert "local" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("set",),
        ("set", "0"),
        ("set", "36501"),
        ("set", "a month"),
        ("run", "--every", "often"),
        ("run", "--every", "0h"),
        ("run", "--every", "1h", "--dry-run"),
        ("run", "--batch", "0"),
    ],
)
def test_what_makes_no_sense_is_refused(patchbay: Patchbay, arguments: tuple[str, ...]) -> None:
    assert patchbay("retention", *arguments).exit_code == 2
