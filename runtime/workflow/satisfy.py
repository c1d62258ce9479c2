"""Whether guards could hold, alone or at once: sound, so that what it rules out is truly impossible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from runtime.workflow.celtree import Node, walk

__all__ = ["Domain", "can_hold"]

Atom: TypeAlias = tuple[Node, bool]
Clause: TypeAlias = tuple[Atom, ...]
Constant: TypeAlias = tuple[str, object]
"""A constant with its type: in Python `True == 1 == 1.0`, in CEL they are three."""

_MOST_CLAUSES = 256
_MIRRORED = {"_==_": "_==_", "_!=_": "_!=_", "_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
_NEGATED = {"_==_": "_!=_", "_!=_": "_==_", "_<_": "_>=_", "_<=_": "_>_", "_>_": "_<=_", "_>=_": "_<_"}
_ORDERED = {"int", "uint", "double", "string"}


@dataclass(frozen=True, slots=True)
class Domain:
    """What is known of a term beforehand: the only values it can have, and its least number."""

    values: frozenset[str] | None = None
    least: int | None = None


class _TooWide(Exception):
    """The expression has too many cases to look at."""


def can_hold(expressions: Sequence[Node], domains: Mapping[Node, Domain]) -> bool:
    """Tell whether all `expressions` (BOOL) could be true of the same values; True where it cannot be told."""
    try:
        clauses: list[Clause] = [()]
        for expression in expressions:
            clauses = _product(clauses, _clauses(expression, positive=True))
    except _TooWide:
        return True
    return any(_consistent(clause, domains) for clause in clauses)


def _clauses(node: Node, *, positive: bool) -> list[Clause]:
    """Return the expression, or its negation, as alternatives of atoms that hold together."""
    match node:
        case Node("const", "bool", value):
            return [()] if value is positive else []
        case Node("call", "!_", _, (inner,)):
            return _clauses(inner, positive=not positive)
        case Node("call", "_&&_" | "_||_", _, (left, right)):
            both = (node.name == "_&&_") is positive
            sides = _clauses(left, positive=positive), _clauses(right, positive=positive)
            return _product(*sides) if both else _bounded([*sides[0], *sides[1]])
        case Node("call", "_?_:_", _, (test, then, otherwise)):
            held = _product(_clauses(test, positive=True), _clauses(then, positive=positive))
            return _bounded([*held, *_product(_clauses(test, positive=False), _clauses(otherwise, positive=positive))])
        case _:
            return [((node, positive),)]


def _product(left: Iterable[Clause], right: Sequence[Clause]) -> list[Clause]:
    return _bounded([(*one, *other) for one in left for other in right])


def _bounded(clauses: list[Clause]) -> list[Clause]:
    if len(clauses) > _MOST_CLAUSES:
        raise _TooWide
    return clauses


@dataclass(slots=True)
class _Term:
    """What one clause says of one term."""

    allowed: set[Constant] | None = None
    excluded: set[Constant] = field(default_factory=set)
    low: tuple[object, bool] | None = None
    high: tuple[object, bool] | None = None
    kind: str = ""

    def allow(self, values: Iterable[Constant]) -> None:
        self.allowed = set(values) if self.allowed is None else self.allowed & set(values)

    def bound(self, operator: str, constant: Constant) -> None:
        self.kind, value = constant
        is_strict = operator in {"_<_", "_>_"}
        if self.kind == "int" and is_strict and isinstance(value, int):
            value, is_strict = value + (1 if operator == "_>_" else -1), False
        if operator in {"_>_", "_>=_"}:
            self.low = _tighter(self.low, (value, is_strict), is_low=True)
        else:
            self.high = _tighter(self.high, (value, is_strict), is_low=False)

    def is_possible(self) -> bool:
        if self.allowed is not None:
            return any(self._fits(constant) for constant in self.allowed - self.excluded)
        if self.low is None or self.high is None:
            return True
        if self.low[0] == self.high[0]:
            return not (self.low[1] or self.high[1] or (self.kind, self.low[0]) in self.excluded)
        return _below(self.low[0], self.high[0])

    def _fits(self, constant: Constant) -> bool:
        _, value = constant
        if self.low is not None and not (_below(self.low[0], value) or (self.low[0] == value and not self.low[1])):
            return False
        return self.high is None or _below(value, self.high[0]) or (self.high[0] == value and not self.high[1])


def _below(left: object, right: object) -> bool:
    """Order two constants of one type; where they have none (a `dyn`), anything is possible."""
    try:
        return bool(left < right)  # type: ignore[operator]
    except TypeError:
        return True


def _tighter(old: tuple[object, bool] | None, new: tuple[object, bool], *, is_low: bool) -> tuple[object, bool]:
    if old is None or (old[0] == new[0] and new[1]):
        return new
    is_inside = _below(old[0], new[0]) if is_low else _below(new[0], old[0])
    return new if is_inside and old[0] != new[0] else old


def _consistent(clause: Clause, domains: Mapping[Node, Domain]) -> bool:
    terms: dict[Node, _Term] = {}
    for node, positive in clause:
        if not _note(terms, node, positive=positive):
            return False
    for node, term in terms.items():
        _restrict(term, domains.get(node, Domain()))
    return all(term.is_possible() for term in terms.values())


def _restrict(term: _Term, domain: Domain) -> None:
    if domain.values is not None:
        term.allow(("string", value) for value in domain.values)
    if domain.least is not None:
        term.bound("_>=_", ("int", domain.least))


def _note(terms: dict[Node, _Term], node: Node, *, positive: bool) -> bool:
    """Add one atom to what is known of its term; False where it contradicts itself (`1 > 2`)."""
    match node:
        case Node("call", "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" as operator, _, (left, right)):
            return _compare(terms, operator if positive else _NEGATED[operator], left, right)
        case Node("call", "@in", _, (left, Node("list", _, _, items))) if _has_values(left, items):
            values = {_constant(item) for item in items}
            term = terms.setdefault(left, _Term())
            term.allow(values) if positive else term.excluded.update(values)
        case _:
            terms.setdefault(node, _Term()).allow([("bool", positive)])
    return True


def _has_values(left: Node, items: Sequence[Node]) -> bool:
    return not _is_dynamic(left) and all(item.kind == "const" for item in items)


def _is_dynamic(node: Node) -> bool:
    """Tell whether the checker may not know the term's type: then 1 and 1.0 could be equal."""
    return any(part.kind in {"list", "map"} or part.name == "dyn" for part in walk(node))


def _constant(node: Node) -> Constant:
    return node.name, node.value


def _compare(terms: dict[Node, _Term], operator: str, left: Node, right: Node) -> bool:
    if left.kind == "const" and right.kind == "const":
        return _fold(operator, left, right)
    if left.kind == "const":
        left, right, operator = right, left, _MIRRORED[operator]
    if _is_dynamic(left) or _is_dynamic(right):
        return True
    if right.kind != "const":
        return _compare_terms(terms, operator, left, right)
    term = terms.setdefault(left, _Term())
    if operator == "_==_":
        term.allow([_constant(right)])
    elif operator == "_!=_":
        term.excluded.add(_constant(right))
    elif right.name in _ORDERED:
        term.bound(operator, _constant(right))
    return True


def _compare_terms(terms: dict[Node, _Term], operator: str, left: Node, right: Node) -> bool:
    """Note a comparison of two terms in one form for all its spellings: `a >= b` is the negation of `a < b`."""
    if operator in {"_>_", "_<=_"}:
        left, right = right, left
        operator = _MIRRORED[operator]
    if operator in {"_==_", "_!=_"}:
        left, right = sorted((left, right), key=repr)
    name = "_==_" if operator in {"_==_", "_!=_"} else "_<_"
    if left == right:
        return operator in {"_==_", "_>=_"}
    terms.setdefault(Node("call", name, children=(left, right)), _Term()).allow([("bool", operator == name)])
    return True


def _fold(operator: str, left: Node, right: Node) -> bool:
    if left.name != right.name:
        return True
    equal, below = left.value == right.value, _below(left.value, right.value)
    return {
        "_==_": equal,
        "_!=_": not equal,
        "_<_": below,
        "_<=_": below or equal,
        "_>_": not below and not equal,
        "_>=_": not below,
    }[operator]
