"""Fields are described in a model's JSON Schema by what is written below them, as pydantic itself would have it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from runtime.docstrings import describe_fields
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.voice_config import TurnConfig


class _Inner(BaseModel):
    model_config = ConfigDict(json_schema_extra=describe_fields)

    size: int = 1
    """How large it is,
    in metres."""
    bare: int = 2


class _Heir(_Inner):
    inner: _Inner = Field(default_factory=_Inner)
    """Another one."""
    renamed: str = Field(default="", alias="other")
    """It goes by another name."""
    told: str = Field(default="", description="As it was given.")
    """Not this."""
    size: int = 3
    """Larger."""

    def method(self) -> None:
        """No field."""


class _Own(BaseModel):
    """The same, by pydantic."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    size: int = 1
    """How large it is,
    in metres."""
    bare: int = 2


def _described(model: type[BaseModel]) -> dict[str, Any]:
    properties = model.model_json_schema()["properties"]
    return {name: field.get("description") for name, field in properties.items()}


def test_it_is_what_pydantic_makes_of_them() -> None:
    assert _Inner.model_json_schema()["properties"] == _Own.model_json_schema()["properties"]


def test_heirs_and_other_names() -> None:
    assert _described(_Heir) == {
        "size": "Larger.",
        "bare": None,
        "inner": "Another one.",
        "other": "It goes by another name.",
        "told": "As it was given.",
    }


def test_a_model_without_source_has_none() -> None:
    space: dict[str, Any] = {"_Inner": _Inner}
    exec('class Typed(_Inner):\n    more: int = 0\n    """Unseen."""', space)  # noqa: S102 - as at a prompt
    assert _described(space["Typed"]) == {"size": "How large it is,\nin metres.", "bare": None, "more": None}


@pytest.mark.parametrize("model", [WorkflowConfig, TurnConfig])
def test_every_schema_of_a_config_is_described(model: type[BaseModel]) -> None:
    assert any(_described(model).values())
