"""What a fault of a config looks like: a JSON path, a code, a severity, a message and a remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = [
    "FAULT_CODES",
    "UNSTORABLE",
    "Fault",
    "Loc",
    "Severity",
    "error",
    "json_path",
    "listed",
    "nearest",
    "suggestion",
    "warning",
]

Severity: TypeAlias = Literal["error", "warning"]
Loc: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the root, such as `("agents", 0, "paths", 1)`."""

FAULT_CODES = {
    "agent_unreachable": "No path leads from the entry agent to this one.",
    "automatic_ring": "A ring of automatic paths needs no new input, so that a call would run round in it.",
    "confirm_spell": "Spelling back is asked of a value that has no letters or digits to spell.",
    "cooldown_own_path": "`cooldown_turns` stands on a path that is not global.",
    "default_invalid": "A variable's default is no value of its type.",
    "dtmf_key": "A path with trigger `dtmf` lacks its key, the key is none, or a key stands on another trigger.",
    "dtmf_twice": "Two paths offered at one agent have the same key.",
    "duplicate_id": "Two agents, paths or tools have the same id.",
    "duplicate_key": "An object of the file has the same key twice.",
    "duplicate_name": "Two agents, two paths of an agent, or two variables of a path have the same name.",
    "else_not_automatic": "`else` stands on a path whose trigger is not `automatic`.",
    "else_twice": "An agent has two `else` paths.",
    "empty_name": "A name or an id is empty.",
    "enum_empty": "An enum has no values.",
    "enum_unused": "A variable that is no enum lists `enum` values.",
    "example_invalid": "A variable's example is no value of its type.",
    "guard_invalid": "A guard does not compile.",
    "guard_never_holds": "A guard can never hold.",
    "guard_not_boolean": "A guard is neither true nor false.",
    "guard_overlap": "Two automatic paths of equal priority could hold at once.",
    "json_path_invalid": "What a tool assigns is no JSONPath.",
    "limits_contradict": "A lower limit is above the upper one.",
    "missing_key": "A key that is needed is not there.",
    "missing_text": "Something is to be said, and there are no words for it.",
    "never_set": "A variable is read that nothing on the way there can set.",
    "newer_schema_version": "The file was made for a newer release.",
    "no_agents": "There is no agent.",
    "no_end": "No end can be reached: no agent without paths, and no path that ends or transfers the call.",
    "out_of_range": "A number is out of range.",
    "path_target": "A path has none, or more than one, of target_agent_id, end_call and transfer_call.",
    "pattern_invalid": "A pattern is no regular expression.",
    "provider_missing": "A provider's plugin is not installed (a warning at save, a fault at start).",
    "reserved_name": "A variable has a name that guards and templates need for something else.",
    "secret_exposed": "A secret is read where a model reads or a caller hears it.",
    "template_invalid": "A template is no Liquid.",
    "tool_config": "A tool's config does not fit its schema.",
    "tool_not_allowed": "A tool stands where its type cannot run.",
    "too_large": "The file is nested too deeply or has too many values.",
    "transfer_number": "A call is to be transferred to something that is no number and no SIP address.",
    "unknown_agent": "An agent is named that does not exist.",
    "unknown_key": "A key is not part of the schema.",
    "unknown_language": "A language is no language tag.",
    "unknown_option": "A provider's plugin has no such parameter.",
    "unknown_path": "A path is named that does not exist or is not offered there.",
    "unknown_provider": "No plugin has this name.",
    "unknown_region": "A region is no ISO 3166 country code.",
    "unknown_target": "A path leads to an agent that does not exist.",
    "unknown_time_zone": "A time zone is no IANA name.",
    "unknown_tool": "A shared tool is named that does not exist.",
    "unknown_tool_type": "A tool is not registered.",
    "unknown_value": "A key has none of the values it may have.",
    "unknown_variable": "A guard, a template or a tool names something that is declared nowhere.",
    "unreadable": "The file is neither JSON nor YAML.",
    "unstorable_text": "A text or a key has NUL or half of a character, which cannot be stored.",
    "variable_conflict": "A variable is declared in two places with different definitions.",
    "variable_name": "A variable's name is not `[a-z][a-z0-9_]*`.",
    "wrong_type": "A value is of the wrong JSON type.",
}
"""Every code a fault may have, with its meaning."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `path` is the JSON path of the offending key itself, `code` one of `FAULT_CODES`."""

    path: str
    code: str
    severity: Severity
    message: str
    remedy: str


def error(loc: Loc, code: str, message: str, remedy: str) -> Fault:
    return Fault(json_path(loc), code, "error", _visible(message), _visible(remedy))


def warning(loc: Loc, code: str, message: str, remedy: str) -> Fault:
    return Fault(json_path(loc), code, "warning", _visible(message), _visible(remedy))


UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL and halves of surrogate pairs, which Postgres cannot store."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def json_path(loc: Loc) -> str:
    """Write a location as a JSON path: `$.agents[0].llm.options['x-y']`."""
    return "$" + "".join(map(_step, loc))


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if _IDENTIFIER.fullmatch(part):
        return f".{part}"
    return "['" + _visible(part.replace("\\", "\\\\").replace("'", "\\'")) + "']"


def _visible(text: str) -> str:
    """Escape what neither Postgres nor a terminal takes: a fault is stored and shown itself."""
    return UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` was probably meant to be."""
    by_case = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold()[:200], by_case, n=1, cutoff=0.6)
    return by_case[found[0]] if found else None


def suggestion(name: str, known: Iterable[str], *, what: str) -> str:
    """Say what `name` was probably meant to be, else what there is."""
    names = sorted(known)
    if (near := nearest(name, names)) is not None:
        return f"Did you mean “{near}”?"
    return f"{what}: {listed(names)}."


def listed(names: Iterable[str], *, most: int = 12) -> str:
    """Join names for a sentence; `none` where there are none."""
    names = list(names)
    shown = ", ".join(names[:most]) or "none"
    return f"{shown}, and {len(names) - most} more" if len(names) > most else shown
