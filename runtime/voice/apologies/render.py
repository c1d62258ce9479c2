"""Record the phrases anew whose text has changed: `python -m runtime.voice.apologies.render`."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Mapping

import av
import numpy as np

from runtime.voice.apologies import FOLDER, RATE, file_of
from runtime.voice.local.tts import synthesise
from runtime.voice.local.voices import default_voice
from runtime.voice.phrases import LANGUAGES, PHRASES, phrase
from runtime.voice.wav import Samples, resample

__all__ = ["MANIFEST", "recorded", "render", "wanted"]

MANIFEST = FOLDER / "manifest.json"
_BIT_RATE = 24000


def wanted() -> dict[str, str]:
    """Return what is to be recorded: file name to text."""
    return {file_of(name, language): phrase(name, language) for language in LANGUAGES for name in PHRASES}


def recorded() -> dict[str, str]:
    """Return what the files say, by file name."""
    if not MANIFEST.exists():
        return {}
    texts: dict[str, str] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return texts


async def render() -> tuple[str, ...]:
    """Record what is missing or says something else, with the local voice, and return the names of the new files."""
    texts, before = wanted(), recorded()
    stale = [name for name, text in texts.items() if before.get(name) != text or not (FOLDER / name).exists()]
    for name in stale:
        pcm, rate = await synthesise(texts[name], voice=default_voice(name.partition("-")[0]), speed=0.95)
        samples = resample(np.frombuffer(pcm, dtype=np.int16), rate, RATE)
        (FOLDER / name).write_bytes(encoded(samples))
    _write(texts)
    return tuple(stale)


def encoded(samples: Samples) -> bytes:
    """Return samples at 16 kHz as Ogg Opus."""
    target = io.BytesIO()
    with av.open(target, "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=RATE)
        stream.layout = "mono"
        stream.bit_rate = _BIT_RATE
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return target.getvalue()


def _write(texts: Mapping[str, str]) -> None:
    for file in FOLDER.glob("*.ogg"):
        if file.name not in texts:
            file.unlink()
    MANIFEST.write_text(json.dumps(dict(texts), ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(render())
