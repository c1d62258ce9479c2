from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.workflow.templates import MAX_OUTPUT, Template, TemplateFault, compile_template

VALUES = {
    "customer_id": "4271",
    "caller": {"number": "+15550100"},
    "workspace": {"tier": "gold"},
    "n": 3,
    "yes": True,
    "items": ["a", "b"],
    "day": "2026-05-03",
    "at": "15:30",
    "now": "2026-05-03T10:00:00+02:00",
}


def template(text: str) -> Template:
    compiled = compile_template(text)
    assert isinstance(compiled, Template), compiled
    return compiled


@pytest.mark.parametrize(
    ("text", "names", "rendered"),
    [
        ("Hello.", (), "Hello."),
        ("Hi {{ customer_id }}, {{ caller.number }}", ("caller.number", "customer_id"), "Hi 4271, +15550100"),
        ("[{{ unset }}{{ caller.unset.deep }}]", ("caller.unset.deep", "unset"), "[]"),
        ("{% if workspace.tier == 'gold' %}Sir{% else %}{{ n }}{% endif %}", ("n", "workspace.tier"), "Sir"),
        ("{% for i in items %}{{ i | upcase }}{% endfor %}", ("items",), "AB"),
        ("{% assign x = n | plus: 1 %}{{ x }}", ("n",), "4"),
        ("{{ items[0] }}{{ workspace['tier'] }}", ("items", "workspace.tier"), "agold"),
        ("{{ yes }}", ("yes",), "true"),
        (
            "{{ day | date: '%d.%m.' }} {{ at | date: '%H' }} {{ 'now' | date: '%H:%M' }}",
            ("at", "day"),
            "03.05. 15 10:00",
        ),
        ("{{ unset | default: 'you' }}", ("unset",), "you"),
    ],
)
def test_a_template_renders_and_tells_what_it_reads(text: str, names: tuple[str, ...], rendered: str) -> None:
    compiled = template(text)
    assert compiled.names == names
    assert compiled.is_static == (text == "Hello.")
    assert compiled.render(VALUES) == rendered


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("{{ a", 1, 1, "expected"),
        ("a\n b {% foo %}", 2, 7, "foo"),
        ("{% if a %}", 1, 1, "endif"),
        ("{% include 'x' %}", 1, 4, "include"),
        ("{% render 'x' %}", 1, 4, "render"),
        ("{{ a | upcas }}", 1, 8, "“upcase”"),
    ],
)
def test_what_is_no_template_is_told_with_its_place(text: str, line: int, column: int, words: str) -> None:
    fault = compile_template(text)
    assert isinstance(fault, TemplateFault)
    assert (fault.line, fault.column) == (line, column)
    assert words in fault.message


@pytest.mark.parametrize(
    "text",
    [
        "{{ n | divided_by: 0 }}",
        "{{ day | date: '%99999999d' }}",
        "{{ (1..1000000000) | join }}",
        "{{ (1..1000000000) | reverse | size }}",
        "{% for i in (1..100000) %}x{% endfor %}",
        "{% for i in (1..2000) %}{% for j in (1..2000) %}x{% endfor %}{% endfor %}",
        "{% assign a = 'xx' %}{% for i in (1..100) %}{% assign a = a | append: a %}{% endfor %}",
        "{{ 'x' | replace: 'x', '" + "y" * 400 + "' | replace: 'y', '" + "z" * 400 + "' }}",
        "{% assign a = 9 %}{% for i in (1..500) %}{% assign a = a | times: a %}{% endfor %}",
        "{% break %}",
    ],
)
def test_what_fails_or_takes_too_long_is_left_out(text: str) -> None:
    start = time.perf_counter()
    rendered = template(f"before{text}after").render(VALUES)
    assert rendered.startswith("before")
    assert rendered.endswith("after")
    assert time.perf_counter() - start < 2


def test_the_output_is_bounded() -> None:
    assert len(template("{{ big }}!").render({"big": "x" * (MAX_OUTPUT + 5)})) == MAX_OUTPUT
    assert len(template("x" * (MAX_OUTPUT + 5)).render({})) == MAX_OUTPUT


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(
    st.lists(st.sampled_from(["{{", "}}", "{%", "%}", "a", "|", "date", "if", "for i in a", " ", ".b", ":", "1", "'"])),
    _JSON,
)
def test_nothing_makes_a_template_raise(parts: list[str], value: Any) -> None:
    compiled = compile_template(" ".join(parts))
    if isinstance(compiled, Template):
        assert isinstance(compiled.render({"a": value}), str)
