"""A room without a server: `comes`, `goes`, `publishes` and `emit` are what happens in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from livekit import rtc
from livekit.rtc.event_emitter import EventEmitter

__all__ = ["STANDARD", "Publication", "Somebody", "ToldRoom"]

STANDARD = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD
MICROPHONE = rtc.TrackSource.SOURCE_MICROPHONE


@dataclass
class Publication:
    """Somebody's track, received or not."""

    source: int = MICROPHONE
    track: object | None = None
    sid: str = "TR_told"
    wanted: bool = True

    def set_subscribed(self, subscribed: bool) -> None:
        self.wanted = subscribed


@dataclass
class Somebody:
    identity: str
    kind: int = STANDARD
    attributes: dict[str, str] = field(default_factory=dict)
    disconnect_reason: int | None = None
    track_publications: dict[str, Publication] = field(default_factory=dict)


class ToldRoom(EventEmitter[Any]):
    """Who is in it, and what the agent's own track is told."""

    name = "told"

    def __init__(self, *people: Somebody) -> None:
        super().__init__()
        self.remote_participants = {each.identity: each for each in people}
        self.local_participant = self
        self.subscribed = asyncio.Event()
        self.published: list[rtc.TrackPublishOptions] = []

    def comes(self, who: Somebody) -> None:
        self.remote_participants[who.identity] = who
        self.emit("participant_connected", who)

    def goes(self, who: Somebody, reason: int) -> None:
        del self.remote_participants[who.identity]
        who.disconnect_reason = reason
        self.emit("participant_disconnected", who)

    async def publish_track(self, _track: object, options: rtc.TrackPublishOptions) -> ToldRoom:
        self.published.append(options)
        return self

    async def wait_for_subscription(self) -> None:
        await self.subscribed.wait()

    @property
    def real(self) -> rtc.Room:
        return cast("rtc.Room", self)
