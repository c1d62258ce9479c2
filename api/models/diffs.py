"""What differs between two versions."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

__all__ = ["ChangeBody", "DiffBody", "DifferenceBody", "PartBody", "VersionName"]

Json = Any


class VersionName(BaseModel):
    """Which version it is."""

    id: UUID
    workflow_id: UUID
    version: int
    status: Literal["draft", "published", "archived"]


class ChangeBody(BaseModel):
    """One value that differs."""

    op: Literal["added", "removed", "changed", "moved"] = Field(
        description="moved: the item of a list stands elsewhere; before and after are its indices."
    )
    path: str = Field(description="The JSON path in the version read; of what was removed, in the one compared with.")
    before: Json = Field(description="null for what was added.")
    after: Json = Field(description="null for what was removed.")


class PartBody(BaseModel):
    """An agent, tool, path or variable that differs."""

    id: str = Field(description="The config's id; where there is none the name, after the id of what it belongs to.")
    name: str | None
    path: str = Field(description="Its JSON path, as in a change.")
    before: Json = Field(description="The whole part as it was; null where it was added.")
    after: Json = Field(description="The whole part as it is; null where it was removed.")
    changes: list[ChangeBody] = Field(description="Its own changes, without those of the parts inside it.")


class DifferenceBody(BaseModel):
    """The parts of one kind that differ."""

    added: list[PartBody]
    removed: list[PartBody]
    changed: list[PartBody]


class DiffBody(BaseModel):
    """What differs, by kind and as a flat list."""

    before: VersionName | None = Field(description="What it is compared with; null where there is nothing before it.")
    after: VersionName = Field(description="The version asked about.")
    agents: DifferenceBody
    tools: DifferenceBody
    paths: DifferenceBody
    variables: DifferenceBody
    changes: list[ChangeBody] = Field(description="Everything that differs, settings of the whole workflow as well.")
