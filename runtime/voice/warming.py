"""The agents that a call may go to next, got ready while it is still at another: models, connections, first words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import structlog
from livekit.agents import AgentStateChangedEvent, CloseEvent, UserStateChangedEvent
from livekit.agents.voice import AgentSession

from runtime.conversation.state import CallState
from runtime.errors import PatchbayError
from runtime.session.call_session import CallSession
from runtime.tasks import spawn
from runtime.voice.phrases import phrase
from runtime.voice.pipeline import Providers
from runtime.voice.spoken import prerender
from runtime.voice.static_lines import REHEARSED, arrivals
from runtime.workflow.graph import Agent as Node
from runtime.workflow.graph import Path, Workflow

__all__ = ["FEW", "Warming", "likely"]

FEW: Final = 3
"""So few next agents are all got ready; of more, those whose path only waits to be taken."""
_PATIENCE_S: Final = 10.0

_log = structlog.get_logger("warming")


def likely(workflow: Workflow, state: CallState) -> Iterator[Path]:
    """Yield the paths to agents that are likely to be taken from where the call stands.

    All of them where they lead to at most `FEW` agents; else those with required variables of which each has a value.
    """
    if state.agent_id is None or state.ending:
        return
    paths = [path for path in workflow.agents[state.agent_id].offered if path.target_agent_id is not None]
    few = len({path.target_agent_id for path in paths}) <= FEW
    for path in paths:
        given = (name in state.known or name in state.pending for name in path.required)
        if few or (path.required and all(given)):
            yield path


class Warming:
    """Gets likely next agents ready, then the phrases of the voice that speaks; one thing after the other.

    It begins with the first sound of a stay, the agent's or the caller's: then the loop and the line have time. What
    fails is left for the moment when it is needed, where it is reported.
    """

    def __init__(self, call: CallSession, providers: Providers) -> None:
        self._call = call
        self._providers = providers
        self._stay: tuple[Node, str] | None = None
        self._sounded = self._heard = False
        self._of: tuple[object, ...] = ()
        self._warm: set[int] = set()
        self._done: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def watch(self, session: AgentSession[None]) -> None:
        """Follow the call on this session."""
        session.on("agent_state_changed", self._agent_changed)
        session.on("user_state_changed", self._user_changed)
        session.on("close", self._closed)
        self._call.watch(self._changed)

    def entered(self, node: Node, voice: str, *models: object) -> None:
        """A stay begins at this agent, whose voice has this key; the models in use are warm."""
        self._stay = (node, voice)
        self._sounded = self._heard = False
        self._warm.update(map(id, models))

    # ------------------------------------------------------------ when

    def _agent_changed(self, event: AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._heard = True
            self._begin()

    def _user_changed(self, event: UserStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._begin()

    def _begin(self) -> None:
        self._sounded = True
        if (self._task is None or self._task.done()) and any(self._wanted()):
            self._task = spawn(self._work(), name="warming")

    def _changed(self, state: CallState) -> None:
        # The mappings are compared by identity: the state makes a new one for every change.
        of = (state.known, state.pending)
        if len(of) != len(self._of) or any(new is not old for new, old in zip(of, self._of, strict=True)):
            self._of = of
            if self._sounded:
                self._begin()

    def _closed(self, _event: CloseEvent) -> None:
        if self._task is not None:
            self._task.cancel()

    # ------------------------------------------------------------ what

    def _wanted(self) -> Iterator[Path | Node]:
        """Yield what is still to be got ready: paths with their targets, then the agent whose voice is heard."""
        for path in likely(self._call.workflow, self._call.state):
            if path.id not in self._done:
                yield path
        if self._stay is not None and self._heard and self._stay[1] not in self._done:
            yield self._stay[0]

    async def _work(self) -> None:
        while (wanted := next(self._wanted(), None)) is not None:
            if isinstance(wanted, Path):
                self._done.add(wanted.id)
                await self._get_ready(wanted)
            else:
                self._done.add(self._providers.voice_key(wanted))
                await self._rehearse(wanted)

    async def _get_ready(self, path: Path) -> None:
        workflow = self._call.workflow
        assert path.target_agent_id is not None
        target = workflow.agents[path.target_agent_id]
        for make in (self._providers.tts, self._providers.stt, self._providers.llm):
            try:
                self._connect(make(target))
            except PatchbayError:  # it is reported where the agent is entered
                return
            await asyncio.sleep(0)  # a constructor takes milliseconds, and somebody is speaking
        for line in arrivals(workflow, path):
            await prerender(self._providers.spoken, self._providers, line.agent, line.text, _PATIENCE_S)

    def _connect(self, model: Any) -> None:
        if id(model) in self._warm:
            return
        self._warm.add(id(model))
        try:
            model.prewarm()
        except Exception as error:  # noqa: BLE001 - an edge: whatever a plugin raises, the connection is then opened later
            _log.warning("not_prewarmed", model=model.label, error=type(error).__name__)

    async def _rehearse(self, node: Node) -> None:
        for name in REHEARSED:
            text = phrase(name, node.language)
            if not await prerender(self._providers.spoken, self._providers, node, text, _PATIENCE_S):
                return  # a voice that does not work now is not bothered further
