"""The callers' voice: every text is spoken once, before anybody calls, and shared by all."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.errors import UsageFault
from runtime.harness.load.ear import trimmed
from runtime.harness.voice import speech
from runtime.voice.wav import Samples

__all__ = ["spoken"]


async def spoken(texts: Sequence[str]) -> dict[str, Samples]:
    """Return each text as mono samples at 16 kHz that begin and end with a voice.

    Raises ProviderMissing without the extra `local`, UsageFault for a text of which nothing is to be heard.
    """
    voices = {text: trimmed(await speech(text)) for text in texts}
    for text, samples in voices.items():
        if not samples.any():
            raise UsageFault(
                f"Of '{text[:80]}' nothing is to be heard.", remedy="Say something that has words: --say 'hello'"
            )
    return voices
