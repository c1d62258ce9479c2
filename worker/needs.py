"""What a worker lacks before it can start, all of it in one message."""

from __future__ import annotations

import importlib.util

from runtime.errors import ProviderMissing, Unreachable
from runtime.settings import Settings

__all__ = ["need_livekit", "need_phone"]

_LIVEKIT = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")


def need_livekit(settings: Settings) -> None:
    """Raise Unreachable with the complete list of what LiveKit needs and is not set."""
    if missing := [name for name in _LIVEKIT if settings.given.get(name) is None]:
        raise Unreachable(
            f"The worker needs LiveKit, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set.",
            remedy="Set them in the environment or in .env. Without LiveKit, `patchbay phone` answers SIP calls by itself,"
            " and `patchbay chat` and `patchbay call` run a workflow here.",
        )


def need_phone() -> None:
    """Raise ProviderMissing where the SIP line's package is not installed."""
    if importlib.util.find_spec("baresip") is None:
        raise ProviderMissing(
            "The SIP line needs the package baresip-python, which is not installed.",
            remedy="Install it: pip install 'patchbay[phone]'",
        )
