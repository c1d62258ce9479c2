"""What callers of a workflow are likely to say: its own words, its variables' types and its examples."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from runtime.variables import vocabulary
from runtime.workflow.graph import Agent, Workflow

__all__ = ["heard_words"]

_WORD = re.compile(r"[A-Za-z][A-Za-z']*")
_QUOTED = re.compile(r'"([^"]+)"')


def heard_words(workflow: Workflow) -> Callable[[Agent], tuple[Sequence[str], Sequence[str]]]:
    """Return, for the local recogniser, the whole phrases and the single words that an agent's caller may say.

    They are the same at every agent: a caller may say anything anywhere, and the recogniser need not be changed.
    """
    phrases = tuple(dict.fromkeys(_phrases(workflow)))
    words = tuple(dict.fromkeys(_words(workflow)))
    return lambda _agent: (phrases, words)


def _phrases(workflow: Workflow) -> Iterator[str]:
    for path in workflow.paths.values():
        yield from path.config.examples
    for spec in workflow.variables.values():
        yield from (*spec.enum, *(str(example) for example in spec.examples))
    for agent in workflow.agents.values():
        for tool in agent.tools:  # a tool has no examples of its own: its description quotes them
            yield from _QUOTED.findall(str(tool.tool.config.get("description", "")))


def _words(workflow: Workflow) -> Iterator[str]:
    for spec in workflow.variables.values():
        yield from vocabulary(spec)
    for text in _texts(workflow):
        yield from (word.lower() for word in _WORD.findall(text))


def _texts(workflow: Workflow) -> Iterator[str]:
    yield workflow.config.instructions or ""
    for agent in workflow.agents.values():
        yield agent.name
        yield agent.node.instructions
        yield agent.node.greeting.text or ""
        yield " ".join(agent.stt.keyterms)
        for tool in agent.tools:
            yield f"{tool.tool.display_name or ''} {tool.tool.config.get('description', '')}"
    for path in workflow.paths.values():
        yield f"{path.name} {path.description} {path.config.say or ''}"
    for spec in workflow.variables.values():
        yield spec.description
