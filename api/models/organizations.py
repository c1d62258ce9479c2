"""Organizations: who belongs to them, their keys, and the record of what was changed."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field

from api.access import Permission, Role
from api.models.common import Body, Moment, Name, shown

__all__ = [
    "ApiKey",
    "AuditEntry",
    "KeyChange",
    "Member",
    "MemberChange",
    "NewApiKey",
    "NewKey",
    "NewMember",
    "NewOrganization",
    "Organization",
    "OrganizationChange",
    "OrganizationDetails",
]

Json = Any


class Organization(BaseModel):
    """An organization one belongs to. What it may use up is the operator's to say; null is no limit."""

    id: UUID
    name: str
    role: Role = Field(description="What one is there.")
    default_workflow_id: UUID | None = Field(description="Answers every number that is not mapped.")
    max_concurrent_calls: int | None
    max_minutes_a_day: int | None
    dial_prefixes: list[str] = Field(description="Only numbers that begin so may be called; empty: any.")
    retention_days: int | None = Field(None, description="After so many days calls are removed; null: never.")
    created_at: Moment
    updated_at: Moment


class OrganizationDetails(Organization):
    """An organization with what it uses."""

    active_calls: int = Field(description="Calls that run now, tests left out.")
    minutes_today: float = Field(description="Minutes of calls since midnight, UTC.")


class NewOrganization(Body):
    """An organization whose owner one will be."""

    model_config = shown({"name": "Acme"})

    name: Name


class OrganizationChange(Body):
    """What is to be changed; what is left out stays as it is."""

    model_config = shown({"retention_days": 90})

    name: Name = Field(default_factory=str)
    default_workflow_id: UUID | None = Field(None, description="null: nobody answers a number that is not mapped.")
    retention_days: int | None = Field(None, ge=1, le=36500, description="null: calls are kept for ever.")


class Member(BaseModel):
    """A user's role in the organization."""

    organization_id: UUID
    user_id: UUID
    role: Role
    created_at: Moment


class NewMember(Body):
    """A user who is to belong to the organization."""

    user_id: UUID = Field(description="As the access tokens of that user name it (`sub`).")
    role: Role = "viewer"


class MemberChange(Body):
    """Another role."""

    role: Role


class ApiKey(BaseModel):
    """An API key without the key itself, which is shown once."""

    id: UUID
    organization_id: UUID
    name: str
    prefix: str = Field(description="How the key begins.")
    role: Role
    scopes: list[str] | None = Field(description="What the key may of what its role may; null: all of it.")
    created_by: UUID | None = Field(description="The user who made it; null where a key or the operator did.")
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None


class NewKey(Body):
    """A key for a program."""

    model_config = shown(
        {"name": "Deployment", "role": "builder"},
        {"name": "Dashboard", "role": "analyst", "scopes": ["analytics:read", "workflows:read"]},
    )

    name: Name
    role: Role
    scopes: list[Permission] | None = Field(
        None, min_length=1, max_length=50, description="Narrows what the role may; without it all of it."
    )
    expires_at: AwareDatetime | None = Field(None, description="In the future; without it the key does not expire.")


class NewApiKey(ApiKey):
    """A key that was just made."""

    key: str = Field(description="Send it as Authorization: Bearer. It is not shown again.")


class KeyChange(Body):
    """Another name."""

    name: Name


class AuditEntry(BaseModel):
    """One change: who did what to which row."""

    id: int
    organization_id: UUID | None
    occurred_at: Moment
    actor_kind: Literal["user", "api_key", "service"] = Field(description="service: the runtime or the operator.")
    actor_id: UUID | None
    request_id: str | None
    action: str = Field(description="insert, update, delete, or an operator's command.")
    table_name: str
    row_id: str | None
    before: dict[str, Json] | None = Field(description="What differs, as it was; of a removed row all of it.")
    after: dict[str, Json] | None = Field(description="What differs, as it is; of a new row all of it.")
