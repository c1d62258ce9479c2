from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.workflow.slugs import slug, unique_slugs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("To Billing", "to_billing"),
        ("  Check   order!", "check_order"),
        ("Zurück zur Straße", "zuruck_zur_strasse"),
        ("24 hours", "path_24_hours"),
        ("帮助", "path"),
        ("", "path"),
        ("a" * 100, "a" * 56),
    ],
)
def test_a_name_becomes_a_function_name(text: str, expected: str) -> None:
    assert slug(text, otherwise="path") == expected


def test_equal_slugs_get_a_number() -> None:
    assert unique_slugs(["A b", "a B", "a-b", "a b 2"], otherwise="x", taken={"remember"}) == (
        "a_b",
        "a_b_2",
        "a_b_3",
        "a_b_2_2",
    )
    assert unique_slugs(["Remember"], otherwise="x", taken={"remember"}) == ("remember_2",)


@given(st.lists(st.text(max_size=80)))
def test_slugs_are_unique_and_callable(texts: list[str]) -> None:
    names = unique_slugs(texts, otherwise="path")
    assert len(set(names)) == len(texts)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) for name in names)
