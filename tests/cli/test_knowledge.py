"""`patchbay knowledge`, on a real Postgres."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Settings
from runtime.store.memory import MemoryStore
from runtime.store.postgres import PostgresStore
from tests.cli.conftest import Patchbay
from tests.contract.conftest import databases
from tests.fakes.databases import Databases
from tests.fakes.papers import pdf

pytestmark = pytest.mark.server

__all__ = ["databases"]

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def database(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database that every command of the test opens."""
    url = asyncio.run(databases.migrated())

    @asynccontextmanager
    async def opened() -> AsyncIterator[PostgresStore]:
        store = PostgresStore(url)
        try:
            yield store
        finally:
            await store.aclose()

    def opening(_settings: Settings) -> AbstractAsyncContextManager[PostgresStore]:
        return opened()

    monkeypatch.setattr("cli.context._opened", opening)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "sub").mkdir(parents=True)
    (folder / "terms.md").write_text("# Terms\n## Refunds\nWe refund within a week.\n")
    (folder / "sub" / "hours.html").write_text("<title>Hours</title><p>We are open from nine.")
    (tmp_path / "fees.pdf").write_bytes(pdf(["A copy costs ten cents."], title="Fees"))
    return folder


def said(patchbay: Patchbay, *args: str, code: int = 0) -> Json:
    result = patchbay("knowledge", *args, "--json")
    assert result.exit_code == code, result.output
    found: Json = json.loads(result.stdout)
    return found


def test_documents_are_added_listed_found_and_removed(patchbay: Patchbay, files: Path) -> None:
    added = said(patchbay, "add", "shop", str(files), "fees.pdf", "--language", "english")
    assert {each["name"]: each["status"] for each in added["documents"]} == {
        "sub/hours.html": "added",
        "terms.md": "added",
        "fees.pdf": "added",
    }
    (files / "terms.md").write_text("# Terms\n## Refunds\nWe refund within a month.\n")
    again = said(patchbay, "add", "shop", str(files))
    assert [each["status"] for each in again["documents"]] == ["unchanged", "replaced"]
    (base,) = said(patchbay, "list")["knowledge_bases"]
    assert (base["name"], base["documents"], base["language"], base["embedding"]) == ("shop", 3, "english", None)
    listed = said(patchbay, "list", "shop")["documents"]
    assert [(each["name"], each["title"]) for each in listed] == [
        ("fees.pdf", "Fees"),
        ("sub/hours.html", "Hours"),
        ("terms.md", "Terms"),
    ]
    found = said(patchbay, "search", "shop", "what do copies cost?", "--limit", "1")
    assert [(each["document"], each["place"]) for each in found["passages"]] == [("Fees", "page 1")]
    assert "within a month" in patchbay("knowledge", "search", "shop", "refund").stdout
    assert "Fees" in patchbay("knowledge", "list", "shop").stdout
    assert said(patchbay, "remove", "shop", "fees.pdf")["removed"]
    assert said(patchbay, "search", "shop", "copies")["passages"] == []
    assert patchbay("knowledge", "remove", "shop").exit_code == 0
    assert said(patchbay, "list") == {"knowledge_bases": []}


def test_a_bad_file_costs_the_others_nothing(patchbay: Patchbay, files: Path, tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(pdf([""]))
    (tmp_path / "empty").mkdir()
    names = ("scan.pdf", "missing.txt", "empty", "fees.pdf")
    result = said(patchbay, "add", "shop", *names, code=2)
    assert [each["name"] for each in result["documents"]] == ["fees.pdf"]
    assert {each["file"] for each in result["faults"]} == {"scan.pdf", "missing.txt", "empty"}
    assert all(each["remedy"] for each in result["faults"])
    shown = patchbay("knowledge", "add", "shop", *names)
    assert "unchanged fees.pdf" in shown.stdout
    assert "ocrmypdf" in shown.stderr


def test_two_files_of_one_name_are_told_apart(patchbay: Patchbay, files: Path, tmp_path: Path) -> None:
    (tmp_path / "terms.md").write_text("other")
    result = said(patchbay, "add", "shop", str(files / "terms.md"), "terms.md", "terms.md", code=2)
    assert len(result["documents"]) == 1
    assert "take its place" in result["faults"][0]["message"]


def test_an_unknown_base_or_language_names_what_there_is(patchbay: Patchbay, files: Path) -> None:
    said(patchbay, "add", "shop", "fees.pdf")
    for args in (("list", "x"), ("search", "x", "y"), ("remove", "x"), ("embed", "x")):
        result = patchbay("knowledge", *args)
        assert result.exit_code == 1
        assert "'x'" in result.stderr
    result = patchbay("knowledge", "add", "shop", "fees.pdf", "--language", "klingon")
    assert result.exit_code == 2
    assert "german" in result.stderr


def test_a_base_is_embedded_offline(patchbay: Patchbay, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(patchbay, "add", "shop", str(files), "fees.pdf", "--language", "english")
    monkeypatch.setenv("PATCHBAY_EMBEDDING", "local")
    assert said(patchbay, "embed", "shop")["dimensions"] == 512
    found = said(patchbay, "search", "shop", "Wann habt ihr geöffnet?")
    assert (found["passages"][0]["document"], found["notes"]) == ("Hours", [])
    monkeypatch.delenv("PATCHBAY_EMBEDDING")
    result = patchbay("knowledge", "search", "shop", "refund")
    assert "patchbay knowledge embed 'shop'" in result.stderr
    assert patchbay("knowledge", "embed", "shop").stdout == "shop is found by its words\n"


def test_knowledge_needs_postgres(patchbay: Patchbay, store: MemoryStore) -> None:
    result = patchbay("knowledge", "list")
    assert result.exit_code == 3
    assert "Postgres" in result.stderr
