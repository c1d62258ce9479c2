"""What is written below a model's fields, read when its JSON Schema is asked for: at every start it would take a fifth of a second."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

__all__ = ["describe_fields"]


def describe_fields(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Put the docstrings of a model's fields into its schema: for `ConfigDict(json_schema_extra=…)`, which heirs inherit.

    A field that has a description keeps it. A model without source, as one from a prompt, has none.
    """
    properties = schema.get("properties", {})
    for kind in model.__mro__:
        if issubclass(kind, BaseModel) and kind is not BaseModel:
            for name, text in _docstrings(kind).items():
                field = model.model_fields.get(name)
                if field is not None and (shown := properties.get(field.alias or name)) is not None:
                    shown.setdefault("description", text)


def _docstrings(kind: type) -> dict[str, str]:
    try:
        (found,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return {}
    if not isinstance(found, ast.ClassDef):
        return {}
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(found.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
