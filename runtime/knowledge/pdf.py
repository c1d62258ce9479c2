"""PDF as parts: a page each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pypdfium2
from pypdfium2 import PdfDocument, PdfiumError

from runtime.knowledge.outline import Part
from runtime.knowledge.passages import cleaned

__all__ = ["Encrypted", "NoPdf", "read_pdf"]

# PDFium's mark for a hyphen at the end of a line, where the word goes on in the next.
_HYPHENATED = re.compile(r"[\x02\ufffe\u00ad]\r?\n?")
_PASSWORD = pypdfium2.raw.FPDF_ERR_PASSWORD


class NoPdf(Exception):
    """The bytes are no PDF, or a broken one."""


class Encrypted(Exception):
    """The PDF asks for a password."""


def read_pdf(content: bytes) -> tuple[str, tuple[Part, ...]]:
    """Return the title (empty where the file has none) and the pages that have text; raises `NoPdf` and `Encrypted`."""
    try:
        with closing(PdfDocument(content)) as pdf:
            title = cleaned(pdf.get_metadata_value("Title")).strip()
            return title, tuple(_pages(pdf))
    except PdfiumError as error:
        raise (Encrypted if error.err_code == _PASSWORD else NoPdf)(str(error)) from error


def _pages(pdf: PdfDocument) -> Iterator[Part]:
    for number in range(len(pdf)):
        with closing(pdf[number]) as page, closing(page.get_textpage()) as text:
            words = cleaned(_HYPHENATED.sub("", text.get_text_bounded())).strip()
        if words:
            yield Part(f"page {number + 1}", words)
