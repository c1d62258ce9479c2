"""`patchbay variable` and `patchbay secret`."""

import asyncio
import json
from pathlib import Path

import pytest

from runtime.session.ports import WorkspaceVariableRow
from runtime.store.memory import MemoryStore
from runtime.store.secrets import open_keyring
from tests.cli.conftest import Patchbay


def test_variables_are_set_changed_listed_and_removed(patchbay: Patchbay, store: MemoryStore) -> None:
    for name, value in (("brand", "Acme"), ("line", "7"), ("brand", "Acme Ltd")):
        result = patchbay("variable", "set", name, value)
        assert (result.exit_code, result.stdout) == (0, "")
    rows = json.loads(patchbay("variable", "list", "--json").stdout)["variables"]
    assert [(row["name"], row["value"], row["is_secret"]) for row in rows] == [
        ("brand", "Acme Ltd", False),
        ("line", "7", False),
    ]
    assert "Acme Ltd" in patchbay("variable", "list").stdout
    assert patchbay("variable", "remove", "line").exit_code == 0
    assert "line" not in patchbay("variable", "list").stdout


def test_a_value_may_begin_with_a_dash(patchbay: Patchbay, store: MemoryStore) -> None:
    assert patchbay("variable", "set", "--", "offset", "-5").exit_code == 0
    assert json.loads(patchbay("variable", "list", "--json").stdout)["variables"][0]["value"] == "-5"


def test_secrets_are_stored_encrypted_and_never_shown(patchbay: Patchbay, store: MemoryStore, tmp_path: Path) -> None:
    assert patchbay("secret", "set", "ORDERS_KEY", stdin="päss word\r\n").exit_code == 0
    (row,) = asyncio.run(all_rows(store))
    assert row.is_secret
    assert open_keyring(None, tmp_path / "home").decrypt(row.value) == "päss word"
    for command in (
        ["secret", "list"],
        ["variable", "list"],
        ["secret", "list", "--json"],
        ["variable", "list", "--json"],
    ):
        output = patchbay(*command).output
        assert "ORDERS_KEY" in output
        assert "päss" not in output
        assert row.value not in output
    assert json.loads(patchbay("variable", "list", "--json").stdout)["variables"][0]["value"] is None
    assert [row["name"] for row in json.loads(patchbay("secret", "list", "--json").stdout)["secrets"]] == ["ORDERS_KEY"]


async def all_rows(store: MemoryStore) -> list[WorkspaceVariableRow]:
    return await store.variables((await store.ensure_organization("local")).id)


@pytest.mark.parametrize("stdin", ["", "\n", b"\xff\xfe", "x" * 70_000])
def test_a_secret_without_a_proper_value_is_refused(patchbay: Patchbay, store: MemoryStore, stdin: str) -> None:
    result = patchbay("secret", "set", "KEY", stdin=stdin)
    assert result.exit_code == 2
    assert asyncio.run(all_rows(store)) == []


@pytest.mark.parametrize("name", ["", "a b", "a.b", "1a", "ä", "a" * 101, "a\x1b"])
def test_names_that_no_template_reads_are_refused(patchbay: Patchbay, store: MemoryStore, name: str) -> None:
    for args in (["variable", "set", name, "x"], ["secret", "set", name]):
        result = patchbay(*args, stdin="x")
        assert result.exit_code == 2
        assert "\x1b" not in result.output


def test_a_secret_is_not_overwritten_by_a_variable(patchbay: Patchbay, store: MemoryStore) -> None:
    patchbay("secret", "set", "KEY", stdin="x")
    result = patchbay("variable", "set", "KEY", "plain")
    assert result.exit_code == 2
    assert "patchbay secret set KEY" in result.stderr


@pytest.mark.parametrize("kind", ["variable", "secret"])
def test_removing_what_is_not_there_names_what_is(patchbay: Patchbay, store: MemoryStore, kind: str) -> None:
    patchbay("variable", "set", "brand", "Acme")
    patchbay("secret", "set", "KEY", stdin="x")
    result = patchbay(kind, "remove", "nothing")
    assert result.exit_code == 1
    assert ("brand" if kind == "variable" else "KEY") in result.stderr


def test_a_database_that_is_away_is_3(patchbay: Patchbay, store: MemoryStore) -> None:
    store.away = True
    result = patchbay("variable", "list", "--json")
    assert (result.exit_code, result.stdout) == (3, "")


def test_empty_lists_are_json_too(patchbay: Patchbay, store: MemoryStore) -> None:
    assert json.loads(patchbay("variable", "list", "--json").stdout) == {"variables": []}
    assert json.loads(patchbay("secret", "list", "--json").stdout) == {"secrets": []}
    result = patchbay("variable", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "patchbay variable set" in result.stderr
