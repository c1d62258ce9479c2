"""What a session's providers used, in portions: tokens, characters, seconds."""

from __future__ import annotations

from collections import Counter
from typing import Any

from livekit.agents import AgentSession

from runtime.conversation.events import Usage

__all__ = ["UsageMeter"]

KINDS = {"llm_usage": "llm", "stt_usage": "stt", "tts_usage": "tts"}
COUNTS = {
    "llm_usage": {
        "input_tokens": "input_tokens",
        "cached_tokens": "input_cached_tokens",
        "output_tokens": "output_tokens",
    },
    "stt_usage": {"input_tokens": "input_tokens", "output_tokens": "output_tokens", "audio_seconds": "audio_duration"},
    "tts_usage": {
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "characters": "characters_count",
        "audio_seconds": "audio_duration",
    },
}


class UsageMeter:
    """Reads the session's running totals and tells what has come since the last reading."""

    def __init__(self, session: AgentSession[None]) -> None:
        self._session = session
        self._last: dict[tuple[str, str, str], dict[str, float]] = {}
        self._discarded: Counter[tuple[str, str]] = Counter()

    def discarded(self, provider: str, model: str) -> None:
        """Count an answer that a language model was asked for in vain; its tokens count where the provider told them."""
        self._discarded[provider, model] += 1

    def since_last(self) -> tuple[Usage, ...]:
        """Return one entry for each provider and model that was used."""
        discarded, self._discarded = self._discarded, Counter()
        portions = []
        for total in self._session.usage.model_usage:
            counts = COUNTS.get(total.type)
            if counts is None:
                continue
            key = (total.type, total.provider, total.model)
            now = {name: getattr(total, source) for name, source in counts.items()}
            before = self._last.get(key, {})
            self._last[key] = now
            portion: dict[str, Any] = {name: amount - before.get(name, 0) for name, amount in now.items()}
            if total.type == "llm_usage":
                portion["discarded"] = discarded.pop(key[1:], 0)
            if any(portion.values()):
                if "audio_seconds" in portion:
                    portion["audio_seconds"] = round(portion["audio_seconds"], 3)
                portions.append(Usage(provider=key[1], model=key[2], kind=KINDS[key[0]], **portion))
        # A model that was asked in vain alone has no totals.
        portions += [
            Usage(provider=provider, model=model, kind="llm", discarded=count)
            for (provider, model), count in discarded.items()
        ]
        return tuple(portions)
