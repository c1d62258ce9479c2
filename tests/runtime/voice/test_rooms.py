"""Tokens and dispatch metadata, without a server; with one they are tried in tests/worker/rooms."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from livekit import api

from runtime.errors import Unreachable
from runtime.settings import Settings
from runtime.voice.rooms import DispatchMetadata, check, join_token

KEY, SECRET = "key", "secret-of-the-tests-0123456789abcdef"


def settings(folder: Path, url: str = "ws://127.0.0.1:9") -> Settings:
    env = {"PATCHBAY_HOME": str(folder), "LIVEKIT_URL": url, "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
    return Settings.load(env, folder)


def test_a_caller_may_join_one_room_speak_and_listen_and_nothing_else(tmp_path: Path) -> None:
    token = join_token(settings(tmp_path), "room-1", "anna", metadata=DispatchMetadata(workflow_id="w"))
    claims = api.TokenVerifier(KEY, SECRET).verify(token)
    assert claims.identity == "anna"
    assert claims.video == api.VideoGrants(
        room_join=True,
        room="room-1",
        can_publish=True,
        can_publish_sources=["microphone"],
        can_subscribe=True,
        can_publish_data=False,
        can_update_own_metadata=False,
    )
    assert claims.sip in (None, api.SIPGrants())


def test_the_agent_is_sent_with_the_metadata_and_the_caller_it_is_for(tmp_path: Path) -> None:
    token = join_token(
        settings(tmp_path),
        "room-1",
        "anna",
        metadata=DispatchMetadata(workflow_id="w"),
        agent_name="other",
        ttl=timedelta(seconds=5),
    )
    claims = api.TokenVerifier(KEY, SECRET).verify(token)
    assert claims.room_config is not None
    (agent,) = claims.room_config.agents
    assert agent.agent_name == "other"
    assert DispatchMetadata.model_validate_json(agent.metadata) == DispatchMetadata(workflow_id="w", participant="anna")


async def test_a_server_that_is_away_is_one_message_with_its_url(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as error:
        await check(settings(tmp_path))
    assert "does not answer at ws://127.0.0.1:9" in error.value.message
    assert "LIVEKIT_URL" in error.value.remedy
