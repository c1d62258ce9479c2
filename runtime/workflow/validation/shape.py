"""Faults of a config's shape, and a repaired copy on which everything else can still be checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from runtime.workflow.config import WorkflowConfig
from runtime.workflow.faults import Fault, Loc, error, json_path, nearest, suggestion
from runtime.workflow.places import key_of, place

__all__ = ["Shape", "is_stand_in", "read_shape"]

_TAGS = {"AgentTool", "ToolReference"}
_STAND_IN = "\ue000"  # a private-use character: no name of a real config begins with it
_ROUNDS = 12
_EXPECTED = {
    "string_type": "text",
    "string_unicode": "text without broken characters",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "tuple_type": "a list",
}
_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """`config` is built from `document`, a repaired copy; `repaired` are the locations that are not as written.

    `mentioned` are the names that were written down anywhere before the repair, where there was one.
    """

    config: WorkflowConfig | None
    document: dict[str, Any]
    repaired: frozenset[Loc]
    faults: tuple[Fault, ...]
    mentioned: frozenset[str]


def is_stand_in(text: str) -> bool:
    """Tell whether a text was put in for one that was missing or of the wrong type."""
    return text.startswith(_STAND_IN)


def read_shape(document: dict[str, Any]) -> Shape:
    """Read a config of plain JSON values, which is changed in place where it has faults."""
    faults: tuple[Fault, ...] = ()
    mentioned = frozenset[str]()
    repaired: set[tuple[Loc, str]] = set()
    for number in range(_ROUNDS):
        try:
            config = WorkflowConfig.model_validate(document)
        except ValidationError as refused:
            details = [(detail, _plain_loc(detail["loc"])) for detail in refused.errors(include_url=False)]
            if number == 0:
                faults = tuple(_fault(document, detail, loc) for detail, loc in details)
                mentioned = frozenset(_names(document))
            for detail, loc in details:
                _repair(document, loc, str(detail["type"]), repaired)
        else:
            return Shape(config, document, frozenset(loc for loc, _ in repaired), faults, mentioned)
    return Shape(None, document, frozenset(loc for loc, _ in repaired), faults, mentioned)


def _names(value: Any) -> Iterator[str]:
    """Yield every value of a key `name` and every key of an `assign`."""
    if isinstance(value, dict):
        assign, name = value.get("assign"), value.get("name")
        yield from assign if isinstance(assign, dict) else ()
        yield from (name,) if isinstance(name, str) else ()
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _names(item)


def _plain_loc(loc: tuple[int | str, ...]) -> Loc:
    """Drop the tags that a union puts between a list's index and the key."""
    return tuple(part for at, part in enumerate(loc) if not (part in _TAGS and at > 0 and isinstance(loc[at - 1], int)))


def _fault(document: Any, detail: Any, loc: Loc) -> Fault:
    kind, key = str(detail["type"]), key_of(loc)
    where = place(document, loc)
    if kind == "extra_forbidden":
        known = _keys_at(loc[:-1], document)
        remedy = suggestion(key, known, what="Known keys are")
        return error(loc, "unknown_key", f"{where} has the key “{key}”, which is not part of the schema.", remedy)
    if kind == "missing":
        if loc == ("agents",):
            return error(loc, "no_agents", "The workflow has no agents.", "Add an agent to `agents`.")
        return error(loc, "missing_key", f"{where} has no “{key}”.", f"Add “{key}”.")
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        limit = f"{words} {detail['ctx'][name]:g}"
        return error(
            loc, "out_of_range", f"{where}: “{key}” must be {limit}, and is {detail['input']}.", f"Use {limit}."
        )
    if kind == "finite_number":
        return error(loc, "out_of_range", f"{where}: “{key}” must be a finite number.", "Use a finite number.")
    if kind == "literal_error":
        return _not_allowed(where, key, loc, detail["input"])
    expected = _EXPECTED.get(kind, "of another type")
    given = _describe(detail["input"])
    message = f"{where}: “{key}” must be {expected}, and is {given}."
    return error(loc, "wrong_type", message, f"Write {expected}.")


def _not_allowed(where: str, key: str, loc: Loc, given: Any) -> Fault:
    allowed = [str(value) for value in _literals(loc)]
    listed = ", ".join(allowed)
    if not isinstance(given, str):
        message = f"{where}: “{key}” must be one of {listed}, and is {_describe(given)}."
        return error(loc, "wrong_type", message, f"Write one of {listed}.")
    near = nearest(given, allowed)
    remedy = f"Did you mean “{near}”?" if near else f"Write one of {listed}."
    return error(loc, "unknown_value", f"{where}: “{key}” cannot be “{given[:80]}”.", remedy)


def _describe(value: object) -> str:
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "true or false"),
        (str, "text"),
        ((int, float), "a number"),
        (dict, "an object"),
        (list, "a list"),
        (type(None), "null"),
    )
    return next((name for kinds, name in names if isinstance(value, kinds)), "something else")


def _options(annotation: Any) -> Iterator[Any]:
    """Yield the alternatives of an annotation, without `Annotated` and `None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _options(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for option in get_args(annotation):
            yield from _options(option)
    elif annotation is not type(None):
        yield annotation


def _step(annotation: Any, part: str | int) -> Iterator[Any]:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            for name, field in option.model_fields.items():
                if part == (field.alias or name):
                    yield from _options(field.annotation)
        elif get_origin(option) is tuple and isinstance(part, int):
            yield from _options(get_args(option)[0])
        elif get_origin(option) is dict:
            yield from _options(get_args(option)[1])


def _annotations(loc: Loc) -> list[Any]:
    found: list[Any] = [WorkflowConfig]
    for part in loc:
        found = [option for annotation in found for option in _step(annotation, part)]
    return found


def _literals(loc: Loc) -> Iterator[Any]:
    for annotation in _annotations(loc):
        if get_origin(annotation) is Literal:
            yield from get_args(annotation)


def _keys_at(loc: Loc, document: Any) -> list[str]:
    models = [option for option in _annotations(loc) if isinstance(option, type) and issubclass(option, BaseModel)]
    item = _get(document, loc)
    if len(models) > 1 and isinstance(item, dict):
        models = [model for model in models if (model.__name__ == "ToolReference") == ("tool_id" in item)]
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _get(document: Any, loc: Loc) -> Any:
    for part in loc:
        document = document[part]
    return document


def _repair(document: dict[str, Any], loc: Loc, kind: str, repaired: set[tuple[Loc, str]]) -> None:
    """Put something in for what is at `loc`, or leave it out; where that did not help before, for what is around it."""
    while (loc, kind) in repaired and len(loc) > 1:
        loc = loc[:-1]
    if not loc:
        return
    repaired.add((loc, kind))
    try:
        parent = _get(document, loc[:-1])
        if isinstance(parent, list):
            parent[int(loc[-1])] = _stand_in(loc)
        elif kind == "missing":
            parent[loc[-1]] = _stand_in(loc)
        else:
            parent.pop(loc[-1], None)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return  # what is around it was left out by an earlier repair


def _stand_in(loc: Loc) -> Any:
    """Return the least value of the type that belongs at `loc`; texts are all different."""
    annotation = next(iter(_annotations(loc)), str)
    if get_origin(annotation) is tuple:
        return []
    if get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return {}
    return _STAND_IN + json_path(loc)
