"""Patience with a caller who is in the middle of a number, a name or an address."""

from __future__ import annotations

from typing import Final

from livekit.agents import AgentSession

from runtime.conversation.values import awaited_variable
from runtime.session.call_session import CallSession
from runtime.variables import is_partial

__all__ = ["Dictation"]

_DICTATED: Final = frozenset({"digits", "phone", "email", "date"})


class Dictation:
    """Holds the end of the turn open for `dictation_delay_s` while a value is incomplete."""

    def __init__(self, call: CallSession, session: AgentSession[None]) -> None:
        self._call = call
        self._session = session
        self.under_way = False

    def follow(self, text: str) -> None:
        """Take what the caller has said of the turn so far."""
        scene = self._call.view()
        awaited = awaited_variable(scene)
        dictated = awaited is not None and (awaited.data_type in _DICTATED or awaited.confirm == "spell")
        self._hold(on=dictated and awaited is not None and is_partial(awaited, text, scene.context))

    def over(self) -> None:
        """The turn is over."""
        self._hold(on=False)

    def _hold(self, *, on: bool) -> None:
        if on == self.under_way or self._call.state.agent_id is None:
            return
        self.under_way = on
        delays = self._call.workflow.agents[self._call.state.agent_id].turn.endpointing
        shortest = max(delays.min_delay_s, delays.dictation_delay_s) if on else delays.min_delay_s
        self._session.update_options(
            endpointing_opts={"min_delay": shortest, "max_delay": max(delays.max_delay_s, shortest)}
        )
