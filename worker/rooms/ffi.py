"""What LiveKit's client does for every room of the process at each event, done for the one that it concerns.

Its queue of native events gives each of them to all who listen: with N calls that is N times the work for each call. A
frame that is sent is waited for by a listener of its own. Each line of its native log, most of them for nobody, is an
event that Python parses. All that reaches into the client's insides is here; with another version than the one it was
written for, everything is as the client does it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final, TypeAlias

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient, ffi_event_callback
from livekit.rtc._proto.ffi_pb2 import FfiEvent, FfiRequest

from runtime.tasks import spawn

__all__ = ["KNOWN", "capture", "narrow_room", "open_client", "read"]

KNOWN: Final = rtc.__version__.startswith("1.1.")
_STREAMED: Final = ("audio_stream_event", "video_stream_event", "capture_audio_frame")
_LOGGED: Final = "error,livekit::rtc_engine::rtc_session=off"  # which takes each goodbye for an error

Concerns: TypeAlias = Callable[[FfiEvent], bool]
"""Tells of an event whether it is handed on; called on threads of the client's."""


def open_client() -> None:
    """Make the native client, which is made once, and have it write its log itself: errors, on stderr.

    Made lazily and without a lock, two threads that came first at once would make two; one would lose its callbacks, and
    the panic 15 seconds later would take every call with it. Its log, which RUST_LOG turns up, has 60 lines a second for each room.
    """
    if KNOWN:
        os.environ.setdefault("RUST_LOG", _LOGGED)  # read when the client is made
    client = FfiClient.instance
    if KNOWN:
        version = rtc.__version__.encode("ascii")
        client._ffi_lib.livekit_ffi_initialize(ffi_event_callback, False, b"python", version)  # noqa: SLF001


def narrow_room(room: rtc.Room) -> None:
    """Have a connected room be told of its own events alone."""
    if not KNOWN or room._ffi_handle is None:  # noqa: SLF001 - here and nowhere else
        return
    handle = room._ffi_handle.handle  # noqa: SLF001

    def concerns(event: FfiEvent) -> bool:
        which = event.WhichOneof("message")
        return event.room_event.room_handle == handle if which == "room_event" else which not in _STREAMED

    _narrow(room._ffi_queue, concerns)  # noqa: SLF001


async def read(stream: rtc.AudioStream, push: Callable[[rtc.AudioFrame], None]) -> None:
    """Push the frames of a stream that has just been opened until it ends; it is told of its own alone."""
    if not KNOWN:
        async for event in stream:
            push(event.frame)
        return
    handle = stream._ffi_handle.handle  # noqa: SLF001

    def concerns(event: FfiEvent) -> bool:
        return event.WhichOneof("message") == "audio_stream_event" and event.audio_stream_event.stream_handle == handle

    _narrow(stream._ffi_queue, concerns)  # noqa: SLF001
    straight = _Straight(push)
    stream._queue = straight  # type: ignore[assignment]  # noqa: SLF001
    await straight.ended.wait()


class _Straight:
    """In the place of the queue that a stream's reader would have to be woken for."""

    def __init__(self, push: Callable[[rtc.AudioFrame], None]) -> None:
        self.ended = asyncio.Event()
        self._push = push

    def put(self, event: rtc.AudioFrameEvent | None) -> None:
        if event is None:
            self.ended.set()
        else:
            self._push(event.frame)


def _narrow(queue: object, concerns: Concerns) -> None:
    events = FfiClient.instance.queue
    with events._lock:  # noqa: SLF001
        listeners = events._subscribers  # noqa: SLF001
        listeners[:] = [(each, loop, concerns if each is queue else old) for each, loop, old in listeners]


def capture(source: rtc.AudioSource, frame: rtc.AudioFrame) -> None:
    """Queue a frame in a source that has room for it. Its samples must be kept until they have been heard."""
    if not KNOWN:
        spawn(source.capture_frame(frame), name="room-frame")
        return
    request = FfiRequest()
    request.capture_audio_frame.source_handle = source._ffi_handle.handle  # noqa: SLF001
    request.capture_audio_frame.buffer.CopyFrom(frame._proto_info())  # noqa: SLF001
    FfiClient.instance.request(request)
