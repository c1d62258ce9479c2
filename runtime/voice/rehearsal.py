"""A version's fixed texts spoken into the cache before anybody calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from runtime.voice.pipeline import Providers
from runtime.voice.providers import LOCAL
from runtime.voice.spoken import SpokenCache, as_spoken, prerender
from runtime.voice.static_lines import Line, static_lines
from runtime.workflow.graph import Workflow

__all__ = ["MOST_LINES", "Rehearsed", "rehearse"]

MOST_LINES: Final = 500
"""Of one version; a call speaks the others as ever."""
_PATIENCE_S: Final = 30.0


@dataclass(slots=True)
class Rehearsed:
    """What came of a rehearsal, in texts: those spoken now (`characters` in all), there already, and not to be had."""

    made: int = 0
    characters: int = 0
    known: int = 0
    failed: int = 0


async def rehearse(providers: Providers, workflow: Workflow) -> Rehearsed:
    """Speak the workflow's fixed texts into `providers.spoken`, one at a time; a voice that fails is asked no more.

    Of texts that are on disk only the first is read into memory, the greeting of the first agent: calls read the others
    in time. Local voices are left out, for they take no time.
    """
    found, mute = Rehearsed(), set[str]()
    lines = () if providers.offline else static_lines(workflow)[:MOST_LINES]
    for number, line in enumerate(lines):
        if line.agent.tts.provider in {LOCAL, None}:
            continue
        voice = providers.voice_key(line.agent)
        if voice in mute:
            found.failed += 1
        elif await _known(providers.spoken, voice, line, wanted_now=number == 0):
            found.known += 1
        elif await prerender(providers.spoken, providers, line.agent, line.text, _PATIENCE_S):
            found.made += 1
            found.characters += len(line.text)
        else:
            mute.add(voice)
            found.failed += 1
    await providers.spoken.saved()
    return found


async def _known(cache: SpokenCache, voice: str, line: Line, *, wanted_now: bool) -> bool:
    text = await as_spoken(line.agent, line.text)
    if cache.find(voice, text) is not None:  # another agent says the same, and it may not be on disk yet
        return True
    if not wanted_now and cache.files is not None:
        return await asyncio.to_thread(cache.files.holds, voice, text)
    return await cache.recall(voice, text)
