"""A document that came as the body of a request, by its Content-Type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Final

from api.problems import Problem
from runtime.knowledge.documents import Document, DocumentRefused, read_document

__all__ = ["MAX_BYTES", "MEDIA_TYPES", "document_of"]

MAX_BYTES: Final = 10 * 1024 * 1024
MEDIA_TYPES: Final = {
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
}
_STEM: Final = "document-without-a-title"


def document_of(name: str, content_type: str, content: bytes) -> Document:
    """Return the document that these bytes are. Blocks, seconds for a long PDF.

    Raises the problems 413, 415 and 422 (it cannot be read; the detail says why).
    """
    suffix = MEDIA_TYPES.get(content_type.partition(";")[0].strip().lower())
    if suffix is None:
        raise Problem(
            415,
            "unsupported_media_type",
            f"A document of the type {content_type[:100] or '(none)'!r} cannot be read.",
            remedy=f"Send one of these as Content-Type: {', '.join(MEDIA_TYPES)}.",
        )
    if len(content) > MAX_BYTES:
        raise Problem(413, "too_large", f"A document may be {MAX_BYTES // 2**20} MiB.", remedy="Split it.")
    with TemporaryDirectory(prefix="patchbay-") as folder:
        path = Path(folder, _STEM + suffix)
        path.write_bytes(content)
        try:
            document = read_document(path, name=name)
        except DocumentRefused as error:
            detail, remedy = (text.replace(str(path), name) for text in (error.message, error.remedy))
            raise Problem(422, "invalid_request", detail, remedy=remedy.replace(path.name, name)) from None
    return replace(document, title=PurePosixPath(name).stem[:200]) if document.title == _STEM else document
