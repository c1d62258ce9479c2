"""A room's sound as an AgentSession's ears and mouth, and nothing of the room beyond the sound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import numpy as np
from livekit import rtc
from livekit.agents import AgentStateChangedEvent
from livekit.agents.types import ATTRIBUTE_AGENT_STATE

from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.audio import PcmInput, PcmOutput, samples_of
from runtime.voice.live_call import LiveCall
from worker.rooms.ffi import capture, read

__all__ = ["Ears", "Mouth", "RoomSound", "open_sound"]

RATE: Final = 16000  # Hz: what listens takes no more
FRAME_MS: Final = 100
VOICE_RATE: Final = 24000
VOICE_FRAME_MS: Final = 100
# And the frame that is handed on then: 90 to 190 ms in the track's queue. Less than a frame, so that no two are handed on at one
# moment: each goes to the track by a thread of its own, and they could change places.
LEAD_S: Final = 0.09
BITRATE: Final = 64_000  # from here on Opus needs half the CPU: below, it models the voice
_QUEUE_MS: Final = 400
_TRACK: Final = "agent"
_TAIL: Final = np.zeros(RATE // 2, dtype=np.int16)
_MICROPHONE: Final = rtc.TrackSource.SOURCE_MICROPHONE


class Ears(PcmInput):
    """The caller's microphone, on whichever track it is; what a stranger says is not even received.

    The room subscribes to all by itself, because after a reconnection a subscription of our own making is lost; from
    everything but the caller's microphone this unsubscribes. That nobody else is heard does not stand on that: the
    tracks of one identity are read.
    """

    def __init__(self, room: rtc.Room, identity: str) -> None:
        super().__init__(rate=RATE)
        self._room = room
        self._identity = identity
        self._reading: asyncio.Task[None] | None = None
        room.on("track_published", self._published)
        room.on("track_subscribed", self._subscribed)
        for participant in list(room.remote_participants.values()):
            for publication in list(participant.track_publications.values()):
                self._published(publication, participant)
                if publication.track is not None:
                    self._subscribed(publication.track, publication, participant)

    def stop(self) -> None:
        """Follow the caller no longer. Idempotent."""
        self._room.off("track_published", self._published)
        self._room.off("track_subscribed", self._subscribed)

    async def aclose(self) -> None:
        """Hear nothing any more. Idempotent."""
        self.stop()
        if self._reading is not None:
            await cancel_and_wait(self._reading)
        self.close()

    def _published(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        if not self._is_theirs(publication, participant):
            publication.set_subscribed(False)

    def _subscribed(
        self, track: rtc.RemoteTrack, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        if not self._is_theirs(publication, participant):
            return
        if self._reading is not None:
            self._reading.cancel()
        self._reading = spawn(self._read_track(track), name="room-ears")

    def _is_theirs(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> bool:
        return participant.identity == self._identity and publication.source == _MICROPHONE

    async def _read_track(self, track: rtc.RemoteTrack) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=RATE, num_channels=1, frame_size_ms=FRAME_MS)
        try:
            await read(stream, self.push)
            self.push(_TAIL)  # a word that the end of the track cut off has ended, too
        finally:
            await stream.aclose()


class Mouth(PcmOutput):
    """The agent's voice as a track of its own, a little ahead of time; cleared or paused, it is silent at once."""

    def __init__(
        self,
        room: rtc.Room,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(self._send, rate=VOICE_RATE, frame_ms=VOICE_FRAME_MS, lead_s=LEAD_S, clock=clock, sleep=sleep)
        self._room = room
        self._source = rtc.AudioSource(VOICE_RATE, 1, queue_size_ms=_QUEUE_MS)
        self._sent: deque[rtc.AudioFrame] = deque(maxlen=_QUEUE_MS // VOICE_FRAME_MS)
        self._listened_to = asyncio.Event()
        self._publishing = spawn(self._publish(), name="room-mouth")

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await self._listened_to.wait()  # what is said before would be lost
        await super().capture_frame(frame)

    def clear_buffer(self) -> None:
        super().clear_buffer()
        self._source.clear_queue()

    def pause(self) -> None:
        """Fall silent, and keep what has not been heard for `resume`."""
        super().pause()
        unheard = round(self._unheard_s() * VOICE_RATE)
        self._source.clear_queue()
        if unheard and self._segments and self._sent:
            segment = self._segments[0]
            rest = np.concatenate([samples_of(frame) for frame in self._sent])[-min(unheard, segment.played) :]
            segment.queue.appendleft(rest)
            segment.played -= rest.size
        self._due = None

    async def aclose(self) -> None:
        """Stop speaking and let go of the track. Idempotent."""
        await cancel_and_wait(self._publishing)
        await super().aclose()
        await self._source.aclose()

    async def _publish(self) -> None:
        track = rtc.LocalAudioTrack.create_audio_track(_TRACK, self._source)
        options = rtc.TrackPublishOptions(source=_MICROPHONE, dtx=True, red=False)
        options.audio_encoding.max_bitrate = BITRATE
        publication = await self._room.local_participant.publish_track(track, options)
        await publication.wait_for_subscription()
        self._listened_to.set()

    def _send(self, frame: rtc.AudioFrame, _at: float) -> None:
        self._sent.append(frame)
        capture(self._source, frame)


class RoomSound:
    """Ears and mouth of one call. `states`: browsers are told what the agent does, as LiveKit's components expect it."""

    def __init__(self, live: LiveCall, room: rtc.Room, identity: str, *, states: bool) -> None:
        self.ears = Ears(room, identity)
        self._mouth = Mouth(room)
        self._room = room
        self._telling: asyncio.Task[None] | None = None
        if states:
            live.session.on("agent_state_changed", self._state_changed)
        live.connect(self.ears, self._mouth)

    async def aclose(self) -> None:
        """Close both. Idempotent."""
        if self._telling is not None:
            await cancel_and_wait(self._telling)
        await self.ears.aclose()
        await self._mouth.aclose()

    def _state_changed(self, event: AgentStateChangedEvent) -> None:
        if self._telling is not None:
            self._telling.cancel()
        if self._room.isconnected():
            state: dict[str, str] = {ATTRIBUTE_AGENT_STATE: event.new_state}
            self._telling = spawn(self._room.local_participant.set_attributes(state), name="room-state")


def open_sound(live: LiveCall, room: rtc.Room, identity: str, *, states: bool) -> RoomSound:
    """Connect the call with the caller's microphone and with a track of its own; close what is returned.

    The room itself is never given to `AgentSession.start`: LiveKit would then let every participant read the
    instructions and the history, and put words into the caller's mouth.
    """
    return RoomSound(live, room, identity, states=states)
