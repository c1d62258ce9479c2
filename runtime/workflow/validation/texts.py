"""Every template of a config with where it stands, who reads it, and what it may read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from runtime.workflow.faults import Loc
from runtime.workflow.validation.survey import AgentSite, PathSite, Survey, ToolSite

__all__ = ["Reader", "Text", "texts_of"]

# What a model reads of a tool before it calls it.
_SHOWN = frozenset({"description", "parameters"})

# What lets a JSON Schema name further properties elsewhere.
_OPENERS = frozenset(
    {"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas", "patternProperties"}
)


class Reader(Enum):
    """Who reads a rendered text."""

    PERSON = "a model reads it or a caller hears it"
    TOOL = "a tool uses it"
    PROVIDER = "a provider is given it"


@dataclass(frozen=True, slots=True)
class Text:
    """One template. `agents` are the indices of the agents it is rendered at; None: anywhere; (): before the first.

    `arguments` are the names that a tool's text can read under `arguments.`; None where any name could be there.
    """

    loc: Loc
    text: str
    reader: Reader
    agents: tuple[int, ...] | None
    arguments: frozenset[str] | None = None


def texts_of(survey: Survey) -> Iterator[Text]:
    """Yield every text of the config that is rendered, static ones included."""
    yield from _workflow(survey)
    yield from _keys(survey)
    for site in survey.global_paths:
        yield from _path(site, None)
    for agent in survey.agents:
        yield from _agent(agent)
    yield from _tools(survey)


def _workflow(survey: Survey) -> Iterator[Text]:
    config, session = survey.config, survey.config.session
    if config.instructions is not None:
        yield Text(("instructions",), config.instructions, Reader.PERSON, None)
    for index, prompt in enumerate(session.silence.prompts):
        yield Text(("session", "silence", "prompts", index), prompt, Reader.PERSON, None)
    if session.voicemail is not None and session.voicemail.text is not None:
        yield Text(("session", "voicemail", "text"), session.voicemail.text, Reader.PERSON, None)


def _agent(agent: AgentSite) -> Iterator[Text]:
    here = (agent.index,)
    yield Text((*agent.loc, "instructions"), agent.node.instructions, Reader.PERSON, here)
    if agent.node.greeting.text is not None:
        yield Text((*agent.loc, "greeting", "text"), agent.node.greeting.text, Reader.PERSON, here)
    for site in agent.paths:
        yield from _path(site, here)


def _path(site: PathSite, agents: tuple[int, ...] | None) -> Iterator[Text]:
    path = site.path
    if path.say is not None:
        yield Text((*site.loc, "say"), path.say, Reader.PERSON, agents)
    if path.end_call is not None and path.end_call.say is not None:
        yield Text((*site.loc, "end_call", "say"), path.end_call.say, Reader.PERSON, agents)
    if path.transfer_call is not None:
        yield Text((*site.loc, "transfer_call", "to"), path.transfer_call.to, Reader.PERSON, agents)


def _tools(survey: Survey) -> Iterator[Text]:
    """Yield the texts of every tool; a shared one is rendered at each agent that lists it."""
    session = survey.config.session
    users: dict[Loc, tuple[int, ...] | None] = {site.loc: () for site in survey.shared}
    users |= {site.loc: () for site in survey.resolved(("session", "on_start"), session.on_start)}
    for agent in survey.agents:
        for site in agent.tools:
            users[site.loc] = (*(users.get(site.loc) or ()), agent.index)
    users |= {site.loc: None for site in survey.inline_tools(("session", "on_end"), session.on_end)}
    for site in survey.defined_tools():
        yield from _tool(site, users.get(site.loc))


def _tool(site: ToolSite, agents: tuple[int, ...] | None) -> Iterator[Text]:
    if site.tool.say_while_running is not None:
        yield Text((*site.loc, "say_while_running"), site.tool.say_while_running, Reader.PERSON, agents)
    arguments = _arguments(site.tool.config.get("parameters"))
    for key, value in site.tool.config.items():
        is_shown = key in _SHOWN
        for loc, text in _strings((*site.loc, "config", key), value):
            if is_shown:
                yield Text(loc, text, Reader.PERSON, agents)
            else:
                yield Text(loc, text, Reader.TOOL, agents, arguments)


def _arguments(parameters: Any) -> frozenset[str] | None:
    """Return the names of a JSON Schema's properties; None where it lets other names in, or may."""
    if not isinstance(parameters, dict) or not isinstance(parameters.get("properties"), dict):
        return None
    # A schema without `additionalProperties` allows them, but a model gives none that it was not told of.
    is_open = parameters.get("additionalProperties", False) is not False or not _OPENERS.isdisjoint(parameters)
    return None if is_open else frozenset(parameters["properties"])


def _keys(survey: Survey) -> Iterator[Text]:
    for loc, text in _strings(("defaults",), survey.document.get("defaults")):
        yield from _of_provider(loc, text)
    for agent in survey.agents:
        written = survey.document["agents"][agent.index]
        for kind in ("llm", "stt", "tts", "vad"):
            for loc, text in _strings((*agent.loc, kind), written.get(kind)):
                yield from _of_provider(loc, text)


def _of_provider(loc: Loc, text: str) -> Iterator[Text]:
    if loc[-1] == "api_key":
        yield Text(loc, text, Reader.PROVIDER, ())
    elif "secrets" in text:
        yield Text(loc, text, Reader.PERSON, None)


def _strings(loc: Loc, value: Any) -> Iterator[tuple[Loc, str]]:
    """Yield the templates inside a JSON value."""
    if isinstance(value, str) and "{" in value:
        yield loc, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings((*loc, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings((*loc, index), item)
