"""What the rest of the runtime asks of variables: normalise, find, say back, and the questions around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import regex

from runtime.errors import UsageFault
from runtime.variables.answers import Boolean
from runtime.variables.clock import Time
from runtime.variables.dates import Date, warm_dates
from runtime.variables.digits import Digits
from runtime.variables.mail import Email
from runtime.variables.moments import Moment
from runtime.variables.money import Currency
from runtime.variables.person import PersonName
from runtime.variables.phone import Phone
from runtime.variables.plain import Enum, String
from runtime.variables.quantities import Integer, Number
from runtime.variables.spec import MAX_TEXT, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.text import clean, contains_words

__all__ = [
    "DATA_TYPES",
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

_TYPES: Final[tuple[DataType, ...]] = (
    *(String(), Digits(), Integer(), Number(), Boolean(), Enum(), Date(), Time(), Moment()),
    *(Email(), Phone(), Currency(), PersonName()),
)
DATA_TYPES: Final[Mapping[str, DataType]] = MappingProxyType({kind.name: kind for kind in _TYPES})

_ENDING: Final = 500  # characters of a text that its end is judged by
_ROUNDS: Final = 4  # a value that has not settled by then is no value


def _kind(spec: VariableSpec) -> DataType:
    if spec.data_type not in DATA_TYPES:
        known = ", ".join(DATA_TYPES)
        raise UsageFault(
            f"Variable '{spec.name}' has the data type '{spec.data_type}'.", remedy=f"Data types: {known}."
        )
    return DATA_TYPES[spec.data_type]


def is_empty(raw: object) -> bool:
    """Tell whether nothing was given: None, nothing but white space, or an empty list or object."""
    return raw is None or (isinstance(raw, str) and not clean(raw)) or (isinstance(raw, list | dict) and not raw)


def normalise(spec: VariableSpec, raw: object, context: Context) -> Result:
    """Return the kept form of what was said or given, or why there is none. A kept value normalises to itself."""
    if is_empty(raw):
        return Rejected("empty", "was not given")
    if isinstance(raw, str) and len(raw) > MAX_TEXT:
        return Rejected("too_long", f"must have at most {MAX_TEXT} characters")
    kind = _kind(spec)
    result = kind.read(raw, spec, context)
    for _ in range(_ROUNDS):
        if isinstance(result, Rejected):
            return result
        settled = kind.read(result.value, spec, context)
        if settled == result:
            return _limits(kind, spec, result.value) or result
        result = settled
    return Rejected("unreadable", "cannot be understood; ask for it again in other words")


def _limits(kind: DataType, spec: VariableSpec, value: Json) -> Rejected | None:
    """Return what the value fails of the lengths and the pattern, as a sentence without the value."""
    text = kind.written(value)
    if not text or len(text) > MAX_TEXT:
        return Rejected("too_long" if text else "empty", f"must have 1 to {MAX_TEXT} characters")
    least, most = spec.min_length or 0, spec.max_length if spec.max_length is not None else MAX_TEXT
    if kind.bounded and not least <= len(text) <= most:
        unit = "digits" if kind.name == "digits" else "characters"
        return Rejected(
            "too_short" if len(text) < least else "too_long", f"must have {_span(spec)} {unit}, got {len(text)}"
        )
    if spec.pattern is not None and not _matches(spec.pattern, text):
        examples = f", such as {', '.join(spec.examples)}" if spec.examples else ""
        return Rejected("pattern", f"does not have the form that is asked for{examples}")
    return None


def _span(spec: VariableSpec) -> str:
    if spec.max_length is None:
        return f"at least {spec.min_length}"
    if not spec.min_length:
        return f"at most {spec.max_length}"
    if spec.min_length == spec.max_length:
        return f"exactly {spec.min_length}"
    return f"{spec.min_length} to {spec.max_length}"


UNMISTAKABLE: Final = frozenset({"string", "person_name", "boolean", "enum"})
"""Types whose values cannot be told from other words: any answer holds one."""
_PATTERN_S: Final = 0.05


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> regex.Pattern[str] | None:
    try:
        return regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError):
        return None


def _matches(pattern: str, text: str) -> bool:
    """Tell whether the whole text matches; a pattern that does not compile, a fault at load, matches nothing."""
    compiled = _compiled(pattern)
    try:
        # A builder's pattern may backtrack for ever, and every call of the process waits for it.
        return compiled is not None and compiled.fullmatch(text, timeout=_PATTERN_S) is not None
    except TimeoutError:
        return False


def find_all(spec: VariableSpec, text: str, context: Context) -> tuple[Json, ...]:
    """Return every valid value of this type in `text`, most complete first. Of a long text the last 20 000 characters."""
    kind = _kind(spec)
    if not clean(text):
        return ()
    return tuple(value for value in kind.find(text, spec, context) if _limits(kind, spec, value) is None)


def given(spec: VariableSpec, value: Json, texts: Sequence[str], context: Context) -> bool:
    """Tell whether a text contains `value`, a kept form, or adjacent texts do together (dictated in two turns)."""
    if is_empty(value):
        return False
    kind = _kind(spec)
    joined = [", ".join(texts), " ".join(texts)] if len(texts) > 1 else []
    return any(clean(text) and kind.holds(text, value, spec, context) for text in [*texts, *joined])


def is_partial(spec: VariableSpec, text: str, context: Context) -> bool:
    """Tell whether `text` ends in the beginning of a value that is not complete, so that the caller may still go on."""
    end = clean(text[-_ENDING:])
    return bool(end) and _kind(spec).partial(end, spec, context)


def say_back(spec: VariableSpec, value: Json, language: str = "en", *, spell: bool = False) -> str:
    """Return a kept value as a voice says it, or with `spell` spells it; in an unknown language as it is written."""
    kind = _kind(spec)
    return kind.spelled(value, spec, language) if spell else kind.voiced(value, spec, language)


def said(spec: VariableSpec, value: Json, text: str, context: Context, language: str = "en") -> bool:
    """Tell whether an agent's spoken text contains a kept value: written, spoken or spelled."""
    kind = _kind(spec)
    forms = (kind.written(value), kind.voiced(value, spec, language), kind.spelled(value, spec, language))
    return kind.holds(text, value, spec, context) or (
        kind.name not in {"boolean", "digits", "phone", "integer", "number"}
        and any(contains_words(text, form) for form in forms)
    )


def json_schema(spec: VariableSpec) -> dict[str, Json]:
    """Return the JSON Schema of the parameter for a model; lenient: dates and the like may be the words as heard."""
    kind = _kind(spec)
    notes = [spec.description.strip(), kind.hint, _span_note(kind, spec)]
    if spec.examples:
        notes.append(f"for example {', '.join(spec.examples)}")
    schema: dict[str, Json] = {"type": kind.json_type}
    if described := "; ".join(note.rstrip(".") for note in notes if note):
        schema["description"] = described
    if spec.enum and kind.name == "enum":
        schema["enum"] = list(spec.enum)
    return schema


def _span_note(kind: DataType, spec: VariableSpec) -> str:
    if not kind.bounded or (spec.min_length is None and spec.max_length is None):
        return ""
    return f"{_span(spec)} {'digits' if kind.name == 'digits' else 'characters'}"


def keypad_value(spec: VariableSpec, keys: str) -> str:
    """Return the raw text that pressed keys stand for: for a boolean 1 is yes and 2 is no, else the keys themselves."""
    pressed = keys.rstrip("#")
    if spec.data_type == "boolean":
        return {"1": "yes", "2": "no"}.get(pressed, pressed)
    return pressed


def vocabulary(spec: VariableSpec) -> tuple[str, ...]:
    """Return the everyday words callers use for this type, lower-case, for a recogniser that must know them beforehand."""
    return tuple(dict.fromkeys(word.lower() for word in _kind(spec).words(spec) if word))


def looks_like(spec: VariableSpec, text: str, context: Context) -> bool:
    """Tell whether `text` might hold a value of this type, even an unfinished or wrong one: what a mask must hide."""
    if not clean(text):
        return False
    kind = _kind(spec)
    return kind.suspects(text, spec, context)


def warm(language: str = "en") -> None:
    """Build what costs 0.1 s at its first use, so that no caller waits for it."""
    warm_dates(language)
