"""`patchbay knowledge`: documents for agents to look things up in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cli.context import CliStore, with_store
from cli.output import console, hint, plain, print_error, print_json, print_table, say
from cli.verb import epilog, new_app
from runtime.errors import PatchbayError, Unreachable, UsageFault
from runtime.knowledge.documents import Document, DocumentRefused, find_documents, read_document
from runtime.knowledge.embedding import Embedder, open_embedder
from runtime.knowledge.library import Library
from runtime.knowledge.rows import Added
from runtime.knowledge.searching import Answer, Searcher
from runtime.store.opening import database_of, need_database_url

__all__ = ["app"]

T = TypeVar("T")

app = new_app("Add documents for agents to look things up in, and search them.")

_JSON = typer.Option(False, "--json", help="Print one JSON object.")
# Who waits at a terminal is no caller: the model may be loaded first.
_PATIENCE_S = 30.0
_BASE = typer.Argument(metavar="KB", help="The knowledge base's name.")


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What the commands work with: the organization's library, and what searches it."""

    library: Library
    searcher: Searcher
    organization_id: str
    embedder: Embedder | None


@dataclass(slots=True)
class _Report:
    """What became of the files that were named."""

    added: list[Added] = field(default_factory=list)
    faults: list[tuple[str, PatchbayError]] = field(default_factory=list)


@app.command(epilog=epilog("patchbay knowledge add handbook handbook.pdf faq.md website/"))
def add(
    kb: str = _BASE,
    files: list[Path] = typer.Argument(
        metavar="FILE…", help="Text, Markdown, HTML or PDF, or a folder with such files."
    ),
    language: str | None = typer.Option(
        None,
        "--language",
        help="One of Postgres's: english, german, simple, … Guessed from the first document.",
        show_default=False,
    ),
    as_json: bool = _JSON,
) -> None:
    """Add documents to a base, which is made where it is missing. A file added again takes the old one's place."""
    report = _Report()
    with _progress(quiet=as_json) as bar:

        async def work(shelf: _Shelf) -> None:
            await shelf.library.check(kb, language=language)
            await _add_all(shelf, kb, _named(files, report), language, report, bar)

        _with_shelf(work)
    _print_report(kb, report, as_json=as_json)
    if report.faults:
        raise typer.Exit(UsageFault.exit_code)


@app.command("list", epilog=epilog("patchbay knowledge list", "patchbay knowledge list handbook"))
def list_(
    kb: str | None = typer.Argument(None, metavar="[KB]", help="A knowledge base, to list its documents."),
    as_json: bool = _JSON,
) -> None:
    """List the bases, or the documents of one."""
    if kb is None:
        _list_bases(as_json=as_json)
    else:
        _list_documents(kb, as_json=as_json)


@app.command(epilog=epilog('patchbay knowledge search handbook "How long may I return something?"'))
def search(
    kb: str = _BASE,
    query: str = typer.Argument(metavar="QUERY", help="The question, as a caller would ask it."),
    limit: int = typer.Option(4, "--limit", min=1, max=50, help="Passages at most."),
    as_json: bool = _JSON,
) -> None:
    """Search a base as an agent does."""

    async def work(shelf: _Shelf) -> Answer:
        return await shelf.searcher.of(shelf.organization_id).answer(
            [kb], query, limit=limit, timeout_s=2 * _PATIENCE_S
        )

    answer = _with_shelf(work)
    if as_json:
        print_json({"passages": [asdict(each) for each in answer.passages], "notes": list(answer.notes)})
        return
    for note in answer.notes:
        hint(note)
    for passage in answer.passages:
        say(f"{passage.score:.2f}  {', '.join(filter(None, (passage.document, passage.place)))}", style="bold")
        say(f"{passage.text}\n")
    if not answer.passages:
        hint("Nothing was found.")


@app.command(epilog=epilog("patchbay knowledge remove handbook faq.md", "patchbay knowledge remove handbook"))
def remove(
    kb: str = _BASE,
    document: str | None = typer.Argument(None, metavar="[DOCUMENT]", help="The document's name, as `list` shows it."),
    as_json: bool = _JSON,
) -> None:
    """Remove a document, or the whole base."""

    async def work(shelf: _Shelf) -> None:
        await shelf.library.remove(kb, document)

    _with_shelf(work)
    if as_json:
        print_json({"knowledge_base": kb, "document": document, "removed": True})
    else:
        say(f"Removed {kb}" if document is None else f"Removed {document} from {kb}")


@app.command(epilog=epilog("PATCHBAY_EMBEDDING=local patchbay knowledge embed handbook"))
def embed(kb: str = _BASE, as_json: bool = _JSON) -> None:
    """Embed a base anew with the model that PATCHBAY_EMBEDDING names; without one, have it found by its words alone."""
    with _progress(quiet=as_json) as bar:

        async def work(shelf: _Shelf) -> Any:
            total = (await shelf.library.base(kb)).chunks if shelf.embedder else 0
            task = bar.add_task(kb, total=total)
            return await shelf.library.embed(kb, on_chunks=lambda count: bar.advance(task, count))

        row = _with_shelf(work)
    if as_json:
        print_json(row)
    else:
        say(
            f"{kb} is found by its words and by meaning ({row.embedding})"
            if row.embedding
            else f"{kb} is found by its words"
        )


def _list_bases(*, as_json: bool) -> None:
    bases = _with_shelf(lambda shelf: shelf.library.bases())
    if as_json:
        print_json({"knowledge_bases": [asdict(base) for base in bases]})
        return
    rows = [(base.name, base.documents, base.chunks, base.language, base.embedding) for base in bases]
    empty = "There is no knowledge base yet: patchbay knowledge add NAME FILE…"
    print_table(("name", "documents", "chunks", "language", "embedding"), rows, empty=empty)


def _list_documents(kb: str, *, as_json: bool) -> None:
    documents = _with_shelf(lambda shelf: shelf.library.documents(kb))
    if as_json:
        print_json({"knowledge_base": kb, "documents": [asdict(document) for document in documents]})
        return
    rows = [(each.name, each.title, each.media_type, each.chunks, each.added_at) for each in documents]
    empty = f"{kb} has no documents: patchbay knowledge add {kb} FILE…"
    print_table(("name", "title", "type", "chunks", "added"), rows, empty=empty)


def _with_shelf(work: Callable[[_Shelf], Awaitable[T]]) -> T:
    async def opened(store: CliStore) -> T:
        async with _shelf(store) as shelf:
            return await work(shelf)

    return with_store(opened)


@asynccontextmanager
async def _shelf(opened: CliStore) -> AsyncIterator[_Shelf]:
    need_database_url(opened.settings, "Keeping knowledge")
    if (database := database_of(opened.store)) is None:
        raise Unreachable(
            "Knowledge is kept in Postgres.", remedy="Set DATABASE_URL, or unset it for the embedded one."
        )
    async with open_embedder(opened.settings) as embedder:
        organization_id = opened.organization.id
        library = Library(database, organization_id, embedder)
        yield _Shelf(library, Searcher(database, embedder, embedding_s=_PATIENCE_S), organization_id, embedder)


def _named(files: Sequence[Path], report: _Report) -> Mapping[str, Path]:
    """Return the documents by name; what cannot be one of them is a fault, and the others go on."""
    found: dict[str, Path] = {}
    for path in files:
        try:
            for name, file in find_documents([path]):
                _check_name(found.setdefault(name, file), file)
        except DocumentRefused as error:
            report.faults.append((str(path), error))
    return found


def _check_name(first: Path, file: Path) -> None:
    if first.resolve() != file.resolve():
        raise DocumentRefused(
            f"{file} has the name of {first}, and would take its place.",
            remedy="Rename one of them, or add the folder that holds both.",
        )


async def _add_all(
    shelf: _Shelf, kb: str, named: Mapping[str, Path], language: str | None, report: _Report, bar: Progress
) -> None:
    task = bar.add_task("Adding", total=len(named))
    for name, file in named.items():
        bar.update(task, description=plain(name))
        try:
            document: Document = read_document(file, name=name)
        except DocumentRefused as error:
            report.faults.append((str(file), error))
        else:
            report.added.append(await shelf.library.add(kb, document, language=language))
        bar.advance(task)
    if report.added:
        await shelf.library.count_words(kb)


def _print_report(kb: str, report: _Report, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "knowledge_base": kb,
                "documents": [_row(added) for added in report.added],
                "faults": [
                    {"file": file, "message": error.message, "remedy": error.remedy} for file, error in report.faults
                ],
            }
        )
        return
    for added in report.added:
        say(f"{added.status:9} {added.document.name}  ({added.document.chunks} chunks)")
    for _file, error in report.faults:
        print_error(error)


def _row(added: Added) -> Mapping[str, object]:
    return {**asdict(added.document), "status": added.status, "embedded": added.embedded}


def _progress(*, quiet: bool) -> Progress:
    """Return a bar on stderr; none where nobody looks at it."""
    target = console(err=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=target, transient=True, disable=quiet or not target.is_terminal)
