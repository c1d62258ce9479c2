from __future__ import annotations

import pytest
from cel_expr_python import cel

from runtime.workflow.celtree import Node, decode, free_names, walk

ENVIRONMENT = cel.NewEnv(variables={"age": cel.Type.INT, "m": cel.Type.Map(cel.Type.STRING, cel.Type.STRING)})
AGE = Node("ident", "age")


def tree(text: str) -> Node:
    return decode(ENVIRONMENT.compile(text).serialize())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age", AGE),
        ("-300", Node("const", "int", -300)),
        ("2.5", Node("const", "double", 2.5)),
        ("7u", Node("const", "uint", 7)),
        ("true", Node("const", "bool", value=True)),
        ("false", Node("const", "bool", value=False)),
        ("'é'", Node("const", "string", "é")),
        ("b'x'", Node("const", "bytes", b"x")),
        ("null", Node("const", "null")),
        ("m.x", Node("select", "x", children=(Node("ident", "m"),))),
        ("has(m.x)", Node("has", "x", children=(Node("ident", "m"),))),
        ("age > 1", Node("call", "_>_", children=(AGE, Node("const", "int", 1)))),
        ("'a'.size()", Node("call", "size", children=(Node("const", "string", "a"),))),
        ("[age]", Node("list", children=(AGE,))),
        ("{'a': age}", Node("map", children=(Node("const", "string", "a"), AGE))),
    ],
)
def test_every_kind_of_node_is_read(text: str, expected: Node) -> None:
    assert tree(text) == expected


def test_what_a_loop_binds_is_not_read_from_outside() -> None:
    assert free_names(tree("[1, 2].exists(x, x > age) && m.all(k, k != '')")) == {"age", "m"}


def test_walk_yields_every_node() -> None:
    assert [node.kind for node in walk(tree("age > 1"))] == ["call", "ident", "const"]
