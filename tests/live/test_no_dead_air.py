"""With a real voice, recogniser and detector: a model that is dead is spoken for, and "stop" is obeyed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.harness.script import Interrupt, Say, Silence
from runtime.voice.phrases import phrase
from tests.calls.promises import assert_promises
from tests.calls.runs import Place, read, run_voice
from tests.fakes.http_model import Answer, http_model

Json = Any
LOCAL: dict[str, Json] = {"stt": {"provider": "local", "keyterms": ["stop"]}, "tts": {"provider": "local"}}
LONG = (
    "Hello, this is Acme. Before we begin let me tell you about our opening hours, which have changed since last week: "
    "on Mondays we open at eight, on Tuesdays at nine, and on all other days at ten."
)

pytestmark = pytest.mark.live


async def test_a_dead_model_is_apologised_for_and_given_up(tmp_path: Path) -> None:
    config = read("front_desk")
    config["defaults"] |= LOCAL
    async with http_model(lambda _asked: Answer(status=500)) as model:
        steps = [Say("I want to pay"), Say("I want to pay"), Say("I want to pay"), Silence(1)]
        result = await run_voice(model.configured(config), steps, Place(tmp_path, offline=False))
    assert_promises(result)
    assert result.said[1:] == (phrase("again", "en"), phrase("again", "en"), phrase("give_up", "en"))
    assert result.row.end_reason == "error"


async def test_stop_is_obeyed_where_a_config_wants_more_words(tmp_path: Path) -> None:
    config = read("front_desk")
    config["defaults"] |= LOCAL | {"turn": {"interruption": {"min_words": 5, "min_duration_s": 5.0}}}
    config["agents"][0]["greeting"] = {"mode": "say", "text": LONG}
    async with http_model(lambda _asked: Answer("All right.")) as model:
        result = await run_voice(model.configured(config), [Interrupt(2.0, "stop")], Place(tmp_path, offline=False))
    assert_promises(result)
    assert len(result.payloads("agent_interrupted")) == 1
    assert [payload["text"] for payload in result.payloads("user_turn")] == ["stop"]
    assert len(result.said[0]) < len(LONG) / 2
