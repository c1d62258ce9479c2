"""A function as its JSON Schema tells of it, with each parameter's data type inferred as a model would."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from livekit.agents import llm
from livekit.agents.llm.utils import build_legacy_openai_schema

from runtime.variables import DATA_TYPES, VariableSpec
from runtime.voice.local.rules_texts import Wanted

__all__ = ["CODE", "Function", "read_function", "refined"]

Json = Any
CODE = "code"
"""The data type, known here only, of a text that is an identifier: digits, or letters with digits among them."""

_EXAMPLES = re.compile(r' For example: (".{1,4000})$', re.DOTALL)
_QUOTED = re.compile(r'"([^"]+)"')
_LONGEST = 2000  # characters of a description that are read
_TYPE_OF_HINT = {kind.hint: name for name, kind in DATA_TYPES.items() if kind.hint}
_SPAN = re.compile(
    r"(?:(\d{1,9}) to (\d{1,9})|(?:exactly )?(\d{1,9})|at least (\d{1,9})|at most (\d{1,9})) (?:digits|characters)"
)
_PLAIN = frozenset({"boolean", "integer", "number"})
_FORMATS = {"date": "date", "time": "time", "date-time": "datetime", "email": "email", "phone": "phone"}
# What a name or a description says of the type, the first that fits; a name counts before a description.
_HINTS = tuple(
    (data_type, re.compile(rf"\b(?:{words})\b"))
    for data_type, words in (
        ("email", "e-?mail"),
        ("phone", "phone|telephone|mobile|callback number"),
        ("datetime", "date ?time|date and time|date and a time|appointment time"),
        ("date", "date|day|birthday|dob"),
        ("time", "time"),
        ("currency", "currency|amount|price|money"),
        ("person_name", "person'?s? name|first name|last name|full name|customer'?s? name|caller'?s? name"),
        ("digits", "digits"),
        (CODE, "id|identifier|code|pin|reference|ref|number|no"),
    )
)
_PERSON = re.compile(r"(?:(?:full|first|last|your|caller|customer|guest|contact|person)_?)?(?:name|surname)")


@dataclass(frozen=True, slots=True)
class Function:
    """A function a model may call; `required` names the parameters its schema requires (a path's never does)."""

    name: str
    description: str
    examples: tuple[str, ...] = ()
    parameters: tuple[VariableSpec, ...] = ()
    required: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Tell whether it has a parameter of this name."""
        return any(spec.name == name for spec in self.parameters)


def read_function(tool: llm.Tool) -> Function | None:
    """Read a tool as a model is offered it; None for one that is no function."""
    if isinstance(tool, llm.RawFunctionTool):
        schema = tool.info.raw_schema
    elif isinstance(tool, llm.FunctionTool):
        schema = build_legacy_openai_schema(tool, internally_tagged=True)
    else:
        return None
    text = str(schema.get("description") or "")
    found = _EXAMPLES.search(text)
    properties = _table(schema.get("parameters"), "properties")
    required = _table(schema, "parameters").get("required")
    return Function(
        name=str(schema.get("name")),
        description=text[: found.start()] if found else text,
        examples=tuple(_QUOTED.findall(found[1])) if found else (),
        parameters=tuple(_parameter(str(name), part) for name, part in properties.items()),
        required=tuple(str(name) for name in required if name in properties) if isinstance(required, list) else (),
    )


def refined(spec: VariableSpec, wanted: Wanted) -> VariableSpec:
    """Return the parameter with what the engine's own description of the variable adds."""
    data_type = spec.data_type if wanted.data_type in {"", "string"} else wanted.data_type
    return replace(
        spec,
        data_type=data_type,
        description=wanted.description or spec.description,
        min_length=spec.min_length if wanted.min_length is None else wanted.min_length,
        max_length=spec.max_length if wanted.max_length is None else wanted.max_length,
    )


def _parameter(name: str, schema: Json) -> VariableSpec:
    part: Mapping[str, Json] = schema if isinstance(schema, Mapping) else {}
    choices = part.get("enum")
    notes = [note.strip() for note in str(part.get("description") or "")[:_LONGEST].split("; ")]
    hinted = next((_TYPE_OF_HINT[note] for note in notes if note in _TYPE_OF_HINT), None)
    low, high = next((_span(found) for note in notes if (found := _SPAN.fullmatch(note))), (None, None))
    told = [note for note in notes if note not in _TYPE_OF_HINT and not _SPAN.fullmatch(note)]
    plain = "; ".join(note for note in told if not note.startswith("for example "))
    return VariableSpec(
        name=name,
        data_type=hinted or _data_type(name, part, plain),
        description=plain,
        min_length=low if low is not None else _count(part.get("minLength")),
        max_length=high if high is not None else _count(part.get("maxLength")),
        enum=tuple(str(choice) for choice in choices if choice is not None) if isinstance(choices, list) else (),
    )


def _data_type(name: str, part: Mapping[str, Json], description: str) -> str:
    kind = part.get("type")
    kinds = [str(each) for each in kind] if isinstance(kind, list) else [str(kind)]
    if isinstance(part.get("enum"), list):
        return "enum"
    told = [each for each in kinds if each in _PLAIN]
    known = told[0] if told else _FORMATS.get(str(part.get("format")))
    return known or _guessed(name, description)


def _guessed(name: str, description: str) -> str:
    if _PERSON.fullmatch(name):
        return "person_name"
    # A long description mentions much that the value is not.
    short = description.lower() if len(description.split()) <= 4 else ""
    for text in (name.replace("_", " "), short):
        for data_type, pattern in _HINTS:
            if pattern.search(text):
                return data_type
    return "string"


def _span(found: re.Match[str]) -> tuple[int | None, int | None]:
    low, high = found[1] or found[3] or found[4], found[2] or found[3] or found[5]
    return int(low) if low else None, int(high) if high else None


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _table(parent: Json, key: str) -> Mapping[str, Json]:
    table = parent.get(key) if isinstance(parent, Mapping) else None
    return table if isinstance(table, Mapping) else {}
