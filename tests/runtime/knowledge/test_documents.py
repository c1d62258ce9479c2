"""Files as documents, and what is said of those that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.knowledge import documents
from runtime.knowledge.documents import Document, DocumentRefused, find_documents, read_document
from tests.fakes.papers import encrypted_pdf, pdf


def read(folder: Path, name: str, content: str | bytes) -> Document:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_document(path)


def test_text_is_one_part(tmp_path: Path) -> None:
    document = read(tmp_path, "hours.txt", "\ufeffWe open at nine.\r\n\r\n\r\n\r\nGrüße\x00"[:-1])
    assert (document.name, document.title, document.media_type) == ("hours.txt", "hours", "text/plain")
    assert [(part.place, part.text) for part in document.parts] == [("", "We open at nine.\n\nGrüße")]
    assert document.characters == 23


def test_markdown_is_cut_at_its_headings(tmp_path: Path) -> None:
    text = "---\ntitle: x\n---\nIntro\n\n# Guide\nfirst\n```\n# no heading\n```\n## Refunds *now*\nsecond\n# Other\nthird\n"
    document = read(tmp_path, "a.md", text)
    assert document.title == "Guide"
    assert [(part.place, part.text) for part in document.parts] == [
        ("", "Intro"),
        ("Guide", "first\n```\n# no heading\n```"),
        ("Guide › Refunds *now*", "second"),
        ("Other", "third"),
    ]
    assert read(tmp_path, "b.md", "# Only\n## Headings\n").parts[0].text == "Only\nHeadings"


PAGE = """<html><head><title>Shop</title><style>b {}</style></head><body><nav>Home</nav>
<h1>Our <b>shop</b></h1><p>Open   from
 <i>nine</i>.<script>alert(1)</script></p>
<table><tr><th>Day</th><th>Hours</th></tr><tr><td>Monday</td><td>9–6</td></tr></table>
<h2>Returns</h2>Bring it:<ul><li>box</li><li>bill</li></ul><pre>a
  b</pre><p hidden>not seen</p><footer>Imprint</footer></body></html>"""


def test_html_is_what_a_reader_sees(tmp_path: Path) -> None:
    document = read(tmp_path, "shop.HTML", PAGE)
    assert document.title == "Our shop"
    assert [(part.place, part.text) for part in document.parts] == [
        ("Our shop", "Open from nine.\n\nDay | Hours\nMonday | 9–6"),
        ("Our shop › Returns", "Bring it:\n\n- box\n- bill\n\na\n  b"),
    ]


def test_html_is_read_in_its_own_encoding_and_however_deep(tmp_path: Path) -> None:
    latin = "<meta charset='iso-8859-1'><title>Größe</title><p>Grüße".encode("latin-1")
    document = read(tmp_path, "a.htm", latin)
    assert (document.title, document.parts[0].text) == ("Größe", "Grüße")
    assert read(tmp_path, "b.html", "<div>" * 20_000 + "deep").parts[0].text == "deep"


def test_a_pdf_is_its_pages(tmp_path: Path) -> None:
    document = read(tmp_path, "terms.pdf", pdf(["Refunds take a week.", "", "No smoking."], title="Terms"))
    assert (document.title, document.media_type) == ("Terms", "application/pdf")
    assert [(part.place, part.text) for part in document.parts] == [
        ("page 1", "Refunds take a week."),
        ("page 3", "No smoking."),
    ]


REFUSED = {
    "a.txt": (b" \n", "is empty", "Leave it out"),
    "b.txt": (b"PK\x03\x04\x00\x00", "binary", "Export it"),
    "c.txt": ("Grüße".encode("latin-1"), "not UTF-8", "iconv"),
    "d.docx": (b"x", "suffix", ".pdf"),
    "e.pdf": (b"%PDF-1.4 broken", "no PDF", "again"),
    "f.pdf": (encrypted_pdf(), "encrypted", "password"),
    "g.pdf": (pdf(["", ""]), "scanned", "ocrmypdf"),
    "h.html": (b"<html><body><script>x()</script></body></html>", "is empty", "Leave"),
    "i.pdf": (b"", "no PDF", "again"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named_with_a_remedy(tmp_path: Path, name: str) -> None:
    content, why, remedy = REFUSED[name]
    with pytest.raises(DocumentRefused) as caught:
        read(tmp_path, name, content)
    assert name in caught.value.message
    assert why in caught.value.message
    assert remedy in caught.value.remedy


def test_what_is_not_there_or_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DocumentRefused, match="No such file"):
        read_document(tmp_path / "no.txt")
    monkeypatch.setattr(documents, "MAX_CHARACTERS", 10)
    with pytest.raises(DocumentRefused, match="11 characters"):
        read(tmp_path, "a.txt", "x" * 11)
    monkeypatch.setattr(documents, "MAX_BYTES", 10)
    with pytest.raises(DocumentRefused, match="MiB"):
        read(tmp_path, "a.txt", "x" * 11)


def test_a_folder_is_its_known_files(tmp_path: Path) -> None:
    for name in ("b.md", "sub/a.txt", ".git/c.txt", "image.png", "sub/.hidden.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [name for name, _file in find_documents([tmp_path, tmp_path / "image.png"])] == [
        "b.md",
        "sub/a.txt",
        "image.png",
    ]
    with pytest.raises(DocumentRefused, match="no document"):
        list(find_documents([tmp_path / ".git"])) and list(find_documents([_empty(tmp_path)]))


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"
