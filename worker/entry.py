"""The worker's entry: says what it lacks before it starts anything."""

from __future__ import annotations

from typing import NoReturn

from runtime.errors import Unreachable
from runtime.settings import Settings

__all__ = ["lacking", "run"]

_NEEDED = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")


def lacking(settings: Settings) -> tuple[str, ...]:
    """Return the variables that a worker needs and that are not set."""
    return tuple(name for name in _NEEDED if settings.given.get(name) is None)


def run(settings: Settings) -> NoReturn:
    """Answer calls; raises Unreachable with the complete list of what is missing."""
    if missing := lacking(settings):
        raise Unreachable(
            f"The worker needs LiveKit, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
            remedy="Set them in the environment or in .env. Without LiveKit, `patchbay chat` and `patchbay call` run a workflow here.",
        )
    raise Unreachable(
        "This release has no worker yet: it cannot answer calls from LiveKit.",
        remedy="`patchbay chat` and `patchbay call` run the same engine on this machine.",
    )
