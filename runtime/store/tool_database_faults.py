"""What goes wrong when a tool asks the builder's own tables, told apart by SQLSTATE, with a remedy for the operator."""

from __future__ import annotations

from typing import Literal, TypeAlias

from runtime.errors import PatchbayError

__all__ = ["FaultKind", "ToolDatabaseFault", "fault_of", "timed_out", "unreachable"]

FaultKind: TypeAlias = Literal[
    "not_allowed",
    "bad_query",
    "invalid_arguments",
    "constraint",
    "refused",
    "too_large",
    "timeout",
    "unreachable",
]

# Of `patchbay_select` and `patchbay_rpc`, and where Postgres has a code that says more than its class.
_CODES: dict[str, FaultKind] = {
    "PB400": "bad_query",
    "PB403": "not_allowed",
    "PB404": "bad_query",
    "PB413": "too_large",
    "P0001": "refused",
    "42501": "not_allowed",
    "55P03": "timeout",
    "57014": "timeout",
    "PGRST000": "unreachable",
    "PGRST001": "unreachable",
    "PGRST002": "unreachable",
    "PGRST003": "timeout",
    "PGRST102": "invalid_arguments",  # a text that Postgres' JSON has no room for
    "PGRST300": "unreachable",
    "PGRST301": "unreachable",
    "PGRST302": "unreachable",
    "PGRST303": "unreachable",
}
_CLASSES: dict[str, FaultKind] = {
    "08": "unreachable",
    "22": "invalid_arguments",
    "23": "constraint",
    "28": "unreachable",
    "40": "unreachable",
    "53": "unreachable",
    "54": "invalid_arguments",
    "57": "unreachable",
    "58": "unreachable",
    "XX": "unreachable",
}


class ToolDatabaseFault(PatchbayError):
    """A query or call was not answered. `kind` is for the tool; message and remedy are for the operator's log.

    Where `kind` is `refused` the exposed function raised an exception of its own, and `said` is its sentence.
    """

    def __init__(self, kind: FaultKind, message: str, *, remedy: str = "", said: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind
        self.said = said


def fault_of(code: str, message: str, hint: str | None = None) -> ToolDatabaseFault:
    """Return the fault for what Postgres (a SQLSTATE) or PostgREST (`PGRST…`) answered."""
    kind = _CODES.get(code) or _CLASSES.get(code[:2] if len(code) == 5 else "", "bad_query")
    return ToolDatabaseFault(
        kind,
        f"{message} ({code})",
        remedy=_remedy(code, message) or hint or "",
        said=message if code == "P0001" else "",
    )


def timed_out(timeout_s: float) -> ToolDatabaseFault:
    return ToolDatabaseFault(
        "timeout",
        f"The query took longer than {timeout_s:.1f} s.",
        remedy="Give the organization's column and those filtered by an index, or the tool a longer timeout_s.",
    )


def unreachable(message: str, remedy: str = "") -> ToolDatabaseFault:
    return ToolDatabaseFault("unreachable", message, remedy=remedy)


def _remedy(code: str, message: str) -> str:
    if code == "42501" and "set role" in message:
        return "Run as an administrator: grant patchbay_tool to the user of DATABASE_URL, and to authenticator."
    if code in {"PGRST202", "42883"} and "patchbay_" in message:
        return "Run: patchbay db migrate. Over Supabase's API then also: notify pgrst, 'reload schema'"
    if code.startswith("PGRST30"):
        return "SUPABASE_JWT_SECRET (or, without it, SUPABASE_SERVICE_ROLE_KEY) is not what the project's API checks tokens with."
    return ""
