"""How many calls a machine carries where nobody says."""

from __future__ import annotations

import os

from runtime.settings import Settings

__all__ = ["most_calls"]

ROOM_CALLS_A_CORE = 5
PHONE_CALLS_A_CORE = 40


def most_calls(settings: Settings, *, rooms: bool) -> int:
    """Return PATCHBAY_MAX_CALLS, else what the cores carry: a room costs ten times what a SIP call does."""
    return settings.max_calls or (ROOM_CALLS_A_CORE if rooms else PHONE_CALLS_A_CORE) * (os.cpu_count() or 1)
