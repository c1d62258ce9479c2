"""A version's fixed texts are spoken before anybody calls, once for each voice, by a server that really speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runtime.voice.pipeline import Providers
from runtime.voice.rehearsal import Rehearsed, rehearse
from runtime.voice.speech_files import SpeechFiles
from runtime.voice.spoken import SpokenCache
from runtime.voice.static_lines import static_lines
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from tests.fakes.http_voice import HttpVoice, http_voice, hummed
from tests.runtime.voice.nodes import Make

SECRET = "Hello, {{ caller.number }}."


@pytest.fixture
async def voice() -> AsyncIterator[HttpVoice]:
    async with http_voice() as served:
        yield served


@pytest.fixture
def files(tmp_path: Path) -> SpeechFiles:
    return SpeechFiles(tmp_path / "speech", 2**26)


def workflow(voice: HttpVoice, **agent: Any) -> Workflow:
    desk = {
        "id": "desk",
        "name": "Desk",
        "instructions": "Help.",
        "greeting": {"mode": "say", "text": "Hello, this is Acme."},
        "tts": voice.configured(),
        "tools": [{"tool_type": "wait", "say_while_running": SECRET}],
        **agent,
    }
    return compile_workflow(WorkflowConfig.model_validate({"agents": [desk]}))


async def test_everything_is_made_once_and_found_by_the_next_process(
    voice: HttpVoice, files: SpeechFiles, make: Make
) -> None:
    flow = workflow(voice)
    texts = [line.text for line in static_lines(flow)]
    first = await rehearse(make(stored=False, spoken=SpokenCache(files=files)), flow)
    assert first == Rehearsed(made=len(texts), characters=sum(map(len, texts)))
    assert sorted(voice.asked) == sorted(texts)
    fresh = make(stored=False, spoken=SpokenCache(files=files))
    assert await rehearse(fresh, flow) == Rehearsed(known=len(texts))
    assert len(voice.asked) == len(texts)
    greeting = fresh.spoken.find(fresh.voice_key(flow.entry), texts[0])
    assert greeting is not None
    assert greeting.samples.tobytes().startswith(hummed(texts[0]))  # LiveKit puts a little silence behind it
    assert fresh.spoken.find(fresh.voice_key(flow.entry), texts[1]) is None


async def test_a_text_with_a_value_in_it_is_never_asked_for(voice: HttpVoice, files: SpeechFiles, make: Make) -> None:
    await rehearse(make(stored=False, spoken=SpokenCache(files=files)), workflow(voice))
    assert not [text for text in voice.asked if text.startswith("Hello,") and "Acme" not in text]


async def test_a_voice_that_fails_is_asked_no_more_and_another_goes_on(
    voice: HttpVoice, files: SpeechFiles, make: Make
) -> None:
    voice.status = 500
    flow = workflow(voice)
    done = await rehearse(make(stored=False, spoken=SpokenCache(files=files)), flow)
    assert done == Rehearsed(failed=len(static_lines(flow)))
    assert len(voice.asked) == 1


async def test_without_a_key_nothing_is_made_and_nothing_raised(
    files: SpeechFiles, make: Make, voice: HttpVoice
) -> None:
    flow = workflow(voice, tts={"provider": "openai", "voice_id": "one"})
    done = await rehearse(make(spoken=SpokenCache(files=files)), flow)
    assert done.failed == len(static_lines(flow))


@pytest.mark.parametrize("offline", [True, False])
async def test_voices_of_this_machine_need_none(
    files: SpeechFiles, make: Make, voice: HttpVoice, offline: bool
) -> None:
    flow = workflow(voice) if offline else workflow(voice, tts={"provider": "local"})
    providers: Providers = make(offline=offline, stored=False, spoken=SpokenCache(files=files))
    assert await rehearse(providers, flow) == Rehearsed()
    assert voice.asked == []
