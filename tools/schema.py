"""JSON Schemas of tools' arguments: checked when a config is loaded, and arguments against them in words for a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from pydantic import AfterValidator
from referencing import Registry
from referencing.exceptions import Unresolvable

from runtime.workflow.faults import listed

__all__ = ["Parameters", "argument_faults", "checked_schema", "faults_of", "validator_of"]

Json = Any

_MOST = 5
_LONGEST = 200
_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def checked_schema(schema: dict[str, Json]) -> dict[str, Json]:
    """Return the schema. Raises ValueError where it is no JSON Schema of an object, or refers to something outside."""
    if schema.get("type") != "object":
        raise ValueError('the parameters must be a JSON Schema with "type": "object"')
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as fault:
        raise ValueError(f"this is no JSON Schema: {fault.message[:_LONGEST]}") from fault
    if outside := [ref for ref in _references(schema) if not ref.startswith("#")]:
        raise ValueError(f"$ref may only point inside the schema, not to '{outside[0][:80]}'")
    return schema


Parameters = Annotated[dict[str, Json], AfterValidator(checked_schema)]
"""The JSON Schema of a tool's arguments, as a field of its config."""


def argument_faults(schema: Mapping[str, Json], arguments: Mapping[str, Json]) -> str:
    """Return what is wrong with the arguments, in words a model can act on; empty when nothing is."""
    return faults_of(validator_of(schema), arguments)


def validator_of(schema: Mapping[str, Json]) -> Draft202012Validator:
    """Return what checks arguments against `schema`; it costs more to make than to use."""
    # Without a registry of its own jsonschema would fetch a `$ref` from the network.
    return Draft202012Validator(schema, registry=Registry())


def faults_of(validator: Draft202012Validator, arguments: Mapping[str, Json]) -> str:
    """Return what is wrong with the arguments, in words a model can act on; empty when nothing is."""
    try:
        found = sorted(validator.iter_errors(arguments), key=lambda fault: [str(part) for part in fault.absolute_path])
    except (Unresolvable, RecursionError):
        return ""  # the schema's fault, not the model's; a tool must bear what it is given
    lines = dict.fromkeys(_sentence(fault) for fault in found)
    return "Not done: " + " ".join(list(lines)[:_MOST]) if lines else ""


def _sentence(fault: ValidationError) -> str:
    name = ".".join(str(part) for part in fault.absolute_path) or "The arguments"
    wanted: Json = fault.validator_value
    given: Json = fault.instance
    match fault.validator, wanted:
        case "required", list():
            missing = [key for key in wanted if key not in given]
            return f"Missing: {', '.join(missing)}."
        case "type", str() | list() as kinds:
            words = [_WORDS.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
            return f"{name} must be {' or '.join(words)}."
        case "enum", list() as values:
            return f"{name} must be one of: {listed(map(str, values))}."
        case "additionalProperties", _:
            known = fault.schema.get("properties", {}) if isinstance(fault.schema, Mapping) else {}
            strange = [key for key in given if key not in known]
            return f"Unknown: {listed(strange)}."
        case _:
            return f"{name}: {fault.message[:_LONGEST]}."


def _references(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in {"$ref", "$dynamicRef"} and isinstance(inner, str):
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
