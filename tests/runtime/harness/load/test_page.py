"""The report of a load test: a page that can be read without anything else, its plots with every point, and its JSON."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from runtime.errors import UsageFault
from runtime.harness.load.figures import Limits
from runtime.harness.load.page import rendered
from runtime.harness.load.plots import Axes, Series, histogram, lines, scatter
from runtime.harness.load.report import make_folder
from tests.runtime.harness.load.samples import report

AXES = Axes("A plot", "seconds & more", "ms")
EMPTY = {"meta", "br"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and keeps them and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def marked(self, tag: str, mark: str) -> int:
        return sum(name == tag and mark in (attrs.get("class") or "").split() for name, attrs in self.tags)


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    page = Page(rendered(report()))
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "img", "iframe"})
    assert not re.search(r"https?://|@import|url\(", rendered(report()))
    assert "did not pass" in page.text
    assert "3 at once, a <workflow>" in page.text
    assert "The agent said nothing for 15 s after step 1: <hello>" in page.text
    assert "2 / 3" in page.text
    assert "my bill please\n[interrupt 1] my bill please\n[dtmf 1#]" in page.text


def test_each_answer_is_a_point_and_each_second_a_step() -> None:
    page = Page(rendered(report(Limits(response_p95=500))))
    assert (page.marked("circle", "c1"), page.marked("circle", "c2"), page.marked("circle", "c3")) == (2, 2, 3)
    assert page.marked("line", "limit") == 1
    assert page.marked("path", "curve") == 5  # calls as the callers and the workers have them, CPU, memory


def test_points_lie_where_they_belong() -> None:
    svg = drawn(scatter(AXES, [Series("a", [(0.0, 0.0), (10.0, 100.0)]), Series("b", [(5.0, 50.0)], 2)]))
    low, high, middle = ((float(c.attrib["cx"]), float(c.attrib["cy"])) for c in svg.iter("circle"))
    assert low[0] < middle[0] < high[0]
    assert low[1] > middle[1] > high[1]
    assert middle == pytest.approx(((low[0] + high[0]) / 2, (low[1] + high[1]) / 2), abs=0.02)
    assert [c.findtext("title") for c in svg.iter("circle")][1] == "a: 100 (ms), at 10 (seconds & more)"


def test_a_histogram_counts_every_value_once() -> None:
    values = [0.0, 10.0, 10.0, 99.0, 100.0, 240.0]
    told = [r.findtext("title") or "" for r in drawn(histogram(AXES, values)).iter("rect")]
    counts = [int(each.rpartition(" ")[2]) for each in told]
    assert sum(counts) == len(values)
    assert told[0].startswith("0 to ")


@pytest.mark.parametrize("points", [[], [(0.0, 0.0)], [(3.0, 0.0)], [(0.0, 1e-9)], [(1e6, 1e6)]])
def test_a_plot_of_little_or_of_much_is_drawn(points: list[tuple[float, float]]) -> None:
    for svg in (
        lines(AXES, [Series("a", points, steps=True)]),
        scatter(AXES, [Series("a", points)]),
        histogram(AXES, [value for _, value in points]),
    ):
        assert drawn(svg).tag == "svg"
        assert "nan" not in svg
        assert "inf" not in svg


def test_the_report_is_saved_as_json_and_as_a_page(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a" / "b")
    made = report()
    made.save(folder, rendered(made))
    told = json.loads((folder / "report.json").read_text())
    assert told == json.loads(json.dumps(made.json()))
    assert (told["schema_version"], told["passed"], told["exceeded"]) == (1, False, ["1 of 3 calls failed."])
    assert told["calls"][0]["stored"]["heard"]["words_lost"] == 1
    assert told["calls"][2]["stored"] is None
    assert told["calls"][0]["utterances"][1]["barge_in"] == {"stop_s": 0.4, "yielded": True}
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageFault, match="--out DIR"):
        make_folder(tmp_path / "file" / "below")
