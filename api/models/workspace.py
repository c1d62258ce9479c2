"""What an organization's workflows share: variables, secrets and telephone numbers."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, Field

from api.models.common import Body, Description, Moment, Storable, shown

__all__ = ["LONGEST_VALUE", "NumberChange", "PhoneNumber", "Variable", "VariableChange"]

LONGEST_VALUE = 64 * 1024


class Variable(BaseModel):
    """A workspace variable: read as `workspace.NAME`, a secret as `secrets.NAME`."""

    id: UUID
    organization_id: UUID
    name: str
    value: str | None = Field(description="null for a secret, whose value nobody gets back.")
    is_secret: bool
    created_at: Moment
    updated_at: Moment


class VariableChange(Body):
    """A variable's value, and of which kind it is."""

    model_config = shown({"value": "Northside Cycles"}, {"value": "sk-…", "is_secret": True})

    value: Storable = Field(max_length=LONGEST_VALUE)
    is_secret: bool | None = Field(
        None, description="A secret is stored encrypted and never shown. Without it, as it is; a new one is no secret."
    )


class PhoneNumber(BaseModel):
    """A telephone number and the workflow that answers it."""

    id: UUID
    organization_id: UUID
    number: str = Field(description="E.164.")
    workflow_id: UUID | None = Field(description="null: the organization's default workflow answers.")
    is_default: bool = Field(description="The caller's number of calls that go out; one of an organization at most.")
    description: str | None
    created_at: Moment
    updated_at: Moment


class NumberChange(Body):
    """What a number is to be; what is left out stays as it is, or null and false for a new one."""

    workflow_id: UUID | None = Field(None, description="The workflow that answers; null: none of its own.")
    description: Description | None = None
    is_default: bool = Field(False, description="Make it the caller's number of calls that go out.")
