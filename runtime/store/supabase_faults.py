"""What goes wrong with Supabase's API, as the errors every store has."""

from __future__ import annotations

import httpx
from supabase import PostgrestAPIError

from runtime.errors import PatchbayError, StoreUnreachable
from runtime.session.ports import NotNotified
from runtime.store import faults

__all__ = ["ERRORS", "MIGRATE", "fault_of", "is_timeout", "not_notified"]

MIGRATE = (
    "Apply Patchbay's migrations: supabase db push, with the Supabase CLI; or set DATABASE_URL to the project's connection "
    "string and run patchbay db migrate."
)
# What a request may end in; `httpx.HTTPStatusError` where something before PostgREST refused it.
ERRORS = (PostgrestAPIError, httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeEncodeError)

_CHECK_KEY = (
    "Check SUPABASE_SERVICE_ROLE_KEY: it is the project's secret key (Supabase: Project Settings, API keys), and not "
    "the one for browsers."
)
_CHECK_URL = "Check SUPABASE_URL (https://<project>.supabase.co), and that the project is not paused."
# Classes of SQLSTATE: the database is there and does not take what it was given, however often it is sent.
_REFUSED = ("22", "23", "54")
_NOT_JSON = "PGRST102"  # a text that Postgres' JSON has no room for
_SCHEMA = frozenset({"42P01", "42703", "42883", "PGRST202", "PGRST204", "PGRST205"})
_KEY = frozenset({"42501", "PGRST300", "PGRST301", "PGRST302", "PGRST303"})
_POOL_TIMEOUT = "PGRST003"
_TOO_LARGE = 413


def fault_of(place: str, error: BaseException) -> PatchbayError:
    """Return the error for what one of `ERRORS` says; `place` is the API's host."""
    match error:
        case PostgrestAPIError():
            return _answered(place, error)
        case UnicodeEncodeError():
            return PatchbayError("The database does not take this: a text has characters that no text has room for.")
        case httpx.HTTPStatusError():
            return _turned_away(place, error.response)
        case httpx.TimeoutException():
            return StoreUnreachable(f"Supabase's API at {place} did not answer in time.", remedy=_CHECK_URL)
        case _:
            reason = str(error) or type(error).__name__
            return StoreUnreachable(f"Supabase's API at {place} cannot be reached: {reason}.", remedy=_CHECK_URL)


def is_timeout(error: BaseException | None) -> bool:
    """Whether asking once more would only wait once more."""
    if isinstance(error, PostgrestAPIError):
        return error.code == _POOL_TIMEOUT
    return isinstance(error, httpx.TimeoutException)


def not_notified(place: str) -> NotNotified:
    return NotNotified(
        f"Supabase's API at {place} works, but tells of no change by itself.",
        remedy="Set DATABASE_URL as well: the project's direct or session connection (port 5432). Until then changes are asked for "
        "twice a second.",
    )


def _answered(place: str, error: PostgrestAPIError) -> PatchbayError:
    code, message = error.code or "", error.message or "it does not say why"
    if code == _NOT_JSON or (len(code) == 5 and code.startswith(_REFUSED)):
        detail = f" ({error.details})" if error.details else ""
        return PatchbayError(f"The database does not take this: {message}{detail}.", remedy=error.hint or "")
    if code in _SCHEMA:
        return StoreUnreachable(
            f"The Supabase project {place} lacks a part of the schema: {message.rstrip('.')}.",
            remedy=f"{MIGRATE} Where that is done, have the API read it: notify pgrst, 'reload schema'",
        )
    remedy = _CHECK_KEY if code in _KEY else error.hint or _CHECK_URL
    return StoreUnreachable(f"The Supabase project {place} cannot be used: {message} ({code}).", remedy=remedy)


def _turned_away(place: str, response: httpx.Response) -> PatchbayError:
    status = response.status_code
    if status == _TOO_LARGE:
        return faults.refused(ValueError(f"Supabase's API at {place} takes no request of this size"))
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return StoreUnreachable(f"Supabase's API at {place} does not let us in ({status}).", remedy=_CHECK_KEY)
    return StoreUnreachable(f"Supabase's API at {place} answered {status} without saying why.", remedy=_CHECK_URL)
