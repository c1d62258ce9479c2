"""What the caller says into the agent's sentence: sounds of listening, an order to stop, an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.voice.interruptions import Manners
from tests.fakes.voice_providers import WORD_S
from tests.runtime.voice.nodes import agent
from tests.runtime.voice.stage import Stage, config, on_stage
from tests.runtime.voice.test_no_dead_air import Tools

pytestmark = pytest.mark.live  # whole calls in real time, with stand-ins for the providers

Json = Any
Open = Callable[..., AbstractAsyncContextManager[Stage]]
WORDS = 45
SENTENCE = " ".join(["word"] * (WORDS - 1)) + " end?"
BEGUN = 45
"""Frames after which LiveKit counts some words as said: a sentence cut off before is as if it had not been begun."""
FRAMES = round(WORDS * WORD_S / 0.02)
REPLY = "All is well."


@pytest.fixture
def speaking(tmp_path: Path) -> Open:
    """A call whose agent is in the middle of a long sentence."""

    @asynccontextmanager
    async def opened(
        interruption: Mapping[str, Json] | None = None, *, interruptible: bool = True
    ) -> AsyncIterator[Stage]:
        raw = config(greeting={"mode": "say", "text": SENTENCE, "interruptible": interruptible})
        raw["agents"][0]["turn"]["interruption"] |= dict(interruption or {})
        async with on_stage(tmp_path, raw, lambda _asked: [REPLY], tools=Tools(None), speed=1.0) as stage:
            await stage.until(lambda: len(stage.heard) >= BEGUN)
            yield stage

    return opened


def turns(stage: Stage) -> list[str]:
    return [payload["text"] for payload in stage.payloads("user_turn")]


async def finished(stage: Stage) -> None:
    """Wait until the sentence has been said, and what could follow from it has had its time."""
    await stage.until(lambda: bool(stage.said))
    await stage.live.line.wait_idle()


@pytest.mark.parametrize("said", ["mm-hm", "Mm-hm, mm hm.", "Uh-huh.", None])
async def test_a_sound_of_listening_leaves_the_sentence_finished(speaking: Open, said: str | None) -> None:
    async with speaking() as stage:
        stage.throb.begin()
        stage.throb.go_on(0.6)  # long enough for LiveKit to hold the sentence
        await stage.until(lambda: stage.live.session.agent_state == "listening")
        if said is not None:
            stage.ears.hear(said, final=False)
            stage.ears.hear(said)
        stage.throb.end(0.6)
        await finished(stage)
        assert stage.said == [SENTENCE]
        assert len(stage.heard) >= FRAMES
        assert (turns(stage), stage.payloads("agent_interrupted")) == ([], [])


async def test_after_a_sound_of_listening_the_sentence_goes_on_at_once(speaking: Open) -> None:
    async with speaking({"resume_after_s": 30.0}) as stage:
        stage.throb.begin()
        stage.throb.go_on(0.6)
        await stage.until(lambda: stage.live.session.agent_state == "listening")
        stage.throb.end(0.6)
        stage.ears.hear("mm-hm")
        await stage.until(lambda: stage.live.session.agent_state == "speaking", 1.0)
        await finished(stage)
        assert stage.said == [SENTENCE]


@pytest.mark.parametrize("said", ["Stop!", "no, wait", "Hold on a second", "please stop"])
@pytest.mark.parametrize("final", [False, True])
async def test_stop_silences_within_300_ms_of_being_recognised(speaking: Open, said: str, *, final: bool) -> None:
    async with speaking({"min_words": 9, "min_duration_s": 9.0}) as stage:
        stage.throb.begin()
        recognised = asyncio.get_running_loop().time()
        stage.ears.hear(said, final=final)
        await stage.until(lambda: bool(stage.payloads("agent_interrupted")))
        assert stage.heard[-1] - recognised < 0.3
        assert len(stage.heard) < FRAMES


async def test_stop_is_a_turn_that_is_answered(speaking: Open) -> None:
    async with speaking({"min_words": 2}) as stage:
        stage.speak("stop")
        await stage.until(lambda: REPLY in stage.said)
        assert turns(stage) == ["stop"]


async def test_a_sentence_that_may_not_be_interrupted_is_not_stopped(speaking: Open) -> None:
    async with speaking(interruptible=False) as stage:
        stage.speak("stop")
        await stage.until(lambda: SENTENCE in stage.said)
        assert stage.payloads("agent_interrupted") == []


async def test_other_words_interrupt_as_ever(speaking: Open) -> None:
    async with speaking({"ignore": ["mm-hm"]}) as stage:
        stage.speak("mm-hm I have a question")
        await stage.until(lambda: REPLY in stage.said)
        assert turns(stage) == ["mm-hm I have a question"]
        assert len(stage.payloads("agent_interrupted")) == 1


async def test_okay_at_the_end_of_a_question_answers_it(speaking: Open) -> None:
    async with speaking({"ignore": ["okay"]}) as stage:
        await stage.until(lambda: len(stage.heard) >= FRAMES - 12)
        stage.speak("Okay.")
        await stage.until(lambda: REPLY in stage.said)
        assert stage.said[0] == SENTENCE
        assert turns(stage) == ["Okay."]


async def test_okay_that_is_recognised_after_the_question_answers_it(speaking: Open) -> None:
    async with speaking({"ignore": ["okay"]}) as stage:
        await stage.until(lambda: len(stage.heard) >= FRAMES - 12)
        stage.throb.begin()
        await finished(stage)
        stage.throb.end(0.4)
        stage.ears.hear("okay")
        await stage.until(lambda: REPLY in stage.said)
        assert turns(stage) == ["okay"]


async def test_okay_in_the_middle_goes_along_however_late_it_is_recognised(speaking: Open) -> None:
    async with speaking({"ignore": ["okay"]}) as stage:
        stage.throb.begin()
        await stage.until(lambda: stage.live.session.user_state == "speaking")
        stage.throb.end(0.4)
        await finished(stage)
        stage.ears.hear("okay")
        stage.speak("and now")
        await stage.until(lambda: REPLY in stage.said)
        assert turns(stage) == ["and now"]


async def test_a_sound_of_listening_into_silence_is_a_turn(speaking: Open) -> None:
    async with speaking() as stage:
        await finished(stage)
        stage.speak("mm-hm")
        await stage.until(lambda: REPLY in stage.said)
        assert turns(stage) == ["mm-hm"]


# ------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("ignore", "language", "text", "expected"),
    [
        ((), "en", "Mm-hm.", True),
        ((), "en-GB", "mhm mhm, uh huh", True),
        ((), "de", "Ähm, ja", False),
        ((), "de-AT", "Hm, aha!", True),
        ((), "xx", "mm", True),
        ((), "en", "mm-hm but", False),
        ((), "en", "...", False),
        ((), "en", "m" * 500 + "x", False),
        (("right",), "en", "mm-hm", False),
        (("right", "I see"), "en", "Right, right, I see.", True),
    ],
)
def test_words_that_go_along(ignore: tuple[str, ...], language: str, text: str, *, expected: bool) -> None:
    node = agent(turn={"interruption": {"ignore": list(ignore)}}, language=language)
    assert Manners.of(node).is_backchannel(text) is expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "stop", True),
        ("en", "okay, stop it", True),
        ("en", "Hold on!", True),
        ("en", "hold the line", False),
        ("en", "the bus stop", False),
        ("de", "Moment bitte", True),
        ("fr", "s'il vous plaît", False),
        ("es", "¡Espere!", True),
        ("it", "un attimo", True),
        ("en", "", False),
    ],
)
def test_words_that_stop(language: str, text: str, *, expected: bool) -> None:
    assert Manners.of(agent(language=language)).is_stop(text) is expected
