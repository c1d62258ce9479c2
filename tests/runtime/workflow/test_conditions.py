from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.variables import VariableSpec
from runtime.workflow.conditions import (
    MAX_GUARD,
    Guard,
    GuardFault,
    GuardResult,
    can_hold_together,
    compile_guard,
    never_holds,
)

VARIABLES = {
    spec.name: spec
    for spec in (
        VariableSpec("age", "integer"),
        VariableSpec("amount", "number"),
        VariableSpec("name"),
        VariableSpec("vip", "boolean"),
        VariableSpec("at", "datetime"),
        VariableSpec("total", "currency"),
        VariableSpec("day", "date"),
        VariableSpec("colour", "enum", enum=("red", "blue")),
    )
}
FACTS = {
    "attempts": 1,
    "visits": 2,
    "call": {"id": "c", "channel": "phone", "direction": "inbound"},
    "caller": {"number": None, "dialled": "+15550100"},
    "workspace": {"tier": "gold"},
    "now": datetime(2026, 5, 3, 12, tzinfo=UTC),
}
VALUES = {
    "age": 41,
    "amount": 12,
    "name": "Ann",
    "vip": True,
    "at": "2026-05-03T15:30:00+02:00",
    "total": {"amount": "12.50", "currency": "EUR"},
    "day": "2026-05-03",
    "colour": "red",
}


def guard(text: str) -> Guard:
    compiled = compile_guard(text, VARIABLES)
    assert isinstance(compiled, Guard), compiled
    return compiled


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("age > 40 && name == 'Ann'", True),
        ("amount > 10", True),
        ("amount > 12.5", False),
        ("10 < amount && amount <= 12", True),
        ("amount == -12", False),
        ("amount in [1, 12, 2.5]", True),
        ("amount < age", True),
        ("amount * 2 + 1 > age", False),
        ("age / 2 > 20.4", True),
        ("vip", True),
        ("!vip || colour == 'blue'", False),
        ("at > now", True),
        ("now - at < duration('2h')", True),
        ("total.currency == 'EUR' && double(total.amount) > 12", True),
        ("day < '2026-06-01'", True),
        ("attempts < 3 && visits == 2", True),
        ("call.channel == 'phone' && caller.number == ''", True),
        ("workspace.tier == 'gold'", True),
        ("'tier' in workspace && !('vat' in workspace)", True),
        ("name.startsWith('A') && size(name) == 3", True),
        ("name == \"is_set('age')\"", False),
        ("is_set('age') && is_set ( \"name\" )", True),
        ("[1, 2, 41].exists(x, x == age)", True),
        ("vip ? age > 3 : false", True),
    ],
)
def test_a_guard_holds_or_not(text: str, holds: bool) -> None:
    assert guard(text).evaluate(VALUES, FACTS) == GuardResult(holds=holds)


def test_a_guard_tells_what_it_reads() -> None:
    compiled = guard("is_set('age') && age > 3 && name != '' && attempts < 3 && call.channel == 'web'")
    assert compiled.reads == ("age", "name")
    assert compiled.asked == ("age",)
    assert compiled.needs == ("name",)
    assert compiled.reserved == ("attempts", "call")


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("age > 3 || name == 'x'", GuardResult(missing=("age", "name"))),
        ("true || age > 3", GuardResult(missing=("age",))),
        ("is_set('age') && age > 3", GuardResult(holds=False)),
        ("!is_set('age') || age > 3", GuardResult(holds=True)),
        ("is_set('age') || age > 3", GuardResult(missing=("age",))),
        ("!is_set('age')", GuardResult(holds=True)),
    ],
)
def test_an_unset_variable_is_missing_and_never_false(text: str, result: GuardResult) -> None:
    assert guard(text).evaluate({"age": None}, FACTS) == result


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 / (attempts - 1) > 0", {}),
        ("workspace.unknown == 'x'", {}),
        ("'x'.matches(name)", {"name": "["}),
        ("age > 3", {"age": 10**30}),
        ("age > 3", {"age": "old"}),
        ("vip", {"vip": "yes"}),
        ("at < now", {"at": "tomorrow"}),
        ("total.amount == ''", {"total": 5}),
        ("name == 'x'", {"name": "\ud800"}),
    ],
)
def test_what_goes_wrong_is_a_fault_and_never_false(text: str, values: dict[str, Any]) -> None:
    result = guard(text).evaluate(values, FACTS)
    assert result.holds is None
    assert result.missing == ()
    assert result.fault


@pytest.mark.parametrize(
    ("text", "kind", "column", "words"),
    [
        ("", "syntax", 1, "empty"),
        ("age >", "syntax", 6, "&& for and"),
        ("age = 3", "syntax", 5, "== for equals"),
        ("age == 3 and vip", "syntax", 10, "&& for and"),
        ("nmae == ''", "unknown_name", 1, "“name”"),
        ("amount > 1 && nmae == ''", "unknown_name", 15, "“name”"),
        ("'é€' == name && nmae == ''", "unknown_name", 17, "“name”"),
        ("is_set('nmae')", "unknown_name", 1, "“name”"),
        ("is_set(name)", "unknown_name", 7, "is_set"),
        ("call.chanel == ''", "unknown_name", 1, "call.channel"),
        ("secrets.KEY == ''", "secret", 8, "secret"),
        ("name > 3", "syntax", 6, "no matching overload"),
        ("size(name) > 1.5", "syntax", 12, "double(…)"),
        ("age + 1", "not_boolean", 1, "int"),
        ("name", "not_boolean", 1, "string"),
        ("has(age)", "syntax", 5, "field"),
        ("\ud800", "syntax", 1, "no text"),
        ("a" * (MAX_GUARD + 1), "syntax", 1, "longer"),
        ("(" * 300 + "true" + ")" * 300, "syntax", 1, "recursion"),
    ],
)
def test_what_is_no_guard_is_told_with_its_place(text: str, kind: str, column: int, words: str) -> None:
    fault = compile_guard(text, VARIABLES)
    assert isinstance(fault, GuardFault)
    assert (fault.kind, fault.line, fault.column) == (kind, 1, column)
    assert words in fault.message


def test_the_line_of_a_fault_is_told() -> None:
    fault = compile_guard("amount > 1 &&\n  nobody", VARIABLES)
    assert isinstance(fault, GuardFault)
    assert (fault.line, fault.column) == (2, 3)


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("false", True),
        ("1 > 2", True),
        ("vip && !vip", True),
        ("vip == true && vip == false", True),
        ("name == 'a' && name == 'b'", True),
        ("name == 'a' && name != 'a'", True),
        ("name in ['a', 'b'] && name == 'c'", True),
        ("age > 5 && age < 3", True),
        ("age > 5 && age < 6", True),
        ("amount > 5 && amount < 6", False),
        ("amount > 5 && amount < 5.5", False),
        ("age >= 5 && age <= 5", False),
        ("age >= 5 && age <= 5 && age != 5", True),
        ("!(age >= 3) && age > 2", True),
        ("3 > age && age >= 3", True),
        ("colour == 'green'", True),
        ("colour != 'red' && colour != 'blue'", True),
        ("colour != 'red'", False),
        ("call.channel == 'voice'", True),
        ("attempts < 0", True),
        ("age > amount && age <= amount", True),
        ("age == 1 || age == 2", False),
        ("(age == 1 || age == 2) && age == 3", True),
        ("vip ? name == 'a' : name == 'b'", False),
        ("dyn(age) == 1 && dyn(age) == 1.0", False),
        ("dyn(age) > 3 && dyn(age) < 4", False),
        ("is_set('age') && !is_set('age')", True),
        ("size(name) > 3 && size(name) < 4", True),
        (" && ".join(f"(age == {n} || name == '{n}')" for n in range(20)), False),
    ],
)
def test_a_guard_that_can_never_hold(text: str, never: bool) -> None:
    assert never_holds(guard(text), VARIABLES) is never


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("name == 'a'", "name == 'b'", False),
        ("name == 'a'", "name != 'a'", False),
        ("name == 'a'", "age == 3", True),
        ("vip", "!vip", False),
        ("age < 5", "age >= 5", False),
        ("amount < 5", "amount >= 5.0", False),
        ("age < 5", "age > 3", True),
        ("name == 'a'", "!is_set('name')", False),
        ("name.contains('x')", "!name.contains('x')", False),
        ("at < now", "at >= now", False),
        ("at == now", "now != at", False),
        ("age > 3 || vip", "age <= 3 && !vip", False),
    ],
)
def test_guards_that_rule_each_other_out(first: str, second: str, together: bool) -> None:
    assert can_hold_together([guard(first), guard(second)], (), VARIABLES) is together
    assert can_hold_together([guard(second), guard(first)], (), VARIABLES) is together


def test_what_a_path_requires_is_set() -> None:
    assert not can_hold_together([guard("!is_set('age')")], ("age",), VARIABLES)


_ATOMS = st.sampled_from(
    ["age > 1", "age <= 1", "age == 2", "age != 2", "age in [0, 2]", "2 > age", "vip", "vip == true", "name == 'a'",
     "name != 'b'", "name in ['a']", "colour == 'red'", "colour != 'blue'", "name < 'b'", "amount >= 1", "amount < 1.5",
     "age > 2 ? vip : name == 'a'", "amount > age", "amount <= age"]
)  # fmt: skip
_TEXTS = st.recursive(
    _ATOMS,
    lambda inner: (
        st.builds("({} && {})".format, inner, inner)
        | st.builds("({} || {})".format, inner, inner)
        | st.builds("!({})".format, inner)
    ),
    max_leaves=6,
)


@given(
    st.lists(_TEXTS, min_size=1, max_size=2),
    st.fixed_dictionaries(
        {
            "age": st.integers(0, 3),
            "vip": st.booleans(),
            "name": st.sampled_from(["a", "b", "c"]),
            "colour": st.sampled_from(["red", "blue"]),
            "amount": st.sampled_from([0, 1, 1.2, 2.5]),
        }
    ),
)
def test_guards_that_do_hold_are_never_ruled_out(texts: list[str], values: dict[str, Any]) -> None:
    guards = [guard(text) for text in texts]
    if all(item.evaluate(values, FACTS).holds for item in guards):
        assert can_hold_together(guards, (), VARIABLES)
        assert not any(never_holds(item, VARIABLES) for item in guards)


@given(st.text(max_size=60))
def test_no_text_makes_compiling_raise(text: str) -> None:
    assert isinstance(compile_guard(text, VARIABLES), Guard | GuardFault)


@given(
    st.dictionaries(
        st.sampled_from(list(VARIABLES)), st.none() | st.integers() | st.floats() | st.text() | st.lists(st.none())
    )
)
def test_no_value_makes_evaluating_raise(values: dict[str, Any]) -> None:
    text = "age > 1 && amount > 2 && name != '' && vip && at < now && total.amount != '' && colour == 'red'"
    result = guard(text).evaluate(values, FACTS)
    assert sum((result.holds is not None, bool(result.missing), result.fault is not None)) == 1


@pytest.mark.parametrize("name", ["type", "list", "call", "a b", "", "\ud800", "Name"])
def test_a_variable_with_an_impossible_name_spoils_no_other_guard(name: str) -> None:
    assert isinstance(compile_guard("age > 3", {**VARIABLES, name: VariableSpec(name)}), Guard)
