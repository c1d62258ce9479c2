"""What a voice test is asked with, and how it is joined."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.testing.bodies import storable_map

__all__ = ["LiveKitVoiceTest", "VoiceTest", "VoiceTestRequest", "WebSocketVoiceTest"]

Json = Any
_Map = Annotated[dict[str, Json], AfterValidator(storable_map)]


class VoiceTestRequest(BaseModel):
    """What is wanted; all of it may be left out."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"transport": "websocket"}]})

    transport: Literal["livekit", "websocket"] | None = Field(
        None,
        description="How to join. Without it: a LiveKit room where the server has LiveKit and neither `mocks` nor "
        "`offline` is asked for, else a WebSocket.",
    )
    mocks: _Map = Field(
        default_factory=dict,
        description="Results in the place of tools, as the content of `--mock FILE`. Not in a LiveKit room.",
    )
    variables: _Map = Field(default_factory=dict, description="Values given from outside, by name.")
    offline: bool = Field(
        default=False,
        description="Put the local providers in place of the workflow's: no key, no network. Not in a LiveKit room.",
    )


class LiveKitVoiceTest(BaseModel):
    """Join the room with any client of LiveKit's; a worker answers.

    Keys are sent with `publish_dtmf`; muting is muting the track.
    """

    transport: Literal["livekit"]
    test_session_id: str = Field(description="The test session; it can be read once the call is over.")
    url: str = Field(description="LiveKit's server.")
    token: str = Field(description="Opens this room alone, for this identity alone.")
    room: str
    identity: str
    expires_at: datetime = Field(description="Until when one may join.")


class WebSocketVoiceTest(BaseModel):
    """Open the WebSocket and speak: PCM16 mono little-endian both ways, JSON beside it (docs/voice-api.md)."""

    transport: Literal["websocket"]
    test_session_id: str = Field(description="The test session; it can be read at once.")
    session_id: str = Field(description="The call, whose events are stored under this id.")
    url: str = Field(description="The WebSocket, ticket included; `&rate=` names another rate of your microphone.")
    ticket: str = Field(description="Good for one connection, until `expires_at`.")
    sample_rate: int = Field(description="The rate of your microphone in Hz, unless `rate` names another.")
    input_rates: list[int] = Field(description="What `rate` may name.")
    output_rate: int = Field(description="The rate in Hz of what the agent says.")
    expires_at: datetime = Field(description="Until when the socket is to be opened.")


VoiceTest = Annotated[LiveKitVoiceTest | WebSocketVoiceTest, Field(discriminator="transport")]
