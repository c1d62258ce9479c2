"""Phrases made into sound before they are needed, and kept for as long as there is room: in memory, and behind it on disk."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Any, Final, Protocol

import numpy as np
import structlog
from livekit import rtc
from livekit.agents import APIConnectOptions, tts
from livekit.agents.voice import text_transforms
from livekit.agents.voice.transcription.filters import filter_emoji, filter_markdown

from runtime.errors import PatchbayError
from runtime.tasks import spawn
from runtime.voice.providers import LOCAL
from runtime.voice.recording import Recording
from runtime.voice.speech_files import SpeechFiles
from runtime.voice.wav import Samples, samples_of
from runtime.workflow.graph import Agent as Node

__all__ = ["Recording", "SpokenCache", "VoiceSource", "as_spoken", "plain", "prerender"]

MOST_BYTES: Final = 64 * 2**20
MAKING_S: Final = 20.0
ONCE: Final = APIConnectOptions(max_retry=0, timeout=MAKING_S)
_LETTERS_A_SECOND: Final = 150.0
"""Ten times as fast as anybody speaks: a recording with less sound was broken off, and is not to be heard for ever."""

_log = structlog.get_logger("spoken")


class SpokenCache:
    """Recordings by voice and text; the least recently used go first when there are more than `most_bytes`.

    A voice is what `Providers.voice_key` returns. One cache may serve all calls of an event loop: then only texts that
    nobody's values have gone into belong in it, and `files` may keep them beyond the process. No disk is waited for
    but in `recall` and `prepare`, and there it is read on another thread.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES, files: SpeechFiles | None = None) -> None:
        self.files = files
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], Recording] = OrderedDict()
        self._texts: defaultdict[str, set[str]] = defaultdict(set)
        self._making: dict[tuple[str, str], asyncio.Task[bool]] = {}
        self._saving: set[asyncio.Task[None]] = set()

    def find(self, voice: str, text: str) -> Recording | None:
        """Return the recording of a text, as the voice is given it."""
        key = (voice, plain(text))
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def frames(self, voice: str, text: str) -> AsyncIterable[rtc.AudioFrame] | None:
        """Return a text's sound, for `AgentSession.say(text, audio=…)`; None where it has not been made."""
        found = self.find(voice, text)
        return None if found is None else found.frames()

    def may_begin(self, voice: str, start: str) -> bool:
        """Whether a recorded text begins with `start`."""
        beginning = plain(start)
        return any(text.startswith(beginning) for text in self._texts.get(voice, ()))

    def keep(self, voice: str, text: str, recording: Recording) -> None:
        """Take a recording in; one that is larger than the whole cache is not kept."""
        key, size = (voice, plain(text)), recording.samples.nbytes
        if size > self._most_bytes:
            return
        self._drop(key)
        self._kept[key] = recording
        self._texts[key[0]].add(key[1])
        self._bytes += size
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, str]) -> None:
        if (gone := self._kept.pop(key, None)) is None:
            return
        self._bytes -= gone.samples.nbytes
        self._texts[key[0]].discard(key[1])
        if not self._texts[key[0]]:
            del self._texts[key[0]]

    async def recall(self, voice: str, text: str) -> bool:
        """Have a text's recording in memory where it was ever made; False where it has to be made."""
        if self.find(voice, text) is not None:
            return True
        if self.files is None:
            return False
        recording = await asyncio.to_thread(self.files.load, voice, plain(text))
        if recording is not None:
            self.keep(voice, text, recording)
        return recording is not None

    async def prepare(self, voice_tts: tts.TTS[Any], voice: str, text: str, timeout_s: float) -> bool:
        """Make a text's recording, once even for many that ask at the same time; False where it is not there in time.

        What comes later than `timeout_s` is kept all the same. A voice that fails is no error here.
        """
        key = (voice, plain(text))
        if not any(map(str.isalnum, text)):
            return False
        if self.find(voice, text) is not None:
            return True
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = spawn(self._make(voice_tts, *key), name="prerender")
            making.add_done_callback(lambda _: self._making.pop(key, None))
        done, _ = await asyncio.wait({making}, timeout=timeout_s)
        return bool(done) and not making.cancelled() and making.result()

    async def saved(self) -> None:
        """Wait until what has been made so far is on disk."""
        await asyncio.gather(*self._saving)

    async def _make(self, voice_tts: tts.TTS[Any], voice: str, text: str) -> bool:
        if await self.recall(voice, text):
            return True
        meant = _meant(voice_tts)
        try:
            async with asyncio.timeout(MAKING_S):
                recording = await _synthesised(meant, text)
        except Exception as error:  # noqa: BLE001 - an edge: whatever a plugin raises, the text is then spoken as ever
            _log.warning("phrase_not_prepared", error=type(error).__name__)
            return False
        if recording is None:
            return False
        self.keep(voice, text, recording)
        whole = sum(map(str.isalnum, text)) <= recording.seconds * _LETTERS_A_SECOND
        if self.files is not None and whole and meant.provider != LOCAL:  # which is quicker than a disk
            self._save(self.files, voice, text, recording)
        return True

    def _save(self, files: SpeechFiles, voice: str, text: str, recording: Recording) -> None:
        saving = spawn(asyncio.to_thread(files.save, voice, text, recording), name="keep speech")
        self._saving.add(saving)
        saving.add_done_callback(self._saving.discard)


class VoiceSource(Protocol):
    """Where a node's voice comes from: `runtime.voice.pipeline.Providers`."""

    def tts(self, agent: Node) -> tts.TTS[Any]: ...

    def voice_key(self, agent: Node) -> str: ...


async def prerender(cache: SpokenCache, providers: VoiceSource, node: Node, text: str, timeout_s: float) -> bool:
    """Speak a rendered text into the cache with the node's voice; False where it is not there after `timeout_s`.

    `cache` is `providers.spoken`, which calls share, for a text without anybody's values, else `providers.own_spoken`.
    """
    try:
        voice = providers.tts(node)
    except PatchbayError:  # it is reported where the node is entered
        return False
    return await cache.prepare(voice, providers.voice_key(node), await as_spoken(node, text), timeout_s)


def plain(text: str) -> str:
    """Return the text with its spaces in order, which is how texts are compared."""
    return " ".join(text.split())


async def as_spoken(node: Node, text: str) -> str:
    """Return a text as the node's voice is given it: without markup and emoji, and with the node's pronunciations."""
    stream: AsyncIterable[str] = filter_emoji(filter_markdown(_once(text)))
    if node.tts.pronunciations:
        stream = text_transforms.replace(dict(node.tts.pronunciations))(stream)
    return plain("".join([piece async for piece in stream]))


async def _once(text: str) -> AsyncIterator[str]:
    yield text


def _meant(voice_tts: tts.TTS[Any]) -> tts.TTS[Any]:
    """Return the voice that a config means: its fallback's would be kept as what the voice itself sounds like."""
    if isinstance(voice_tts, tts.FallbackAdapter):
        return voice_tts._tts_instances[0]  # noqa: SLF001 - the adapter tells nobody which of them it asks first
    return voice_tts


async def _synthesised(voice_tts: tts.TTS[Any], text: str) -> Recording | None:
    parts: list[Samples] = []
    rate = 0
    async with voice_tts.synthesize(text, conn_options=ONCE) as stream:
        async for event in stream:
            parts.append(samples_of(event.frame).copy())
            rate = event.frame.sample_rate
    return Recording(np.concatenate(parts), rate) if _size(parts) else None


def _size(parts: Sequence[Samples]) -> int:
    return sum(part.size for part in parts)
