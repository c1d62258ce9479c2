"""A node's models and turn handling put in force on a running session."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from livekit.agents.voice import AgentSession, text_transforms

from runtime.conversation import prompts
from runtime.session.call_session import CallSession
from runtime.voice.agent import CallAgent
from runtime.voice.mouth import Voice
from runtime.voice.pipeline import Providers, turn_options
from runtime.voice.warming import Warming
from runtime.workflow.graph import Agent as Node

__all__ = ["NoPipeline", "NodePipeline"]


class NoPipeline:
    """The pipeline of a call that only says what is recorded already: it has no models."""

    def turn_handling(self, _node: Node) -> dict[str, Any]:
        """Return the session's turn handling: nobody takes turns."""
        return {"turn_detection": None}

    def use(self, node: Node, agent: CallAgent, session: AgentSession[None]) -> None:
        """Let recordings be those of the node's language."""
        del session
        agent.mouth.voice = Voice(language=node.language)


class NodePipeline:
    """Swaps what differs between the node that is left and the one that is entered, and nothing else."""

    def __init__(self, call: CallSession, providers: Providers, *, text: bool) -> None:
        self._call = call
        self._providers = providers
        self._text = text
        self._inuse: dict[str, object] = {}
        self._warming: Warming | None = None

    def turn_handling(self, node: Node) -> dict[str, Any]:
        """Return the session's first turn handling."""
        if self._text:
            return {"turn_detection": None}
        return turn_options(node, offline=self._providers.offline)

    def use(self, node: Node, agent: CallAgent, session: AgentSession[None]) -> None:
        """Put the node's models, turn taking and pronunciations in force."""
        models: dict[str, Any] = {"llm": self._providers.llm(node)}
        if not self._text:
            models |= {"stt": self._providers.stt(node), "tts": self._providers.tts(node)}
        changed = {kind: model for kind, model in models.items() if self._inuse.get(kind) is not model}
        self._inuse |= changed
        if changed:
            agent.update_options(**changed)
        if not self._text:
            self._turns(node, session)
            self._speaks(node, agent, session)

    def _speaks(self, node: Node, agent: CallAgent, session: AgentSession[None]) -> None:
        if self._warming is None:
            self._warming = Warming(self._call, self._providers)
            self._warming.watch(session)
        key = self._providers.voice_key(node)
        self._warming.entered(node, key, *self._inuse.values())
        memories = (self._providers.own_spoken, self._providers.spoken)
        agent.mouth.voice = Voice(key, node.language, memories)

    def _turns(self, node: Node, session: AgentSession[None]) -> None:
        options = turn_options(node, offline=self._providers.offline)
        session.update_options(endpointing_opts=options["endpointing"])
        session.options.interruption.update(options["interruption"])
        transforms: list[Any] = ["filter_markdown", "filter_emoji", self._said_by_type]
        if node.tts.pronunciations:
            transforms.append(text_transforms.replace(dict(node.tts.pronunciations)))
        session.options.tts_text_transforms = transforms

    def _said_by_type(self, text: AsyncIterable[str]) -> AsyncIterable[str]:
        """Let values be heard as their type is said: 4271 digit by digit, 2026-05-03 as a day."""
        forms = prompts.aloud(self._call.view())
        return text_transforms.replace(forms)(text) if forms else text
