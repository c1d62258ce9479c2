"""The ladder: a filler, an apology, a goodbye; and that nobody is talked to who is not waiting."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from livekit.agents import APIConnectionError, CloseReason, llm

from runtime.conversation import events as ev
from runtime.session.ports import ToolOutcome
from runtime.voice.phrases import phrase
from runtime.voice.watchdog import Limits, answer_s
from tests.fakes.voice_providers import Answer, Asked, Call, Fail, Stall
from tests.runtime.voice.nodes import agent
from tests.runtime.voice.stage import SHORT, Stage, config, on_stage
from tests.runtime.voice.test_no_dead_air import TOOL, Tools

Json = Any
AGAIN, FILLER, GIVE_UP = phrase("again", "en"), phrase("filler", "en"), phrase("give_up", "en")
REPLY = "All is well."
NOTHING = Tools(ToolOutcome("Nothing."))


def slow(_asked: Asked) -> Answer:
    return [Stall(0.8), REPLY]


PATIENT = replace(SHORT, answer_margin_s=5.0)
"""For a model that is slow and no more: a busy machine must not make it too slow."""


async def test_a_model_that_thinks_is_bridged_by_a_filler(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(), slow, tools=NOTHING, limits=PATIENT) as stage:
        await stage.greeted()
        stage.speak("hello")
        await stage.until(lambda: len(stage.said) == 2)
        assert stage.said[1] == f"{FILLER} {REPLY}"
        assert stage.faults == []


async def test_a_quick_model_needs_no_filler(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(), lambda _asked: [REPLY], tools=NOTHING) as stage:
        await stage.greeted()
        stage.speak("hello")
        await stage.until(lambda: len(stage.said) == 2)
        assert stage.said[1] == REPLY


async def test_phrases_are_spoken_with_the_calls_own_voice_and_made_once(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(), slow, tools=NOTHING, limits=PATIENT) as stage:
        await stage.until(lambda: len(stage.throat.spoken) == 5)
        await stage.greeted()
        stage.speak("hello")
        await stage.until(lambda: len(stage.said) == 2)
        assert stage.throat.spoken.count(FILLER) == 1
        assert stage.throat.spoken[-1] == REPLY


async def test_a_long_tool_is_talked_over_again_and_again(tmp_path: Path) -> None:
    def calls(asked: Asked) -> Answer:
        return [REPLY] if asked.returned else [Call("look_up")]

    limits = replace(SHORT, tool_s=0.3, tool_again_s=0.4)
    async with on_stage(tmp_path, config(**TOOL), calls, tools=Tools(None), limits=limits) as stage:
        await stage.greeted()
        stage.speak("hello")
        await stage.until(lambda: REPLY in stage.said)
        assert stage.said[1:].count(FILLER) >= 2


async def test_the_third_failed_answer_ends_the_call(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(), lambda _asked: [Fail()], tools=NOTHING) as stage:
        await stage.greeted()
        for number in (1, 2, 3):
            stage.speak(f"hello {number}")
            await stage.until(lambda number=number: apologies(stage) == number)  # type: ignore[misc]
            if number < 3:
                await stage.until(lambda number=number: len(stage.said) > number)  # type: ignore[misc]
                await stage.live.line.wait_idle()
        await stage.live.call.ended()
        await stage.until(lambda: bool(stage.payloads("call_ended")))
        assert stage.said[1:] == [AGAIN, AGAIN, GIVE_UP]
        # What was asked early has failed as well, and cost nobody anything.
        a_busy_machine = {("loop_blocked", "resumed")}
        assert set(stage.faults) - a_busy_machine == {("llm_error", "retry"), ("llm_failed", "apology")}
        assert apologies(stage) == 3
        assert stage.payloads("call_ended")[0]["reason"] == "error"


def apologies(stage: Stage) -> int:
    """How many faults the caller was told of."""
    return sum(recovered_by == "apology" for _, recovered_by in stage.faults)


async def test_a_dead_voice_says_goodbye_all_the_same(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(), lambda _asked: [REPLY], tools=NOTHING) as stage:
        await stage.until(lambda: len(stage.throat.spoken) == 5)
        await stage.greeted()
        stage.throat.manner = lambda _text: "fails"
        for number in (1, 2, 3):
            stage.speak(f"hello {number}")
            await stage.until(lambda number=number: len(stage.faults) == number)  # type: ignore[misc]
            await stage.live.line.wait_idle()
        await stage.live.call.ended()
        await stage.until(lambda: bool(stage.payloads("call_ended")))
        assert stage.said[-1] == GIVE_UP
        assert stage.faults == [("tts_failed", "apology")] * 3


async def test_a_session_that_closes_by_itself_says_goodbye(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(), lambda _asked: [REPLY], tools=NOTHING) as stage:
        await stage.greeted()
        heard = len(stage.heard)
        error = llm.LLMError(timestamp=0.0, label="m", error=APIConnectionError("secret detail"), recoverable=False)
        await stage.live.session._aclose_impl(reason=CloseReason.ERROR, error=error)
        await stage.live.call.ended()
        await stage.until(lambda: bool(stage.payloads("call_ended")))
        assert ("session_closed", "goodbye") in stage.faults
        assert len(stage.heard) - heard > 100
        assert stage.payloads("call_ended")[0]["reason"] == "error"


async def test_a_turn_that_comes_to_nothing_is_apologised_for(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(), lambda _asked: [REPLY], tools=NOTHING) as stage:
        await stage.greeted()
        stage.live.bridge.watchdog.owe()
        await stage.until(lambda: AGAIN in stage.said)
        assert stage.faults == [("no_answer", "apology")]


async def test_a_speech_that_hangs_is_cut_and_apologised_for(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(), lambda _asked: [REPLY], tools=NOTHING) as stage:
        await stage.greeted()
        agent_of_call = stage.live.agent
        node = agent_of_call.transcription_node
        hung = asyncio.Event()

        async def hangs(text: Any, settings: Any) -> Any:
            agent_of_call.transcription_node = node  # type: ignore[method-assign]
            hung.set()
            await asyncio.sleep(60)
            yield ""

        agent_of_call.transcription_node = hangs  # type: ignore[method-assign]
        agent_of_call.mouth.speak = _mute  # type: ignore[method-assign]
        stage.speak("hello")
        await hung.wait()
        del agent_of_call.mouth.speak
        await stage.until(lambda: AGAIN in stage.said, 12.0)
        assert ("speech_stuck", "apology") in stage.faults


async def _mute(*_: object) -> Any:
    await asyncio.sleep(60)
    yield None


async def test_a_caller_on_hold_is_left_alone(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(), lambda _asked: [REPLY], tools=NOTHING) as stage:
        await stage.greeted()
        await _held(stage)
        stage.throb.begin()
        await stage.until(lambda: stage.live.session.user_state == "speaking")
        stage.throb.end(0.8)
        await asyncio.sleep(SHORT.transcript_s * 2)
        assert stage.faults == []


async def _held(stage: Stage) -> None:
    call = stage.live.call
    call.submit(ev.HoldAsked(at=call.instant(), stay=call.state.stay, seconds=60))
    await stage.until(lambda: len(stage.said) == 2)
    await stage.live.line.wait_idle()


def test_each_model_of_a_chain_has_its_time() -> None:
    limits = Limits()
    assert answer_s(agent(llm={"provider": "local", "timeout_s": 3}), limits) == 4.0
    chain = {"provider": "local", "timeout_s": 3, "fallbacks": [{"provider": "local"}]}
    assert answer_s(agent(llm=chain), limits) == 7.0
