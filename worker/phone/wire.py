"""The stream between a line and its host: length-prefixed frames, JSON for orders and reports, PCM for sound."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

__all__ = ["RATE", "Wire", "WireFault", "control_frame", "sound_frame"]

Json = Any

RATE: Final = 8000  # Hz, mono, s16le: what a telephone speaks
_HEADER: Final = struct.Struct("!IBI")  # length of the body in bytes, kind, call
_CONTROL: Final = 0
_SOUND: Final = 1
_MAX_BODY: Final = 1 << 20
_HIGH_WATER: Final = 256 * 1024


class WireFault(ValueError):
    """What came is no frame of ours: the stream cannot be trusted any more."""


def control_frame(message: Mapping[str, Json]) -> bytes:
    """Return a frame that holds a JSON object; pure ASCII, whatever the strings in it hold."""
    body = json.dumps(message).encode("ascii")
    return _HEADER.pack(len(body), _CONTROL, 0) + body


def sound_frame(call: int, pcm: bytes) -> bytes:
    """Return a frame that holds sound of one call: s16le mono at `RATE`."""
    return _HEADER.pack(len(pcm), _SOUND, call) + pcm


class Wire(asyncio.Protocol):
    """One end of the stream. A reader that stalls loses sound, never an order or a report.

    `on_lost` is called once, with what went wrong or None, when the other end closed or sent something else than frames.
    """

    def __init__(
        self,
        *,
        on_message: Callable[[Mapping[str, Json]], None],
        on_sound: Callable[[int, bytes], None],
        on_lost: Callable[[Exception | None], None],
    ) -> None:
        self._on_message = on_message
        self._on_sound = on_sound
        self._on_lost = on_lost
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._full = False
        self._fault: Exception | None = None

    def send(self, message: Mapping[str, Json]) -> None:
        """Send a JSON object; nothing happens once the stream is closed."""
        self._write(control_frame(message))

    def send_sounds(self, sounds: Iterable[tuple[int, bytes]]) -> None:
        """Send sound of several calls at once, or drop it while the other end does not read."""
        if not self._full and (data := b"".join(sound_frame(call, pcm) for call, pcm in sounds)):
            self._write(data)

    def close(self) -> None:
        """Close the stream behind what was sent. Idempotent."""
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    # ------------------------------------------------------------ asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(self._fault or exc)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            self._take_frames()
        except WireFault as fault:
            self._fault = fault
            self._received.clear()
            self.close()

    def _take_frames(self) -> None:
        start = 0
        while len(self._received) - start >= _HEADER.size:
            length, kind, call = _HEADER.unpack_from(self._received, start)
            if length > _MAX_BODY or kind not in {_CONTROL, _SOUND}:
                raise WireFault(f"a frame of kind {kind} with {length} bytes")
            end = start + _HEADER.size + length
            if end > len(self._received):
                break
            body = bytes(self._received[start + _HEADER.size : end])
            start = end
            self._hand_on(kind, call, body)
        del self._received[:start]

    def _hand_on(self, kind: int, call: int, body: bytes) -> None:
        if kind == _SOUND:
            self._on_sound(call, body)
            return
        try:
            message = json.loads(body)
        except ValueError as error:
            raise WireFault(f"a message that is no JSON: {error}") from None
        if not isinstance(message, dict):
            raise WireFault("a message that is no object")
        self._on_message(message)
