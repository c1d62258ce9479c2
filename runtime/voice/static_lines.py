"""What a workflow says word for word the same in every call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from runtime.conversation.wordings import resuming_wording
from runtime.voice.phrases import Phrase, phrase
from runtime.workflow.graph import Agent, Path, Workflow
from runtime.workflow.templates import Template

__all__ = ["REHEARSED", "Line", "arrivals", "static_lines"]

REHEARSED: Final[tuple[Phrase, ...]] = ("filler", "again", "not_heard", "give_up")
"""What is made with the call's own voice while that works, for the time when it does not."""
_SELDOM: Final[tuple[Phrase, ...]] = ("on_hold", "not_transferred", "drained", "time_limit")


@dataclass(frozen=True, slots=True)
class Line:
    """A text without anybody's values in it, and the agent in whose voice it is heard."""

    agent: Agent
    text: str


def static_lines(workflow: Workflow) -> tuple[Line, ...]:
    """Return every such text of a workflow once, those that are heard first in front."""
    agents = _by_nearness(workflow)
    lines = chain(
        _entry(workflow),
        chain.from_iterable(arrivals(workflow, path) for agent in agents for path in agent.own),
        chain.from_iterable(arrivals(workflow, path) for path in _global_paths(workflow)),
        chain.from_iterable(_at(workflow, agent) for agent in agents),
        chain.from_iterable(_phrases(agent, REHEARSED) for agent in agents),
        chain.from_iterable(_phrases(agent, _SELDOM) for agent in agents),
        (Line(agent, resuming_wording("lost", agent.language)) for agent in agents),
        _said(workflow.entry, workflow.voicemail_text),
    )
    return tuple({(line.agent.id, line.text): line for line in lines}.values())


def arrivals(workflow: Workflow, path: Path) -> Iterator[Line]:
    """Yield what is said where a path arrives: its `say` and the greeting are one utterance, in the target's voice."""
    if path.target_agent_id is None:
        return
    target = workflow.agents[path.target_agent_id]
    greets = target.node.greeting.mode == "say"
    yield from _said(target, path.say, target.greeting_text if greets else None)
    if path.say is not None and target.node.greeting.on_return != "say":
        yield from _said(target, path.say)


def _entry(workflow: Workflow) -> Iterator[Line]:
    entry = workflow.entry
    if entry.node.greeting.mode == "say":
        yield from _said(entry, entry.greeting_text)


def _at(workflow: Workflow, agent: Agent) -> Iterator[Line]:
    """Yield what may be said during a stay and at its end."""
    for tool in agent.tools:
        yield from _said(agent, tool.say_while_running)
    for prompt in workflow.silence_prompts:
        yield from _said(agent, prompt)
    for path in agent.offered:
        if path.target_agent_id is None:
            yield from _said(agent, path.say, path.end_say)


def _phrases(agent: Agent, names: Iterable[Phrase]) -> Iterator[Line]:
    for name in names:
        yield Line(agent, phrase(name, agent.language))


def _said(agent: Agent, *templates: Template | None) -> Iterator[Line]:
    """Yield the templates as one utterance, unless one of them reads a value."""
    given = [template for template in templates if template is not None]
    if all(template.is_static for template in given):
        text = " ".join(filter(None, (template.render({}).strip() for template in given)))
        if any(map(str.isalnum, text)):
            yield Line(agent, text)


def _by_nearness(workflow: Workflow) -> tuple[Agent, ...]:
    """Return the agents, those to which fewer paths lead from the entry before the others."""
    found = {workflow.entry.id: workflow.entry}
    waiting = [workflow.entry]
    for agent in waiting:
        for path in agent.offered:
            if path.target_agent_id is not None and path.target_agent_id not in found:
                found[path.target_agent_id] = workflow.agents[path.target_agent_id]
                waiting.append(found[path.target_agent_id])
    return (*found.values(), *(agent for agent in workflow.agents.values() if agent.id not in found))


def _global_paths(workflow: Workflow) -> Iterator[Path]:
    return (path for path in workflow.paths.values() if path.is_global)
