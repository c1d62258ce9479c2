"""A token for somebody who calls by browser."""

from __future__ import annotations

from datetime import timedelta

from runtime.settings import Settings
from runtime.voice.rooms import DispatchMetadata, join_token

__all__ = ["invitation"]


def invitation(settings: Settings, room: str, *, metadata: DispatchMetadata | None = None, ttl: timedelta) -> str:
    """Return a token with which a browser joins `room` as a caller; the worker is dispatched when it does."""
    return join_token(settings, room, "caller", metadata=metadata, ttl=ttl)
