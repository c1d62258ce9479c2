from __future__ import annotations

import pytest

from runtime.variables import VariableSpec
from runtime.workflow.conditions import Guard, GuardFault, compile_guard

VARIABLES = {"x": VariableSpec("x")}


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("x.matches('(')", 1, 11, "“(” is no regular expression"),
        ("matches(x, '(')", 1, 12, "“(” is no regular expression"),
        ("[x].exists(y, y.matches('['))", 1, 25, "“[” is no regular expression"),
        (r"x.matches('\\d(')", 1, 1, "is no regular expression"),
        ("timestamp('x') < now", 1, 11, "“x” is no timestamp"),
        ("x == 'a' &&\nduration('zz') > duration('1s')", 2, 10, "“zz” is no duration"),
    ],
)
def test_a_literal_that_its_call_cannot_use_is_a_fault(text: str, line: int, column: int, words: str) -> None:
    fault = compile_guard(text, VARIABLES)
    assert isinstance(fault, GuardFault)
    assert (fault.line, fault.column, fault.kind) == (line, column, "syntax")
    assert words in fault.message


@pytest.mark.parametrize(
    "text",
    [
        "x.matches('a+')",
        "x.matches('')",
        "x.matches(x)",
        "timestamp(x) < now",
        "timestamp('2026-05-03T10:00:00Z') < now",
        "now - now < duration('1h30m')",
        "x == '('",
    ],
)
def test_other_literals_pass(text: str) -> None:
    assert isinstance(compile_guard(text, VARIABLES), Guard)
