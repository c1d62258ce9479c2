"""`patchbay` with real PortAudio streams on devices that are files, which know no time: they are held to the pace of sound."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import sounddevice

from cli.main import app

__all__: list[str] = []


def _paced(stream: Callable[..., Any]) -> Callable[..., Any]:
    def opened(*, samplerate: int, callback: Callable[..., None], **more: Any) -> Any:
        due = time.monotonic()

        def called(data: Any, frames: int, *rest: Any) -> None:
            nonlocal due
            due += frames / samplerate
            time.sleep(max(0.0, due - time.monotonic()))
            callback(data, frames, *rest)

        return stream(samplerate=samplerate, callback=called, **more)

    return opened


if __name__ == "__main__":
    sounddevice.RawInputStream = _paced(sounddevice.RawInputStream)
    sounddevice.RawOutputStream = _paced(sounddevice.RawOutputStream)
    app(prog_name="patchbay")
