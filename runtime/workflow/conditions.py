"""Guard conditions: CEL, type-checked against the declared variables and compiled once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from cel_expr_python import cel

from runtime.variables import VariableSpec
from runtime.workflow.cel_literals import unusable_literal
from runtime.workflow.cel_text import ASKED, Repair, ask_names, repair_numbers
from runtime.workflow.cel_values import CALL_FIELDS, CALLER_FIELDS, bound_fact, bound_value, environment
from runtime.workflow.celtree import Node, decode, free_names, walk
from runtime.workflow.faults import suggestion
from runtime.workflow.satisfy import Domain, can_hold

__all__ = [
    "CALLER_FIELDS",
    "CALL_FIELDS",
    "MAX_GUARD",
    "RESERVED_NAMES",
    "TYPE_NAMES",
    "Guard",
    "GuardFault",
    "GuardResult",
    "can_hold_together",
    "compile_guard",
    "never_holds",
]

Json: TypeAlias = Any
FaultKind: TypeAlias = Literal["syntax", "unknown_name", "not_boolean", "secret"]

CHANNELS = frozenset({"phone", "voice_test", "chat_test", "web"})
RESERVED_NAMES = frozenset({"attempts", "visits", "call", "caller", "workspace", "now", "is_set"})
"""Names of guards that no variable may have."""
TYPE_NAMES = frozenset(
    {
        "int",
        "uint",
        "double",
        "bool",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "dyn",
        "duration",
        "timestamp",
    }
)
"""CEL's own names of types: the runtime refuses a variable that is called like one."""
MAX_GUARD = 4_000
"""Characters a guard may have."""

_COMPLAINT = re.compile(r"<input>:(\d+):(\d+): (.*)")
_UNDECLARED = re.compile(r"undeclared reference to '([^']*)'")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_MOST_REPAIRS = 50


@dataclass(frozen=True, slots=True)
class GuardFault:
    """Why a text is no guard; `line` and `column` count from 1, `name` is what is declared nowhere."""

    line: int
    column: int
    message: str
    kind: FaultKind = "syntax"
    name: str = ""


@dataclass(frozen=True, slots=True)
class GuardResult:
    """What came of a guard: exactly one of `holds` (true or false), `missing` (unset variables) and `fault`."""

    holds: bool | None = None
    missing: tuple[str, ...] = ()
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """A compiled guard.

    `reads` are the variables whose values it reads, `asked` those it asks about with `is_set`, `reserved` the names
    it reads that are no variables (`call`, `attempts`, …).
    """

    text: str
    reads: tuple[str, ...]
    asked: tuple[str, ...]
    reserved: tuple[str, ...]
    tree: Node = field(repr=False)
    _types: Mapping[str, str] = field(repr=False, compare=False)
    _program: Any = field(repr=False, compare=False)

    @property
    def needs(self) -> tuple[str, ...]:
        """The variables without which the guard is not even evaluated."""
        return tuple(name for name in self.reads if name not in self.asked)

    def evaluate(self, values: Mapping[str, Json], facts: Mapping[str, Json]) -> GuardResult:
        """Evaluate for the variables' kept `values` (unset: absent or None) and the `facts`.

        `facts` are `attempts` and `visits` (int), `call`, `caller` and `workspace` (text by name) and `now` (an aware
        datetime or ISO text), as far as `reserved` names them. What goes wrong is a fault, never a false.
        """
        unset = tuple(name for name in self.reads if values.get(name) is None)
        if missing := tuple(name for name in unset if name not in self.asked):
            return GuardResult(missing=missing)
        try:
            outcome = self._program.eval(data=self._bind(values, facts))
        except (RuntimeError, TypeError, ValueError, OverflowError) as failure:
            return GuardResult(fault=_first_line(str(failure)))
        # An error is a value here, and its text would be truthy: the type is looked at first.
        if outcome.type() != cel.Type.BOOL:
            return GuardResult(missing=unset) if unset else GuardResult(fault=_first_line(str(outcome.value())))
        return GuardResult(holds=outcome.value() is True)

    def _bind(self, values: Mapping[str, Json], facts: Mapping[str, Json]) -> dict[str, Any]:
        data = {ASKED + name: values.get(name) is not None for name in self.asked}
        for name in self.reads:
            if (value := values.get(name)) is not None:
                data[name] = bound_value(self._types[name], value)
        for name in self.reserved:
            if name in facts:
                data[name] = bound_fact(name, facts[name])
        return data


def compile_guard(text: str, variables: Mapping[str, VariableSpec]) -> Guard | GuardFault:
    """Parse, check and compile a guard against the declared variables, by name."""
    if not text.strip():
        return GuardFault(1, 1, "is empty")
    if len(text) > MAX_GUARD or (not text.isprintable() and re.search("[\ud800-\udfff\0]", text)):
        return GuardFault(1, 1, f"is longer than {MAX_GUARD} characters or has characters that are no text")
    source, asked = ask_names(text)
    for name in asked:
        if name not in variables or not _can_be_read(name):
            return _unknown(name, variables, 1, 1)
    types = {name: spec.data_type for name, spec in variables.items() if _can_be_read(name)}
    program = _compile(source, types, asked)
    if isinstance(program, GuardFault):
        return program
    if program.return_type() != cel.Type.BOOL:
        message = f"gives {program.return_type().name().lower()}, not true or false"
        return GuardFault(1, 1, message, "not_boolean")
    return _guard(text, types, asked, program)


def _can_be_read(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in RESERVED_NAMES | TYPE_NAMES


def _guard(text: str, types: dict[str, str], asked: tuple[str, ...], program: Any) -> Guard | GuardFault:
    tree = decode(program.serialize())
    if (fault := _unknown_field(tree) or _unusable(tree, text)) is not None:
        return fault
    names = sorted(free_names(tree))
    return Guard(
        text=text,
        reads=tuple(name for name in names if name in types),
        asked=asked,
        reserved=tuple(name for name in names if name in RESERVED_NAMES),
        tree=tree,
        _types=types,
        _program=program,
    )


def can_hold_together(guards: Sequence[Guard], set_names: Sequence[str], variables: Mapping[str, VariableSpec]) -> bool:
    """Tell whether all guards could hold at once while `set_names` are set; True where it cannot be told."""
    known = {*set_names, *(name for guard in guards for name in guard.needs)}
    trees = [*dict.fromkeys(guard.tree for guard in guards), *(Node("ident", ASKED + name) for name in sorted(known))]
    return can_hold(trees, _domains(variables))


def never_holds(guard: Guard, variables: Mapping[str, VariableSpec]) -> bool:
    """Tell whether a guard is false (or fails) whatever the values are."""
    if not (guard.reads or guard.asked or guard.reserved):
        return guard.evaluate({}, {}).holds is not True
    return not can_hold_together([guard], (), variables)


def _domains(variables: Mapping[str, VariableSpec]) -> dict[Node, Domain]:
    domains = {Node("ident", name): Domain(least=0) for name in ("attempts", "visits")}
    domains[Node("select", "channel", children=(Node("ident", "call"),))] = Domain(values=CHANNELS)
    for name, spec in variables.items():
        if spec.data_type == "enum" and spec.enum:
            domains[Node("ident", name)] = Domain(values=frozenset(spec.enum))
    return domains


def _compile(source: str, types: Mapping[str, str], asked: tuple[str, ...]) -> Any:
    """Compile, writing whole numbers as fractions where the checker needs it; a `GuardFault` where it cannot be."""
    checker = environment(tuple(sorted(types.items())), asked)
    whole = {"attempts", "visits", *(name for name, kind in types.items() if kind == "integer")}
    repairs: list[Repair] = []
    while True:
        text = repairs[-1].text if repairs else source
        try:
            return checker.compile(text)
        except RuntimeError as complaint:
            repair = repair_numbers(text, str(complaint), whole) if len(repairs) < _MOST_REPAIRS else None
            if repair is None:
                return _complaint(str(complaint), source, repairs, types)
            repairs.append(repair)


def _complaint(said: str, source: str, repairs: list[Repair], names: Mapping[str, str]) -> GuardFault:
    found = _COMPLAINT.search(said)
    if found is None:
        return GuardFault(1, 1, _first_line(said))
    line, column = _before_repairs(int(found[1]), int(found[2]), source, repairs)
    unknown = _UNDECLARED.match(found[3])
    if unknown is None:
        return GuardFault(line, column, _plain(found[3]))
    name = unknown[1].partition(".")[0]
    if name == "secrets":
        return GuardFault(line, column, "reads a secret, which guards may not", "secret", name)
    return _unknown(name, names, line, column)


def _before_repairs(line: int, column: int, source: str, repairs: list[Repair]) -> tuple[int, int]:
    lines = (repairs[-1].text if repairs else source).split("\n")
    offset = sum(len(text) + 1 for text in lines[: line - 1]) + column - 1
    for repair in reversed(repairs):
        offset = offset - repair.added if offset >= repair.at + repair.added else min(offset, repair.at)
    before = source[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _plain(complaint: str) -> str:
    complaint = complaint.removesuffix(" [INVALID_ARGUMENT]").strip()
    complaint = complaint.replace("google.protobuf.Timestamp", "timestamp")
    if "found no matching overload for" in complaint and "double" in complaint and "int" in complaint:
        return f"{complaint}; write double(…) around the whole number"
    if "found no matching overload for" in complaint and "string" in complaint and "timestamp" in complaint:
        return f"{complaint}; dates and times are texts such as '2026-05-03', only a datetime is a timestamp"
    if complaint.startswith("Syntax error"):
        return f"{complaint.partition(' expecting ')[0]}; CEL writes && for and, || for or, ! for not, == for equals"
    return complaint


def _unknown(name: str, names: Mapping[str, object], line: int, column: int) -> GuardFault:
    known = {*names, *RESERVED_NAMES}
    what = suggestion(name, known, what="Declared are")
    return GuardFault(line, column, f"names “{name}”, which is declared nowhere. {what}", "unknown_name", name)


def _unknown_field(tree: Node) -> GuardFault | None:
    fields = {"call": CALL_FIELDS, "caller": CALLER_FIELDS}
    for node in walk(tree):
        owner = node.children[0].name if node.kind in {"select", "has"} and node.children else ""
        if owner in fields and node.children[0].kind == "ident" and node.name not in fields[owner]:
            name = f"{owner}.{node.name}"
            near = suggestion(name, [f"{owner}.{known}" for known in fields[owner]], what="There are")
            return GuardFault(1, 1, f"names “{name}”, which does not exist. {near}", "unknown_name", name)
    return None


def _unusable(tree: Node, text: str) -> GuardFault | None:
    found = unusable_literal(tree)
    if found is None:
        return None
    literal, why = found
    # The tree has no positions. A literal written with escapes is not found, and the guard's start stands for it.
    at = max(text.find(f"{quote}{literal}{quote}") for quote in ("'", '"'))
    before = text[: max(at, 0)]
    return GuardFault(before.count("\n") + 1, len(before) - before.rfind("\n"), f"“{literal[:80]}” {why}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
