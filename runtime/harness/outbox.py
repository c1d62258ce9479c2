"""What waits to be sent over a socket: audio that comes too late is worth nothing, messages are worth their order."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Outbox"]


class Outbox:
    """A queue of texts and audio in the order in which they came, on one event loop.

    It never makes whoever fills it wait: beyond `audio_bytes` the oldest audio is dropped, never a text.
    """

    def __init__(self, audio_bytes: int) -> None:
        self._limit = audio_bytes
        self._waiting: deque[str | bytes] = deque()
        self._audio = 0
        self._changed = asyncio.Event()
        self._closed = False
        self.dropped = 0
        """How many bytes of audio were not sent."""

    def put(self, message: str | bytes) -> None:
        """Add a text or audio; after `close` it is dropped."""
        if self._closed:
            return
        self._waiting.append(message)
        if isinstance(message, bytes):
            self._audio += len(message)
            self._shed(self._limit)
        self._changed.set()

    def clear_audio(self) -> None:
        """Drop the audio that waits."""
        dropped = self.dropped
        self._shed(0)
        self.dropped = dropped

    def close(self) -> None:
        """Take nothing more; what is there is still handed out. Idempotent."""
        self._closed = True
        self._changed.set()

    async def next(self) -> str | bytes | None:
        """Wait for the next message and take it out; None once the box is closed and empty."""
        while not self._waiting:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._waiting.popleft()
        if isinstance(message, bytes):
            self._audio -= len(message)
        return message

    def _shed(self, most: int) -> None:
        """Drop the oldest audio until at most so many bytes of it wait."""
        if self._audio <= most:
            return
        kept: deque[str | bytes] = deque()
        for message in self._waiting:
            if isinstance(message, bytes) and self._audio > most:
                self._audio -= len(message)
                self.dropped += len(message)
            else:
                kept.append(message)
        self._waiting = kept
