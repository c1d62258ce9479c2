"""Who asks, in which organization, and what they may do there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, get_args

from api.problems import Problem
from runtime.store.row_access import Claims, RowAccess, Rows

__all__ = ["PERMISSIONS", "READS", "Authenticator", "Caller", "Permission", "Principal", "Role", "permissions_of"]

Role = Literal["owner", "builder", "analyst", "viewer"]
Permission = Literal[
    "workflows:read",
    "workflows:write",
    "variables:read",
    "variables:write",
    "numbers:read",
    "numbers:write",
    "knowledge:read",
    "knowledge:write",
    "sessions:read",
    "tests:run",
    "analytics:read",
    "webhooks:read",
    "webhooks:write",
    "audit:read",
    "organization:read",
    "organization:write",
]
"""Also the scopes that an API key may be narrowed to."""
PERMISSIONS: Final[frozenset[Permission]] = frozenset(get_args(Permission))
READS: Final[frozenset[Permission]] = frozenset(
    each for each in PERMISSIONS if each.endswith(":read") and each != "audit:read"
)
_BUILDS: Final[frozenset[Permission]] = READS | {
    "audit:read",
    "workflows:write",
    "variables:write",
    "numbers:write",
    "knowledge:write",
    "webhooks:write",
    "tests:run",
}
_OF_ROLE: Final[Mapping[Role, frozenset[Permission]]] = {
    "viewer": READS,
    "analyst": READS,
    "builder": _BUILDS,
    "owner": PERMISSIONS,
}


def permissions_of(role: Role) -> frozenset[Permission]:
    """Return what a role may do; the database's policies hold the same."""
    return _OF_ROLE[role]


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a token names: a user by id, in each of their organizations with a role, or an API key in its one.

    `scopes` narrows an API key; None is all that its role may. `token` is a user's own.
    """

    kind: Literal["user", "api_key"]
    id: str
    organizations: Mapping[str, Role]
    scopes: frozenset[str] | None = None
    token: str | None = field(default=None, repr=False, compare=False)

    @property
    def actor(self) -> str:
        """Return one text that names it, as the bookkeeping of requests does."""
        return f"{self.kind}:{self.id}"

    def claims(self, request_id: str | None) -> Claims:
        """Return what the database is told of it."""
        if self.kind == "user":
            return Claims(user_id=self.id, request_id=request_id, token=self.token)
        return Claims(api_key_id=self.id, request_id=request_id)

    def may(self, permission: Permission, organization_id: str) -> bool:
        """Tell whether its role there, and its scopes, allow it."""
        role = self.organizations.get(organization_id)
        if role is None or (self.scopes is not None and permission not in self.scopes):
            return False
        return permission in permissions_of(role)


class Authenticator(Protocol):
    """Tells whose a token is."""

    async def principal(self, token: str) -> Principal:
        """Return whom the token names. Raises the problem 401 for one that is none, has expired or was revoked."""
        ...

    def forget(self, key_id: str) -> None:
        """Read this API key again at its next use: it was revoked, or changed."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request. `rows` are the rows as they may see them; `asked_organization` is what the request named."""

    principal: Principal
    request_id: str
    access: RowAccess
    asked_organization: str | None = None

    @property
    def rows(self) -> Rows:
        return self.access.of(self.principal.claims(self.request_id))

    @property
    def organization_id(self) -> str:
        """Return the organization that the request is about. Raises a problem where that is not clear or not theirs."""
        mine = self.principal.organizations
        if self.asked_organization is not None:
            if self.asked_organization not in mine:
                raise Problem(403, "forbidden", "You are no member of the organization that X-Organization-Id names.")
            return self.asked_organization
        if len(mine) == 1:
            return next(iter(mine))
        if not mine:
            raise Problem(
                403,
                "organization_needed",
                "You belong to no organization yet.",
                remedy="Make one with POST /api/organizations, or ask an owner to add you.",
            )
        raise Problem(
            400,
            "organization_needed",
            "You belong to more than one organization, and the request names none.",
            remedy="Send one of them in the header X-Organization-Id.",
            organizations=sorted(mine),
        )

    def need(self, permission: Permission, organization_id: str | None = None) -> str:
        """Return the organization (that of the request where none is named); raises the problem 403 without the permission."""
        meant = organization_id or self.organization_id
        if not self.principal.may(permission, meant):
            role = self.principal.organizations.get(meant)
            raise Problem(
                403,
                "forbidden",
                f"This needs the permission {permission}, which {'your key' if self.principal.kind == 'api_key' else 'you'} "
                f"(role {role or 'none'}) {'does' if self.principal.kind == 'api_key' else 'do'} not have.",
                remedy="Ask an owner of the organization.",
            )
        return meant
