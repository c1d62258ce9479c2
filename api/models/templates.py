"""Workflows to begin with."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

__all__ = ["TemplateBody", "TemplateSummary"]


class TemplateSummary(BaseModel):
    """A shipped workflow."""

    name: str = Field(description="Send it as `template` of POST /api/workflows.")
    title: str
    description: str
    files: list[str] = Field(description="The files of its folder in examples/.")


class TemplateBody(TemplateSummary):
    """A shipped workflow with what it holds."""

    config: dict[str, Any]
    scripts: dict[str, str] = Field(description="Texts that play its caller, by their file's name.")
