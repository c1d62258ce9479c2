"""What a call that rings has spoken ahead is shared with other calls only where nobody's values are in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.voice.pipeline import Providers
from runtime.voice.speech_files import SpeechFiles
from runtime.voice.spoken import SpokenCache
from tests.runtime.voice.stage import Stage, on_stage
from tests.runtime.voice.test_no_dead_air import Tools

Json = Any
GREETING = "Billing here."
NAME = "Rossi"


def workflow(*, say: str, enters: str) -> dict[str, Json]:
    """Return a desk whose only path is taken on arrival where a name is known, with `say`; the call begins at `enters`."""
    path = {"id": "p", "name": "To billing", "trigger": "automatic", "target_agent_id": "billing", "say": say}
    desk = {
        "id": "desk",
        "name": "Desk",
        "instructions": "Help.",
        "paths": [{**path, "guard_condition": "is_set('name')"}],
    }
    billing = {"id": "billing", "name": "Billing", "instructions": "Help."}
    agents = [
        {**each, "greeting": {"mode": "say", "text": GREETING}, "llm": {"provider": "local"}}
        for each in (desk, billing)
    ]
    return {
        "variables": [{"name": "name", "data_type": "string"}],
        "session": {"silence": {"after_s": 60}},
        "entry_agent_id": enters,
        "agents": agents,
    }


def providers_of(stage: Stage) -> Providers:
    assert stage.live.plan.providers is not None
    return stage.live.plan.providers


@pytest.mark.parametrize(
    ("say", "enters", "text", "shared"),
    [
        ("Welcome back, {{ name }}.", "desk", f"Welcome back, {NAME}. {GREETING}", False),
        ("One moment.", "desk", f"One moment. {GREETING}", False),
        ("Welcome back, {{ name }}.", "billing", GREETING, True),
    ],
)
async def test_what_a_path_on_arrival_says_in_front_keeps_a_greeting_to_its_call(
    tmp_path: Path, say: str, enters: str, text: str, shared: bool
) -> None:
    files = SpeechFiles(tmp_path / "speech", 2**24)
    spoken = SpokenCache(files=files)
    raw = workflow(say=say, enters=enters)
    async with on_stage(
        tmp_path / "events",
        raw,
        lambda _asked: [],
        tools=Tools(None),
        spoken=spoken,
        ready=True,
        presets={"name": NAME},
    ) as stage:
        assert stage.throat.spoken == [text]
        await stage.greeted()
        assert stage.said == [text]
        await spoken.saved()
        providers = providers_of(stage)
        voice = providers.voice_key(stage.live.plan.workflow.agents["billing"])
        assert (providers.own_spoken.find(voice, text) is None) is shared
        assert (spoken.find(voice, text) is not None) is shared
        assert files.holds(voice, text) is shared
        assert not any(NAME in kept for _, kept in spoken._kept)
