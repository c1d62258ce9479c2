"""The syntax tree of a CEL expression, read from the serialised form that the official runtime gives out.

The runtime has no other way to its tree. The message is `cel.expr.CheckedExpr` inside a `google.protobuf.Any`
(https://github.com/google/cel-spec/tree/master/proto/cel/expr); only the fields read here are named.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Node", "decode", "free_names", "walk"]

Fields: TypeAlias = dict[int, list[Any]]

_ANY_VALUE, _CHECKED_EXPR = 2, 4


@dataclass(frozen=True, slots=True)
class Node:
    """One node, without its position, so that equal expressions are equal nodes.

    `kind` and `name`: `const` (name: its type), `ident` (the name), `select` (the field), `has` (the field),
    `call` (the function, such as `_&&_`), `list`, `map` (the message's name), `loop` (the loop's variables).
    """

    kind: str
    name: str = ""
    value: bool | int | float | str | bytes | None = None
    children: tuple[Node, ...] = ()


def decode(serialised: bytes) -> Node:
    """Return the tree of a checked expression that `Expression.serialize()` gave."""
    checked = _fields(_fields(serialised)[_ANY_VALUE][0])
    return _expression(checked[_CHECKED_EXPR][0])


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def free_names(node: Node) -> frozenset[str]:
    """Return the identifiers the expression reads from outside; what its own loops bind is left out."""
    if node.kind == "ident":
        return frozenset((node.name,))
    names = frozenset[str]().union(*map(free_names, node.children))
    return names - set(node.name.split(",")) if node.kind == "loop" else names


def _expression(data: bytes) -> Node:
    fields = _fields(data)
    for number, build in _BUILDERS.items():
        if number in fields:
            return build(_fields(fields[number][0]))
    return Node("const", "null")


def _constant(fields: Fields) -> Node:
    for number, (name, read) in _CONSTANTS.items():
        if number in fields:
            return Node("const", name, read(fields[number][0]))
    return Node("const", "null")


def _ident(fields: Fields) -> Node:
    return Node("ident", _text(fields, 1).removeprefix("."))


def _select(fields: Fields) -> Node:
    kind = "has" if fields.get(3, [0])[0] else "select"
    return Node(kind, _text(fields, 2), children=_nodes(fields, 1))


def _call(fields: Fields) -> Node:
    return Node("call", _text(fields, 2), children=(*_nodes(fields, 1), *_nodes(fields, 3)))


def _list(fields: Fields) -> Node:
    return Node("list", children=_nodes(fields, 1))


def _struct(fields: Fields) -> Node:
    children: list[Node] = []
    for entry in map(_fields, fields.get(2, [])):
        field = (Node("const", "string", _text(entry, 2)),) if 2 in entry else ()
        children += (*field, *_nodes(entry, 3), *_nodes(entry, 4))
    return Node("map", _text(fields, 1), children=tuple(children))


def _loop(fields: Fields) -> Node:
    bound = [name for name in (_text(fields, 1), _text(fields, 3), _text(fields, 8)) if name]
    return Node("loop", ",".join(bound), children=tuple(node for at in (2, 4, 5, 6, 7) for node in _nodes(fields, at)))


_BUILDERS: dict[int, Callable[[Fields], Node]] = {
    3: _constant,
    4: _ident,
    5: _select,
    6: _call,
    7: _list,
    8: _struct,
    9: _loop,
}


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


_CONSTANTS: dict[int, tuple[str, Callable[[Any], Any]]] = {
    2: ("bool", bool),
    3: ("int", _signed),
    4: ("uint", int),
    5: ("double", lambda raw: struct.unpack("<d", raw)[0]),
    6: ("string", lambda raw: raw.decode()),
    7: ("bytes", bytes),
}


def _nodes(fields: Fields, number: int) -> tuple[Node, ...]:
    return tuple(map(_expression, fields.get(number, [])))


def _text(fields: Fields, number: int) -> str:
    return fields[number][0].decode() if number in fields else ""


def _fields(data: bytes) -> Fields:
    """Read one protobuf message: varints as int, the fixed and the delimited ones as bytes, by field number."""
    fields: Fields = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: int | bytes
        match key & 7:
            case 0:
                value, at = _varint(data, at)
            case 1:
                value, at = data[at : at + 8], at + 8
            case 2:
                length, at = _varint(data, at)
                value, at = data[at : at + length], at + length
            case _:
                value, at = data[at : at + 4], at + 4
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
