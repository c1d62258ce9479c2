"""A caller's phrases as recorded takes: espeak-ng's voice differs a little each time it speaks, a recording does not."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

import av
import numpy as np

from runtime.voice.audio import Samples, resample
from runtime.voice.local.tts import synthesise

__all__ = ["FOLDER", "PHRASES", "take"]

FOLDER = Path(__file__).parent / "takes"
RATE = 22050
PHRASES = (
    "hello i have a question about my invoice",
    "i would like to speak to billing",
    "i want to cancel my contract",
    "can you check my order",
    "what are your opening hours",
    "thank you that is all",
    "my customer id is four two seven one",
    "four two seven one",
    "zero one zero nine five five",
    "yes",
    "no",
    "yes please",
    "no thank you",
    "my name is miller",
    "my name is patchbay",
    "the third of may",
    "goodbye",
    "send the blue bicycle",
    "stop",
    "hello",
    "hold on please",
    "i am back",
    "one more question please",
    "please leave a message after the tone",
    "thank you goodbye",
    "transfer me please",
)


def take(text: str, rate: int) -> Samples:
    """Return the phrase, one of `PHRASES`, as mono samples at `rate` Hz."""
    return resample(_recorded(text), RATE, rate)


@cache
def _recorded(text: str) -> Samples:
    with av.open(str(_file(text))) as file:
        return np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)]).astype(np.int16)


def _file(text: str) -> Path:
    return FOLDER / f"{text.replace(' ', '_')}.flac"


def record(text: str) -> None:
    """Take the phrase anew."""
    pcm, rate = asyncio.run(synthesise(text))
    samples = resample(np.frombuffer(pcm, dtype=np.int16), rate, RATE)
    with av.open(str(_file(text)), "w") as file:
        stream = file.add_stream("flac", rate=RATE)
        stream.layout, stream.format = "mono", "s16"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


if __name__ == "__main__":  # python -m tests.fakes.speech: records what is missing
    for phrase in PHRASES:
        if not _file(phrase).exists():
            record(phrase)
