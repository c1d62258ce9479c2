"""LiveKit's AgentSession without what it does for a report that nobody here asks for."""

from __future__ import annotations

import structlog
from livekit.agents import AgentEvent, AgentSession
from livekit.agents.voice.events import EventTypes

__all__ = ["QuietSession"]

_log = structlog.get_logger("voice")


class QuietSession(AgentSession[None]):
    """Keeps no event, and hands each to its listeners as it is: a listener takes the event and nothing else.

    LiveKit's own keeps every event of a call for as long as the call lasts, and looks up each listener's signature each
    time. A listener that raises is logged and keeps no other from hearing.
    """

    @property
    def _text_only(self) -> bool:
        """Whether LiveKit's own simulation runs it: never, and it is asked several times for each window of a voice."""
        return False

    def emit(self, event: EventTypes, arg: AgentEvent) -> None:
        for listener in tuple(self._events.get(event, ())):
            try:
                listener(arg)
            except Exception:  # noqa: BLE001 - an edge: LiveKit's caller is in the middle of a turn
                _log.exception("listener_failed", session_event=event)
