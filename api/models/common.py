"""What bodies and answers have in common: no unknown keys, storable texts, lists in parts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from runtime.workflow.faults import UNSTORABLE

__all__ = ["Body", "Description", "Listed", "Moment", "Name", "Storable", "changes_of", "shown"]

T = TypeVar("T")
Json = Any
Moment = datetime


def _storable(text: str) -> str:
    if UNSTORABLE.search(text):
        raise ValueError("has a character that cannot be stored (NUL, or half of a surrogate pair)")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


Storable = Annotated[str, AfterValidator(_storable)]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_storable),
    AfterValidator(_printable),
]
Description = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_storable)]


class Body(BaseModel):
    """What a request brings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")


def shown(*examples: dict[str, Json]) -> ConfigDict:
    """Return the settings of a body that is shown with these examples, the first of them filled in at /docs."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


def changes_of(body: Body) -> dict[str, Json]:
    """Return what a PATCH names, ready to be stored; what it leaves out stays as it is."""
    return body.model_dump(mode="json", exclude_unset=True)


class Listed(BaseModel, Generic[T]):
    """A part of a list."""

    items: list[T]
    next: str | None = Field(description="Send it as `after` to get the next part; null at the end.")
