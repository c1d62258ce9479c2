"""A room's sound as an AgentSession's ears and mouth, and nothing of the room beyond the sound."""

from __future__ import annotations

from typing import Final

from livekit import rtc
from livekit.agents.voice import room_io

from runtime.voice.live_call import LiveCall

__all__ = ["Ears", "open_sound"]

FRAME_MS: Final = 100
RATE: Final = 16000


class Ears:
    """Unsubscribes from everything but the caller's own microphone: what a stranger says is not even received.

    The room subscribes to all by itself, because after a reconnection a subscription of our own making is lost.
    That nobody else is heard does not stand on this: `RoomIO` reads the tracks of one identity.
    """

    def __init__(self, room: rtc.Room, identity: str) -> None:
        self._room = room
        self._identity = identity
        room.on("track_published", self._published)
        for participant in list(room.remote_participants.values()):
            for publication in list(participant.track_publications.values()):
                self._published(publication, participant)

    def close(self) -> None:
        """Stop watching. Idempotent."""
        self._room.off("track_published", self._published)

    def _published(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        own = participant.identity == self._identity and publication.source == rtc.TrackSource.SOURCE_MICROPHONE
        if not own:
            publication.set_subscribed(False)


async def open_sound(live: LiveCall, room: rtc.Room, identity: str) -> room_io.RoomIO:
    """Connect the call with the caller's microphone and with a track of its own; close what is returned.

    The room itself is never given to `AgentSession.start`: LiveKit would then let every participant read the
    instructions and the history, and put words into the caller's mouth. Text in, text out, video and audio
    from before the connection are off for the same reason or to save work; 16 kHz is what listens anyway.
    """
    options = room_io.RoomOptions(
        text_input=False,
        text_output=False,
        video_input=False,
        audio_input=room_io.AudioInputOptions(
            sample_rate=RATE, frame_size_ms=FRAME_MS, auto_gain_control=False, pre_connect_audio=False
        ),
        audio_output=True,
        participant_identity=identity,
        participant_kinds=[rtc.ParticipantKind.PARTICIPANT_KIND_SIP, rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD],
        close_on_disconnect=False,
        delete_room_on_close=False,
    )
    sound = room_io.RoomIO(live.session, room, options=options)
    await sound.start()
    assert sound.audio_input is not None
    assert sound.audio_output is not None
    live.connect(sound.audio_input, sound.audio_output)
    return sound
