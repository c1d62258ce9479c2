"""Data types of variables: normalise what was said, validate it, find it in text, say it back. Pure."""

from runtime.variables.answers import affirmation
from runtime.variables.registry import (
    DATA_TYPES,
    UNMISTAKABLE,
    find_all,
    given,
    is_empty,
    is_partial,
    json_schema,
    keypad_value,
    looks_like,
    normalise,
    said,
    say_back,
    vocabulary,
    warm,
)
from runtime.variables.spec import MAX_TEXT, Accepted, Context, DataType, Rejected, Result, VariableSpec

__all__ = [
    "DATA_TYPES",
    "MAX_TEXT",
    "UNMISTAKABLE",
    "Accepted",
    "Context",
    "DataType",
    "Rejected",
    "Result",
    "VariableSpec",
    "affirmation",
    "find_all",
    "given",
    "is_empty",
    "is_partial",
    "json_schema",
    "keypad_value",
    "looks_like",
    "normalise",
    "said",
    "say_back",
    "vocabulary",
    "warm",
]
