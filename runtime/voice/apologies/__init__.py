"""The runtime's own phrases as recordings, so that a voice service which is dead cannot silence them."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Final

import av
import numpy as np

from runtime.voice.phrases import Phrase, base_language
from runtime.voice.spoken import Recording

__all__ = ["FOLDER", "RATE", "file_of", "recording"]

FOLDER: Final = Path(__file__).parent
RATE: Final = 16000


def file_of(name: Phrase, language: str) -> str:
    """Return the name of a phrase's file."""
    return f"{base_language(language)}-{name}.ogg"


@cache
def recording(name: Phrase, language: str) -> Recording:
    """Return a phrase as it was recorded for the language of the tag, English where there is none. Kept once read."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(io.BytesIO((FOLDER / file_of(name, language)).read_bytes()), "r") as file:
        frames = [part for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    frames += resampler.resample(None)
    return Recording(np.concatenate([frame.to_ndarray().ravel() for frame in frames]).astype(np.int16), RATE)
