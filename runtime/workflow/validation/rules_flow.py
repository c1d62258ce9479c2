"""Rules of the graph: who can be reached, whether it ends, and automatic paths that overlap or run in a ring."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from runtime.workflow.conditions import Guard, GuardFault, can_hold_together
from runtime.workflow.faults import Fault, Loc, error, listed, warning
from runtime.workflow.validation.rules_paths import compiled
from runtime.workflow.validation.survey import PathSite, Survey

__all__ = ["flow_faults"]

_ENDING_TOOLS = frozenset({"end_call", "transfer_call"})
_MOST_STEPS = 2_000


def flow_faults(survey: Survey) -> Iterator[Fault]:
    """Yield what is wrong with the graph as a whole; reachability only where no part of it was unreadable."""
    if survey.is_whole and survey.agents and survey.entry is not None:
        yield from _unreached(survey)
        yield from _no_end(survey)
    yield from _overlaps(survey)
    yield from _Rings(survey).faults()


def _unreached(survey: Survey) -> Iterator[Fault]:
    for agent in survey.agents:
        if agent.index not in survey.reached:
            message = f"Agent “{agent.node.name}” cannot be reached: no path leads there from the entry agent."
            yield warning(agent.loc, "agent_unreachable", message, "Lead a path there, or take the agent out.")


def _no_end(survey: Survey) -> Iterator[Fault]:
    for agent in survey.agents:
        if agent.index not in survey.reached:
            continue
        ends = (site.path.end_call is not None or site.path.transfer_call is not None for site in agent.offered)
        if not agent.paths or any(ends) or any(tool.tool.tool_type in _ENDING_TOOLS for tool in agent.tools):
            return
    message = "No end can be reached: every agent has paths, and none ends or transfers the call."
    yield error(("agents",), "no_end", message, "Add a path with end_call, or an agent without paths.")


def _overlaps(survey: Survey) -> Iterator[Fault]:
    seen: set[Loc] = set()
    for agent in survey.agents:
        automatic = [site for site in agent.offered if _is_automatic(site)]
        for first, second in combinations(automatic, 2):
            loc: Loc = (*second.loc, "guard_condition")
            if loc in seen or first.path.priority != second.path.priority or not _overlap(survey, first, second):
                continue
            seen.add(loc)
            message = (
                f"{survey.place(loc)} and “{first.path.name}” are automatic with priority {first.path.priority}, "
                "and both could hold at once."
            )
            remedy = "Give them different priorities, or guards that rule each other out."
            yield error(loc, "guard_overlap", message, remedy)


def _overlap(survey: Survey, first: PathSite, second: PathSite) -> bool:
    # A guard that does not compile is a fault of its own; what it would overlap with is not known.
    if any(isinstance(survey.guard(site), GuardFault) for site in (first, second)):
        return False
    guards = [guard for site in (first, second) if (guard := compiled(survey, site)) is not None]
    return can_hold_together(guards, [*_required(first), *_required(second)], survey.variables)


def _is_automatic(site: PathSite) -> bool:
    """Tell whether the engine takes the path without a turn in between; an `else` path waits for one."""
    return site.path.trigger == "automatic" and not site.path.otherwise


def _required(site: PathSite) -> list[str]:
    return [variable.name for variable in site.path.required_variables if variable.is_required]


class _Rings:
    """Looks for rings of automatic paths that nothing stops.

    A ring whose paths require variables waits for the caller in its first round only: variables stay set. A guard on
    `visits` and a cooldown end a ring by themselves.
    """

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._steps = 0
        self._told: set[Loc] = set()
        self._next = [
            [(site, survey.index_by_id[str(site.path.target_agent_id)]) for site in agent.offered if self._turns(site)]
            for agent in survey.agents
        ]

    def faults(self) -> Iterator[Fault]:
        for start in range(len(self._next)):
            for ring in self._from(start, start, ()):
                first = min(ring, key=_order)
                if self._told.isdisjoint(site.loc for site in ring):
                    self._told |= {site.loc for site in ring}
                    yield self._fault(first, ring)

    def _turns(self, site: PathSite) -> bool:
        if not _is_automatic(site) or site.path.cooldown_turns or site.path.target_agent_id is None:
            return False
        guard = self._survey.guard(site)
        is_bounded = isinstance(guard, GuardFault) or (guard is not None and "visits" in guard.reserved)
        return site.path.target_agent_id in self._survey.index_by_id and not is_bounded

    def _from(self, start: int, agent: int, taken: tuple[PathSite, ...]) -> Iterator[tuple[PathSite, ...]]:
        """Yield the rings through `start` that pass no agent before it in the file, and none twice."""
        for site, target in self._next[agent]:
            self._steps += 1
            if self._steps > _MOST_STEPS or target < start or site in taken:
                continue
            ring = (*taken, site)
            if not self._can_run(ring):
                continue
            if target == start:
                yield ring
            elif all(site.path.target_agent_id != other.path.target_agent_id for other in taken):
                yield from self._from(start, target, ring)

    def _can_run(self, ring: tuple[PathSite, ...]) -> bool:
        guards: list[Guard] = [guard for site in ring if (guard := compiled(self._survey, site)) is not None]
        names = [name for site in ring for name in _required(site)]
        return can_hold_together(guards, names, self._survey.variables)

    def _fault(self, first: PathSite, ring: tuple[PathSite, ...]) -> Fault:
        names = " → ".join(f"“{site.path.name}”" for site in ring)
        needs = sorted({name for site in ring for name in _required(site)})
        start = f"{self._survey.place((*first.loc, 'id'))} is in a ring of automatic paths"
        remedy = "Set a trigger to “model”, or guard a path with `visits`."
        since = f" from the second round on, when it has {listed(needs)}" if needs else ""
        return error(first.loc, "automatic_ring", f"{start} that needs no new input{since}: {names}.", remedy)


def _order(site: PathSite) -> tuple[int, ...]:
    return (-1 if site.agent is None else site.agent, *(part for part in site.loc if isinstance(part, int)))
