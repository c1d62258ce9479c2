"""Files as documents: text, Markdown, HTML and PDF, each read by a kept library, and a clear word about those that cannot be."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from runtime.errors import UsageFault
from runtime.knowledge.html import read_html
from runtime.knowledge.markdown import read_markdown
from runtime.knowledge.outline import Outline, Part
from runtime.knowledge.passages import cleaned
from runtime.knowledge.pdf import Encrypted, NoPdf, read_pdf

__all__ = ["MAX_BYTES", "MAX_CHARACTERS", "SUFFIXES", "Document", "DocumentRefused", "find_documents", "read_document"]

MediaType = Literal["text/plain", "text/markdown", "text/html", "application/pdf"]

SUFFIXES: dict[str, MediaType] = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
    ".pdf": "application/pdf",
}
MAX_BYTES = 64 * 1024 * 1024
MAX_CHARACTERS = 5_000_000
_MAX_TITLE = 200
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{2,40})", re.IGNORECASE)


class DocumentRefused(UsageFault):
    """A file cannot be read as a document; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: `name` tells it from others of its base, `sha256` is that of its bytes."""

    name: str
    title: str
    media_type: MediaType
    sha256: str
    parts: tuple[Part, ...]

    @property
    def characters(self) -> int:
        return sum(len(part.text) for part in self.parts)


def find_documents(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield (name, file): a file under its own name, those of a folder (with a known suffix, not hidden) under their path in it.

    Raises `DocumentRefused` for a folder that holds no such file.
    """
    for path in paths:
        if not path.is_dir():
            yield path.name, path
            continue
        found = sorted(file for file in path.rglob("*") if _is_wanted(file.relative_to(path)) and file.is_file())
        if not found:
            raise DocumentRefused(f"{path} holds no document.", remedy=f"Known suffixes: {' '.join(SUFFIXES)}.")
        yield from ((file.relative_to(path).as_posix(), file) for file in found)


def _is_wanted(relative: Path) -> bool:
    return relative.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in relative.parts)


def read_document(path: Path, *, name: str = "") -> Document:
    """Read a file by its suffix, under the file's own name unless told otherwise. Blocks, seconds for a long PDF.

    Raises `DocumentRefused`: no such file, an unknown suffix, too large, empty, binary, not UTF-8, no PDF, encrypted,
    or a PDF of pictures without text.
    """
    media_type = SUFFIXES.get(path.suffix.lower())
    if media_type is None:
        raise DocumentRefused(
            f"{path} has a suffix that is not known.", remedy=f"Known suffixes: {' '.join(SUFFIXES)}."
        )
    content = _content(path)
    title, parts = _parsed(path, media_type, content)
    document = Document(
        name=cleaned(name or path.name),
        title=(" ".join(title.split()) or path.stem)[:_MAX_TITLE],
        media_type=media_type,
        sha256=hashlib.sha256(content).hexdigest(),
        parts=parts,
    )
    _check_length(path, document)
    return document


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DocumentRefused(
                f"{path} is {size / 2**20:.0f} MiB; a document may be {MAX_BYTES // 2**20}.", remedy="Split it."
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DocumentRefused(f"{path} cannot be read: {why}.", remedy="Check its name and its permissions.") from error


def _parsed(path: Path, media_type: MediaType, content: bytes) -> tuple[str, tuple[Part, ...]]:
    match media_type:
        case "application/pdf":
            return _pdf(path, content)
        case "text/markdown":
            outline = read_markdown(_decoded(path, content))
        case "text/html":
            outline = read_html(_decoded(path, content, _declared(content)))
        case "text/plain":
            outline = Outline()
            outline.text(_decoded(path, content))
        case other:
            assert_never(other)
    return outline.title, outline.parts()


def _pdf(path: Path, content: bytes) -> tuple[str, tuple[Part, ...]]:
    try:
        title, parts = read_pdf(content)
    except Encrypted as error:
        raise DocumentRefused(f"{path} is encrypted.", remedy="Save a copy without a password.") from error
    except NoPdf as error:
        raise DocumentRefused(f"{path} is no PDF that can be opened.", remedy="Save it as PDF again.") from error
    if not parts:
        raise DocumentRefused(
            f"{path} holds pictures and no text: it was scanned.",
            remedy="Have a program for text recognition add the text: ocrmypdf in.pdf out.pdf",
        )
    return title, parts


def _declared(content: bytes) -> str | None:
    found = _CHARSET.search(content[:4096])
    return found[1].decode("ascii") if found else None


def _decoded(path: Path, content: bytes, declared: str | None = None) -> str:
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), None)
    for each in filter(None, (encoding, None if encoding else "utf-8", declared)):
        try:
            text = content.decode(each)
        except (UnicodeDecodeError, LookupError):
            continue
        if "\x00" not in text:
            return text
    if b"\x00" in content and encoding is None:
        raise DocumentRefused(f"{path} is a binary file.", remedy="Export it as text, Markdown, HTML or PDF.")
    raise DocumentRefused(
        f"{path} is not UTF-8 text.", remedy=f"Convert it: iconv -f WINDOWS-1252 -t UTF-8 '{path.name}'"
    )


def _check_length(path: Path, document: Document) -> None:
    if not document.parts:
        raise DocumentRefused(f"{path} is empty.", remedy="Leave it out, or fill it.")
    if document.characters > MAX_CHARACTERS:
        raise DocumentRefused(
            f"{path} has {document.characters:,} characters; a document may have {MAX_CHARACTERS:,}.",
            remedy="Split it.",
        )
