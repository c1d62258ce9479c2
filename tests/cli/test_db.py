"""`patchbay db`, and the store that commands open, on a real embedded Postgres."""

import json
from pathlib import Path

import pytest

from runtime.store.migrations import SchemaStatus
from tests.cli.conftest import Patchbay


@pytest.mark.server
def test_the_embedded_database_from_nothing(patchbay: Patchbay, tmp_path: Path) -> None:
    before = json.loads(patchbay("db", "status", "--json").stdout)
    assert (before["database"], before["state"], before["applied"]) == ("embedded", "empty", [])
    applied = patchbay("db", "migrate").stdout.splitlines()
    assert [line.split()[0] for line in applied] == before["pending"]
    again = patchbay("db", "migrate")
    assert (again.exit_code, again.stdout) == (0, "")
    assert json.loads(patchbay("db", "status", "--json").stdout)["state"] == "current"
    assert "current" in patchbay("db", "status").stdout
    assert patchbay("db", "url").stdout.startswith("postgresql://postgres@/postgres?host=")
    assert not list((tmp_path / "home" / "run").glob(".s.PGSQL*"))


@pytest.mark.server
def test_a_command_migrates_the_embedded_database_and_makes_the_organization(patchbay: Patchbay) -> None:
    assert patchbay("variable", "set", "brand", "Acme").exit_code == 0
    assert json.loads(patchbay("variable", "list", "--json").stdout)["variables"][0]["value"] == "Acme"
    assert json.loads(patchbay("session", "list", "--json").stdout) == {"sessions": []}
    assert patchbay("session", "show", "abc").exit_code == 1


def test_a_database_that_is_away_is_3_and_names_no_password(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pw-secret@127.0.0.1:1/db")
    for command in (["db", "status"], ["db", "migrate"], ["workflow", "list"], ["doctor"]):
        result = patchbay(*command)
        assert result.exit_code == 3, result.output
        assert "pw-secret" not in result.output
        assert "Traceback" not in result.output


def test_db_url_is_usable_by_psql(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pw@db/x")
    assert patchbay("db", "url").stdout == "postgresql://u:pw@db/x\n"


def test_supabase_alone_says_what_needs_the_database_itself(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "k-secret")
    for command, named in (
        (["db", "url"], "DATABASE_URL"),
        (["db", "migrate"], "DATABASE_URL"),
        (["db", "status"], "SUPABASE_URL"),
        (["session", "list"], "SUPABASE_URL"),
    ):
        result = patchbay(*command)
        assert result.exit_code == 3
        assert named in result.stderr
        assert "k-secret" not in result.output


def test_a_home_that_cannot_be_used_is_2(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("PATCHBAY_HOME", "file/home")
    for command in (["session", "list"], ["db", "status"]):
        result = patchbay(*command)
        assert result.exit_code == 2
        assert "PATCHBAY_HOME" in result.stderr


def test_the_status_of_a_given_database_masks_its_password(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    async def status(_settings: object) -> SchemaStatus:
        return SchemaStatus(("1",), ("2",), ())

    monkeypatch.setattr("cli.db.schema_status", status)
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:pw@db/x")
    assert json.loads(patchbay("db", "status", "--json").stdout) == {
        "database": "postgresql://u:•••@db/x",
        "state": "older",
        "applied": ["1"],
        "pending": ["2"],
        "unknown": [],
    }
    assert "1 migrations to apply" in patchbay("db", "status").stdout
