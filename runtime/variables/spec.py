"""What a variable is, what its value is read against, and what the reading comes to."""

# ruff: noqa: ARG002 - a default of DataType may ignore what an override needs

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, TypeAlias

__all__ = ["MAX_TEXT", "Accepted", "Context", "DataType", "Json", "Rejected", "Result", "VariableSpec"]

Json: TypeAlias = Any

MAX_TEXT: Final = 2000
"""Characters of a raw value that are read at all; a longer one is rejected."""


@dataclass(frozen=True, slots=True)
class VariableSpec:
    """A declared variable.

    `min_length` and `max_length` count characters of the kept text (digits for digits) and bound nothing for
    integer, number and currency. `pattern` is a Python regular expression that the whole kept text must match.
    """

    name: str
    data_type: str = "string"
    description: str = ""
    is_required: bool = True
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    default: Any = None
    preset: bool = False
    confirm: str = "auto"
    sensitive: bool = False
    dtmf: bool = False
    max_attempts: int = 3


@dataclass(frozen=True, slots=True)
class Context:
    """Where and when words are understood: `now` is aware, in the session's time zone; `region` as in ISO 3166."""

    now: datetime
    region: str | None = None
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The value in its kept form."""

    value: Json


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why there is no value: `code` for programs, `why` for a model or a person; neither holds what was given."""

    code: str
    why: str


Result: TypeAlias = Accepted | Rejected


class DataType(ABC):
    """One family of values. Every method is total: what cannot be read is rejected or simply not found."""

    name: ClassVar[str]
    hint: ClassVar[str] = ""
    json_type: ClassVar[str] = "string"
    bounded: ClassVar[bool] = True

    @abstractmethod
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        """Return the kept form of `raw`; lengths and the pattern are checked by the caller."""

    @abstractmethod
    def find(self, text: str, spec: VariableSpec, context: Context) -> Iterable[Json]:
        """Return the kept forms that `text` contains, most complete first, unchecked against the lengths."""

    def holds(self, text: str, value: Json, spec: VariableSpec, context: Context) -> bool:
        """Tell whether `text` contains `value` as a whole."""
        return value in self.find(text, spec, context)

    def partial(self, text: str, spec: VariableSpec, context: Context) -> bool:
        """Tell whether `text` ends in the beginning of a value."""
        return False

    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        """Tell whether `text` might hold a value, even an unfinished or wrong one."""
        return False

    def written(self, value: Json) -> str:
        """Return the text form of a kept value, which lengths and the pattern are checked on."""
        return str(value)

    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        """Return the value as a voice says it."""
        return self.written(value)

    def spelled(self, value: Json, spec: VariableSpec, language: str) -> str:
        """Return the value as a voice spells it, one letter at a time where that makes sense."""
        return self.voiced(value, spec, language)

    def words(self, spec: VariableSpec) -> Iterable[str]:
        """Return the everyday words a caller uses to say such a value, lower-case."""
        return ()
