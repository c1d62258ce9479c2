"""Rules of ids, names and what refers to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runtime.workflow.config import ToolReference
from runtime.workflow.faults import Fault, Loc, error, listed, nearest
from runtime.workflow.validation.shape import is_stand_in
from runtime.workflow.validation.survey import PathSite, Survey, ToolSite

__all__ = ["name_faults"]


def name_faults(survey: Survey) -> Iterator[Fault]:
    """Yield the faults of ids and names: empty, twice, or leading nowhere."""
    if not survey.config.agents:
        yield error(("agents",), "no_agents", "The workflow has no agents.", "Add an agent to `agents`.")
    yield from _empty(survey)
    yield from _twice_used(survey)
    yield from _entry(survey)
    yield from _agents_named(survey)
    yield from _tools_named(survey)
    yield from _paths_named(survey)


def _empty(survey: Survey) -> Iterator[Fault]:
    places: list[tuple[Loc, str]] = []
    for agent in survey.agents:
        places += [((*agent.loc, "id"), agent.node.id), ((*agent.loc, "name"), agent.node.name)]
    for site in survey.paths():
        places += [((*site.loc, "id"), site.path.id), ((*site.loc, "name"), site.path.name)]
    places += [((*site.loc, "id"), site.tool.id) for site in survey.shared if site.tool.id is not None]
    places += [((*site.loc, "tool_type"), site.tool.tool_type) for site in survey.defined_tools()]
    for loc, text in places:
        if not text.strip():
            message = f"{survey.place(loc)} has an empty “{loc[-1]}”."
            yield error(loc, "empty_name", message, f"Give it {'an id' if loc[-1] == 'id' else 'a name'}.")


def _twice_used(survey: Survey) -> Iterator[Fault]:
    agents = survey.agents
    yield from _twice(survey, "duplicate_id", [((*agent.loc, "id"), agent.node.id) for agent in agents])
    yield from _twice(survey, "duplicate_name", [((*agent.loc, "name"), agent.node.name) for agent in agents])
    yield from _twice(survey, "duplicate_id", [((*site.loc, "id"), site.path.id) for site in survey.paths()])
    for sites in (survey.global_paths, *(agent.paths for agent in agents)):
        yield from _twice(survey, "duplicate_name", [((*site.loc, "name"), site.path.name) for site in sites])
    shared = [((*site.loc, "id"), site.tool.id) for site in survey.shared if site.tool.id is not None]
    yield from _twice(survey, "duplicate_id", shared)


def _twice(survey: Survey, code: str, places: Iterable[tuple[Loc, str]]) -> Iterator[Fault]:
    seen: dict[str, Loc] = {}
    for loc, text in places:
        if not text.strip():
            continue
        if text in seen:
            what = "id" if code == "duplicate_id" else "name"
            first = survey.place(seen[text])
            message = f"{survey.place(loc)} has the {what} “{text}”, which {first[0].lower()}{first[1:]} has already."
            yield error(loc, code, message, f"Give one of them another {what}.")
        seen.setdefault(text, loc)


def _entry(survey: Survey) -> Iterator[Fault]:
    wanted = survey.config.entry_agent_id
    if wanted is not None and wanted not in survey.index_by_id:
        message = f"The entry agent “{wanted}” does not exist."
        yield error(("entry_agent_id",), "unknown_agent", message, _agents_remedy(survey, wanted))


def _agents_named(survey: Survey) -> Iterator[Fault]:
    for site in survey.paths():
        target = site.path.target_agent_id
        if target is not None and target not in survey.index_by_id:
            loc: Loc = (*site.loc, "target_agent_id")
            message = f"{survey.place(loc)} leads to agent “{target}”, which does not exist."
            yield error(loc, "unknown_target", message, _agents_remedy(survey, target))
        transfer = site.path.transfer_call
        failed = transfer.on_failure_agent_id if transfer is not None else None
        if failed is not None and failed not in survey.index_by_id:
            loc = (*site.loc, "transfer_call", "on_failure_agent_id")
            message = f"{survey.place(loc)} leads to agent “{failed}” when its transfer fails; it does not exist."
            yield error(loc, "unknown_agent", message, _agents_remedy(survey, failed))


def _agents_remedy(survey: Survey, wanted: str) -> str:
    names = {agent.node.id: agent.node.name for agent in survey.agents if not is_stand_in(agent.node.id)}
    near = nearest(wanted, names)
    hint = f"Did you mean “{near}” ({names[near]})? " if near is not None else ""
    by_name = next((key for key, name in names.items() if name == wanted), None)
    if by_name is not None:
        hint = f"An agent is named by its id: “{by_name}”. "
    return f"{hint}Agents: {listed(f'{name} ({key})' for key, name in names.items())}."


def _tools_named(survey: Survey) -> Iterator[Fault]:
    known = {site.tool.id for site in survey.shared if site.tool.id is not None}
    for site in survey.shared:
        if site.tool.id is None:
            message = f"{survey.place((*site.loc, 'id'))} is shared and has no id."
            yield error((*site.loc, "id"), "missing_key", message, "Give it an id that agents can name.")
    session = survey.config.session
    lists: list[tuple[Loc, Iterable[object]]] = [
        (("session", "on_start"), session.on_start),
        (("session", "on_end"), session.on_end),
        *(((*agent.loc, "tools"), agent.node.tools) for agent in survey.agents),
    ]
    for base, entries in lists:
        for index, entry in enumerate(entries):
            if isinstance(entry, ToolReference) and entry.tool_id not in known:
                loc: Loc = (*base, index, "tool_id")
                near = nearest(entry.tool_id, known)
                remedy = f"Did you mean “{near}”?" if near else f"Shared tools: {listed(sorted(known))}."
                message = f"{survey.place(loc)} names the shared tool “{entry.tool_id}”, which does not exist."
                yield error(loc, "unknown_tool", message, remedy)


def _paths_named(survey: Survey) -> Iterator[Fault]:
    everywhere = {site.path.id: site.path.name for site in survey.paths()}
    shared = {site.path.id: site.path.name for site in survey.global_paths}
    for index, variable in enumerate(survey.config.variables):
        yield from _path_at(survey, ("variables", index, "fallback_path_id"), variable.fallback_path_id, everywhere)
    for site in survey.paths():
        offered = shared if site.agent is None else _offered(survey.agents[site.agent].offered)
        for number, item in enumerate(site.path.required_variables):
            loc = (*site.loc, "required_variables", number, "fallback_path_id")
            yield from _path_at(survey, loc, item.fallback_path_id, offered)
    on_start = survey.resolved(("session", "on_start"), survey.config.session.on_start)
    entry = shared if survey.entry is None else _offered(survey.agents[survey.entry].offered)
    seen: set[Loc] = set()
    users = [(tool, entry) for tool in on_start]
    users += [(tool, _offered(agent.offered)) for agent in survey.agents for tool in agent.tools]
    for tool, offered in users:
        for fault_loc, path_id in _tool_paths(tool):
            if fault_loc not in seen:
                faults = tuple(_path_at(survey, fault_loc, path_id, offered))
                seen |= {fault_loc} if faults else set()
                yield from faults


def _tool_paths(site: ToolSite) -> tuple[tuple[Loc, str | None], ...]:
    success: Loc = (*site.loc, "on_success_path_id")
    return (success, site.tool.on_success_path_id), ((*site.loc, "on_failure_path_id"), site.tool.on_failure_path_id)


def _offered(sites: Iterable[PathSite]) -> dict[str, str]:
    return {site.path.id: site.path.name for site in sites}


def _path_at(survey: Survey, loc: Loc, path_id: str | None, offered: dict[str, str]) -> Iterator[Fault]:
    if path_id is None or path_id in offered:
        return
    message = f"{survey.place(loc)} names the path “{path_id}”, which is not offered there."
    paths = listed(f"{name} ({key})" for key, name in offered.items() if not is_stand_in(key))
    yield error(loc, "unknown_path", message, f"Paths offered there: {paths}.")
