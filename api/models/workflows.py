"""Workflows, their versions, and what is wrong with these."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from api.models.common import Body, Description, Moment, Name, Storable, shown
from runtime.workflow.faults import Severity

__all__ = [
    "ConfigBody",
    "FaultBody",
    "NewVersion",
    "NewWorkflow",
    "PublishedVersion",
    "ValidationBody",
    "Version",
    "VersionRow",
    "VersionSummary",
    "Workflow",
    "WorkflowChange",
    "WorkflowDetails",
]

Json = Any
Config = dict[str, Json]
_HELLO: Config = {
    "schema_version": 1,
    "defaults": {
        "llm": {"provider": "openai", "model": "gpt-4o-mini"},
        "stt": {"provider": "openai", "model": "gpt-4o-mini-transcribe"},
        "tts": {"provider": "openai", "voice_id": "alloy"},
    },
    "agents": [
        {
            "id": "desk",
            "name": "Desk",
            "instructions": "Find out what the caller wants. Be brief and friendly.",
            "greeting": {"text": "Northside Cycles, hello. What can I do for you?"},
        }
    ],
}


class FaultBody(BaseModel):
    """One fault of a config."""

    path: str = Field(description="The JSON path of the offending key itself.")
    code: str = Field(description="What is wrong, for programs.")
    severity: Severity = Field(description="A config with errors cannot be published; warnings do not keep it from it.")
    message: str = Field(description="What is wrong.")
    remedy: str = Field(description="What to do about it.")


class ValidationBody(BaseModel):
    """What `patchbay validate --json` prints, too."""

    schema_version: Literal[1] = Field(1, description="Of this answer.")
    valid: bool = Field(description="No fault is an error.")
    faults: list[FaultBody]


class ConfigBody(Body):
    """A workflow's config as it is kept; faults do not matter here, but what no database stores is refused."""

    model_config = shown({"config": _HELLO})

    config: Config = Field(description="The whole config; see docs/workflow.schema.json.")


class NewVersion(Body):
    """The new draft's content: `config`, else that of a version of the same workflow, else that of the newest."""

    model_config = shown({}, {"config": _HELLO})

    config: Config | None = Field(None, description="The whole config.")
    from_version_id: UUID | None = Field(None, description="A version of this workflow, to be copied.")

    @model_validator(mode="after")
    def _one(self) -> NewVersion:
        if self.config is not None and self.from_version_id is not None:
            raise ValueError("send config or from_version_id, not both")
        return self


class NewWorkflow(Body):
    """A workflow; with `template` or `config` it has a first draft."""

    model_config = shown({"name": "Front desk", "template": "front_desk"}, {"name": "Workshop", "config": _HELLO})

    name: Name = Field(description="Unlike any other of the organization.")
    description: Description | None = None
    template: Storable | None = Field(None, max_length=200, description="The name of one of GET /api/templates.")
    config: Config | None = Field(None, description="The first draft's config.")

    @model_validator(mode="after")
    def _one(self) -> NewWorkflow:
        if self.config is not None and self.template is not None:
            raise ValueError("send config or template, not both")
        return self


class WorkflowChange(Body):
    """What is to be changed; what is left out stays as it is."""

    name: Name = Field(default_factory=str, description="Unlike any other of the organization.")
    description: Description | None = Field(None, description="null clears it.")


class VersionSummary(BaseModel):
    """A version without its config."""

    id: UUID
    workflow_id: UUID
    organization_id: UUID
    version: int = Field(description="Its number within the workflow, from 1.")
    status: Literal["draft", "published", "archived"] = Field(
        description="One version of a workflow is published at most; it was archived when another was."
    )
    revision: int = Field(description="Grows with each change of a draft's config, from 1.")
    created_at: Moment
    updated_at: Moment
    published_at: Moment | None = Field(description="When it was last published.")


class VersionRow(VersionSummary):
    """A version with the config it holds."""

    config: Config


class Version(VersionRow):
    """A version, and what is wrong with its config on this server."""

    valid: bool = Field(description="It can be published: no fault is an error.")
    faults: list[FaultBody]


class Workflow(BaseModel):
    """A workflow with the numbers of its newest and its published version."""

    id: UUID
    organization_id: UUID
    name: str
    description: str | None
    latest_version: int | None = Field(description="The number of the newest version; null where there is none.")
    published_version: int | None = Field(description="The number of the published version; null where none is.")
    created_at: Moment
    updated_at: Moment


class PublishedVersion(BaseModel):
    """Which version answers calls."""

    id: UUID
    version: int


class WorkflowDetails(Workflow):
    """A workflow with its newest draft."""

    latest_draft_version: VersionRow | None = Field(description="The newest version that is a draft.")
    published: PublishedVersion | None
