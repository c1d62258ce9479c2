"""Rules of paths: where they lead, what takes them, and their guards."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.numbers import telephone_address
from runtime.workflow.conditions import Guard, GuardFault, never_holds
from runtime.workflow.faults import Fault, Loc, error, warning
from runtime.workflow.validation.survey import AgentSite, PathSite, Survey

__all__ = ["path_faults"]

_ENDS = ("target_agent_id", "end_call", "transfer_call")
_KEY = re.compile(r"[0-9*#A-D]")


def path_faults(survey: Survey) -> Iterator[Fault]:
    """Yield the faults of every path by itself, then those of paths that are offered together."""
    for site in survey.paths():
        yield from _end(survey, site)
        yield from _trigger(survey, site)
        yield from _guard(survey, site)
    seen: set[Loc] = set()
    for agent in survey.agents:
        for loc, fault in (*_keys(survey, agent), *_otherwise(survey, agent)):
            if loc not in seen:
                seen.add(loc)
                yield fault


def _end(survey: Survey, site: PathSite) -> Iterator[Fault]:
    given = [key for key in _ENDS if getattr(site.path, key) is not None]
    is_read = not any((*site.loc, key) in survey.repaired for key in _ENDS)
    if len(given) != 1 and is_read:
        loc = (*site.loc, given[1] if given else "target_agent_id")
        has = f"has both {given[0]} and {given[1]}" if given else "leads nowhere"
        remedy = "Give it exactly one of target_agent_id, end_call and transfer_call."
        yield error(loc, "path_target", f"{survey.place(loc)} {has}.", remedy)
    transfer = site.path.transfer_call
    if transfer is not None and "{" not in transfer.to and telephone_address(transfer.to) is None:
        loc = (*site.loc, "transfer_call", "to")
        message = f"{survey.place(loc)} transfers to “{transfer.to}”, which is no number and no SIP address."
        yield error(loc, "transfer_number", message, "Write a number as +15550100, or sip:name@host.")


def _trigger(survey: Survey, site: PathSite) -> Iterator[Fault]:
    path, where = site.path, survey.place((*site.loc, "trigger"))
    if path.otherwise and path.trigger != "automatic":
        message = f"{where} is an `else` path, and its trigger is {path.trigger}."
        yield error((*site.loc, "else"), "else_not_automatic", message, "Set its trigger to “automatic”.")
    if path.trigger == "dtmf" and (path.dtmf is None or not _KEY.fullmatch(path.dtmf)):
        has = "has no key" if path.dtmf is None else f"has “{path.dtmf}” for a key"
        message = f"{where} is taken by a key and {has}."
        yield error((*site.loc, "dtmf"), "dtmf_key", message, "Set dtmf to one of 0 to 9, *, #.")
    elif path.trigger != "dtmf" and path.dtmf is not None:
        message = f"{where} has a key, and its trigger is {path.trigger}, so that the key does nothing."
        yield warning((*site.loc, "dtmf"), "dtmf_key", message, "Set its trigger to “dtmf”, or take the key out.")
    if site.agent is not None and path.cooldown_turns:
        message = f"{where} has cooldown_turns, which only global paths have."
        yield error((*site.loc, "cooldown_turns"), "cooldown_own_path", message, "Take cooldown_turns out.")


def _guard(survey: Survey, site: PathSite) -> Iterator[Fault]:
    guard, loc = survey.guard(site), (*site.loc, "guard_condition")
    where = survey.place(loc)
    if isinstance(guard, GuardFault) and guard.name not in survey.lost:
        yield _no_guard(loc, where, guard)
    elif isinstance(guard, Guard) and never_holds(guard, survey.variables):
        message = f"{where} has a guard that can never hold: {guard.text}"
        yield warning(loc, "guard_never_holds", message, "Correct the guard, or take the path out.")


def _no_guard(loc: Loc, where: str, fault: GuardFault) -> Fault:
    message = f"{where} has a guard that {{}}. Line {fault.line}, column {fault.column}: {fault.message}"
    match fault.kind:
        case "unknown_name":
            remedy = f"Declare “{fault.name}” in `variables` or in a path's required_variables, or correct the name."
            return error(loc, "unknown_variable", message.format("reads an unknown name"), remedy)
        case "secret":
            return error(loc, "secret_exposed", message.format("reads a secret"), "Read a workspace variable instead.")
        case "not_boolean":
            remedy = "Write a comparison, such as `x == 'a'`."
            return error(loc, "guard_not_boolean", message.format("is neither true nor false"), remedy)
        case _:
            return error(loc, "guard_invalid", message.format("is no CEL"), "Correct the guard.")


def _keys(survey: Survey, agent: AgentSite) -> Iterator[tuple[Loc, Fault]]:
    seen: dict[str, PathSite] = {}
    for site in agent.offered:
        key = site.path.dtmf
        if site.path.trigger != "dtmf" or key is None:
            continue
        if key in seen:
            loc = (*site.loc, "dtmf")
            message = f"{survey.place(loc)} has the key {key}, which takes “{seen[key].path.name}” there already."
            yield loc, error(loc, "dtmf_twice", message, "Give one of them another key.")
        seen.setdefault(key, site)


def _otherwise(survey: Survey, agent: AgentSite) -> Iterator[tuple[Loc, Fault]]:
    automatic = [site for site in agent.offered if site.path.otherwise and site.path.trigger == "automatic"]
    for site in automatic[1:]:
        loc = (*site.loc, "else")
        first = automatic[0].path.name
        message = (
            f"{survey.place(loc)} is an `else` path, and “{first}” is the one of agent “{agent.node.name}” already."
        )
        yield loc, error(loc, "else_twice", message, "Keep one `else` path for each agent.")


def compiled(survey: Survey, site: PathSite) -> Guard | None:
    """Return the path's guard as far as it compiles."""
    guard = survey.guard(site)
    return guard if isinstance(guard, Guard) else None
