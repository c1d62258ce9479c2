"""What stores say when something is not there, is refused, or when the database is away."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

import asyncpg

from runtime.errors import NotFound, PatchbayError, StoreUnreachable, UsageFault
from runtime.session.ports import NotNotified

__all__ = [
    "AWAY",
    "GONE",
    "REFUSED",
    "no_call",
    "no_delivery",
    "no_number",
    "no_organization",
    "no_published",
    "no_variable",
    "no_version",
    "no_workflow",
    "not_notified",
    "place_of",
    "refused",
    "unreachable",
]

# The database cannot be reached, has no room, is going down or does not let us in: later it may work.
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
)
# Of these, what says nothing of the statement: the connection or the server.
GONE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
)
# The database is there and does not take what it was given: later it will not work either.
REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)


def no_workflow(name: str, known: Iterable[str]) -> NotFound:
    names = ", ".join(sorted(known))
    return NotFound(
        f"There is no workflow '{name}'.",
        remedy=f"Workflows: {names}." if names else "There is none yet: running a file makes one.",
    )


def no_published(name: str, versions: Iterable[int]) -> NotFound:
    numbers = ", ".join(str(number) for number in sorted(versions))
    return NotFound(
        f"Workflow '{name}' has no published version.",
        remedy=f"Publish one of its versions: {numbers or 'there is none'}.",
    )


def no_version(version_id: str) -> NotFound:
    return NotFound(f"There is no workflow version '{version_id}'.", remedy="See: patchbay workflow list")


def no_call(session_id: str) -> NotFound:
    return NotFound(f"There is no session '{session_id}'.", remedy="See: patchbay session list")


def no_delivery(delivery_id: str) -> NotFound:
    return NotFound(f"There is no webhook delivery '{delivery_id}'.", remedy="See: patchbay webhooks list")


def no_variable(name: str, known: Iterable[str]) -> NotFound:
    return NotFound(f"There is no variable '{name}'.", remedy=f"Variables: {', '.join(sorted(known)) or 'none yet'}.")


def no_number(number: str, known: Iterable[str]) -> NotFound:
    return NotFound(
        f"There is no number '{number}'.",
        remedy=f"Numbers: {', '.join(sorted(known)) or 'none yet; patchbay number add maps one'}.",
    )


def no_organization(organization_id: str) -> NotFound:
    return NotFound(f"There is no organization '{organization_id}'.", remedy="Set PATCHBAY_ORG to the name of one.")


def not_notified(place: str) -> NotNotified:
    return NotNotified(
        f"The database {place} works, but its notifications do not arrive: a transaction pooler (PgBouncer in transaction "
        "mode, Supabase port 6543) is in the way.",
        remedy="Use the direct or session connection (port 5432) in DATABASE_URL. Until then changes are asked for twice a second.",
    )


def refused(error: BaseException) -> PatchbayError:
    """Return the error for what the database will never take, however often it is sent."""
    hint = getattr(error, "hint", None)
    return PatchbayError(f"The database does not take this: {error}.", remedy=hint or "")


def unreachable(place: str, error: BaseException) -> StoreUnreachable:
    """Return the error for a database that is away; `place` says which, without its password."""
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError | asyncpg.UndefinedFunctionError):
        return StoreUnreachable(
            f"The database {place} lacks a part of the schema: {error}.", remedy="Run: patchbay db migrate"
        )
    reason = str(error) or type(error).__name__
    return StoreUnreachable(
        f"The database {place} cannot be used: {reason}.", remedy="Check DATABASE_URL, and that the server runs."
    )


def place_of(url: str) -> str:
    """Return host, port and database of a Postgres URL, for messages; raises `UsageFault` where it is none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or parse_qs(parts.query).get("host", ["localhost"])[0]
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise _no_url() from error
    if parts.scheme not in {"postgres", "postgresql"}:
        raise _no_url()
    return f"{host}{port}{parts.path}"


def _no_url() -> UsageFault:
    return UsageFault(
        "DATABASE_URL is no Postgres URL.", remedy="It looks like postgresql://user:password@host:5432/database"
    )
