from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ConfigRefused
from runtime.workflow.documents import TooLarge, load, parse_document, read_values
from runtime.workflow.faults import UNSTORABLE, Fault


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        ("\ufeff{}", {}),
        ("a: [1, 2.5, -3, true, null, ~, x]", {"a": [1, 2.5, -3, True, None, None, "x"]}),
        ("{a: 1, b: [x]}", {"a": 1, "b": ["x"]}),
        ("a: 2026-05-03", {"a": "2026-05-03"}),
        ("a: 2026-05-03T10:00:00Z", {"a": "2026-05-03T10:00:00Z"}),
        ("a: 15:30", {"a": "15:30"}),
        ("a: [yes, no, on, off]", {"a": ["yes", "no", "on", "off"]}),
        ("a: [0421, +15550100, 0x10, 1_000]", {"a": ["0421", "+15550100", "0x10", "1_000"]}),
        ("a:\nb: ''", {"a": None, "b": ""}),
        ("x: &x {a: 1}\ny: {<<: *x, b: 2}", {"x": {"a": 1}, "y": {"a": 1, "b": 2}}),
        ("- a", ["a"]),
    ],
)
def test_json_and_yaml_are_read_as_they_are_written(text: str, value: Any) -> None:
    assert parse_document(text) == value
    assert load(text) == value


@pytest.mark.parametrize(
    ("text", "name", "code", "words"),
    [
        ('{"a": 1,\n "b" 2}', "", "unreadable", "Line 2, column 6"),
        ("{a: 1}", "x.json", "unreadable", "Line 1, column 2"),
        ("a: [1\nb: 2", "", "unreadable", "Line 2, column 2"),
        ("a: b: c", "", "unreadable", "Line 1, column 5"),
        ("just words", "", "unreadable", "Line 1, column 1"),
        ("", "", "unreadable", "Line 1, column 1"),
        ("a: \x00", "", "unreadable", "Line 1, column 4"),
        ("a: !!python/object/apply:os.system [x]", "", "unreadable", "Line 1, column 4"),
        ("a: &a [*a]\nb: !!int x", "", "unreadable", "Line 1"),
        ("[" * 100_000, "", "too_large", "nested too deeply"),
        ('{"a": ' * 100_000, "x.json", "too_large", "nested too deeply"),
        ("- " * 5_000 + "a", "", "too_large", "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_one_fault_at_the_root(text: str, name: str, code: str, words: str) -> None:
    fault = parse_document(text, name)
    assert isinstance(fault, Fault)
    assert (fault.path, fault.code, fault.severity) == ("$", code, "error")
    assert words in fault.message
    with pytest.raises(ConfigRefused):
        load(text, name)


def test_aliases_and_rings_are_bounded() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    with pytest.raises(TooLarge):
        read_values(parse_document(bomb))
    with pytest.raises(TooLarge):
        read_values(parse_document("a: &a [*a]"))
    with pytest.raises(ConfigRefused) as refused:
        load(bomb)
    (fault,) = refused.value.faults
    assert isinstance(fault, Fault)
    assert (fault.path, fault.code) == ("$", "too_large")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1, "a": 2}', [("$.a", "duplicate_key")]),
        ('{"a": 1, "a": 2, "a": 3, "b": [{"c": 1, "c": 1}]}', [("$.a", "duplicate_key"), ("$.b[0].c", "duplicate_key")]),
        ("a: 1\nb:\n  c: 1\n  c: 2", [("$.b.c", "duplicate_key")]),
        ("p: {x: &x {<<: &y {a: 1}, a: 2}}\nz: {<<: *x, a: 3}", []),
        ('{"a": NaN, "b": [-Infinity, 1e999]}', [("$.a", "out_of_range"), ("$.b[0]", "out_of_range"), ("$.b[1]", "out_of_range")]),
        ('{"a": ' + "9" * 5000 + "}", [("$.a", "out_of_range")]),
        ('{"a": ["\\u0000"]}', [("$.a[0]", "unstorable_text")]),
        ('{"a": {"x\\ud800": 1}}', [("$.a['x\\ud800']", "unstorable_text")]),
        ('{"a": "\\ud83d\\ude00"}', []),
    ],
)  # fmt: skip
def test_what_is_wrong_with_single_values_is_told_at_their_places(text: str, expected: list[tuple[str, str]]) -> None:
    faults = read_values(parse_document(text)).faults
    assert [(fault.path, fault.code) for fault in faults] == expected
    for fault in faults:
        assert not UNSTORABLE.search(fault.path + fault.message)
    if expected:
        with pytest.raises(ConfigRefused):
            load(text)


def test_an_item_of_a_list_is_named_with_its_list() -> None:
    messages = [fault.message for fault in read_values({"a": [["x", float("inf")]]}).faults]
    assert messages == ["“a[0][1]” must be a finite number."]
    assert [fault.path for fault in read_values("\0").faults] == ["$"]


def test_a_repeated_key_of_yaml_names_the_line_and_the_last_value_counts() -> None:
    reading = read_values(parse_document("a: 1\nb:\n  c: 1\n  c: 2"))
    assert "“c” twice, the second time in line 4" in reading.faults[0].message
    assert reading.value == {"a": 1, "b": {"c": 2}}


def test_reading_copies() -> None:
    raw = {"a": [{"b": (1, 2)}], 3: None}
    assert read_values(raw).value == {"a": [{"b": [1, 2]}], "3": None}
    assert read_values(raw).value["a"] is not raw["a"]


@given(st.text(st.sampled_from("{}[]:,-&*! \n\"'a1.#|>%@`?<~\x00\ud800"), max_size=40))
def test_no_text_makes_reading_raise(text: str) -> None:
    parse_document(text)
