"""What a bare AgentSession is saying, so that whoever asked can wait until it has said it."""

from __future__ import annotations

import asyncio
from typing import Any

from livekit.agents import AgentSession, SpeechCreatedEvent
from livekit.agents.voice import SpeechHandle

__all__ = ["Speeches"]


class Speeches:
    """The speeches of a session that are not over."""

    def __init__(self, session: AgentSession[Any]) -> None:
        self._speeches: set[SpeechHandle] = set()
        session.on("speech_created", self._created)

    async def over(self) -> None:
        """Wait until none is left."""
        await asyncio.sleep(0)
        while self._speeches:
            await next(iter(self._speeches)).wait_for_playout()

    def _created(self, event: SpeechCreatedEvent) -> None:
        self._speeches.add(event.speech_handle)
        event.speech_handle.add_done_callback(self._speeches.discard)
