"""Goodbyes, transfers and silences as the line performs them: what the caller says and when decides what is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.conversation import events as ev
from runtime.session.ports import ToolOutcome, TransferOutcome
from tests.fakes.voice_providers import Answer, Asked, Call
from tests.runtime.voice.stage import Stage, config, on_stage
from tests.runtime.voice.test_no_dead_air import TOOL, Tools

pytestmark = pytest.mark.live  # whole calls in real time, with stand-ins for the providers

Json = Any
FAREWELL = "Thank you for calling, goodbye."
END = {"paths": [{"id": "end", "name": "End", "description": "x", "end_call": {"say": FAREWELL}}]}
MOVE = {"paths": [{"id": "move", "name": "Move", "description": "x", "transfer_call": {"to": "+4930123456"}}]}


def ends_first(asked: Asked) -> Answer:
    return [Call("end")] if asked.number == 0 else ["What else is there?"]


async def in_the_goodbye(stage: Stage) -> None:
    await stage.greeted()
    stage.speak("that was all")
    await stage.until(lambda: stage.live.call.state.closing == "agent_hangup")
    await stage.until(lambda: stage.live.session.agent_state == "speaking")


@pytest.mark.parametrize(
    ("text", "reopened"),
    [("wait, I have another question", True), ("mm-hm", False), ("thanks for your help, bye", False)],
)
async def test_words_in_a_goodbye(text: str, reopened: bool, tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(**END), ends_first, tools=Tools(None)) as stage:
        await in_the_goodbye(stage)
        stage.speak(text)
        if reopened:
            await stage.until(lambda: "What else is there?" in stage.said)
            assert not stage.live.call.state.ending
            assert stage.payloads("agent_entered")[-1]["cause"] == "resume"
        else:
            await stage.until(lambda: stage.live.call.state.ended)
            assert stage.said[-1] == FAREWELL
            assert len(stage.payloads("agent_entered")) == 1


async def test_words_that_are_understood_after_the_goodbye_still_count(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(**END), ends_first, tools=Tools(None)) as stage:
        await in_the_goodbye(stage)
        stage.throb.begin()
        await stage.until(lambda: stage.live.session.user_state == "speaking")
        stage.throb.end(0.1)
        await stage.until(lambda: not stage.live.line.speaking)
        await asyncio.sleep(0.7)  # a slow recogniser: the goodbye and its half second are over
        assert not stage.live.call.state.ended
        stage.ears.hear("wait, I have another question")
        await stage.until(lambda: "What else is there?" in stage.said)


async def test_a_silent_caller_is_hung_up_on_right_after_the_goodbye(tmp_path: Path) -> None:
    async with on_stage(tmp_path, config(**END), ends_first, tools=Tools(None)) as stage:
        await in_the_goodbye(stage)
        await stage.until(lambda: not stage.live.line.speaking)
        await stage.until(lambda: stage.live.call.state.ended, 1.0)
        await stage.until(lambda: bool(stage.payloads("call_ended")))
        assert stage.payloads("call_ended")[0]["reason"] == "agent_hangup"


async def test_the_callers_silence_is_not_counted_while_the_agent_answers(tmp_path: Path) -> None:
    raw = config(**TOOL) | {"session": {"silence": {"after_s": 1, "prompts": ["Still there?"]}}}
    sentence = " ".join(f"This is sentence number {number}." for number in range(30))

    def answer(asked: Asked) -> Answer:
        return [sentence] if asked.returned else [Call("look_up")]

    tools = Tools(ToolOutcome("Found."))
    async with on_stage(tmp_path, raw, answer, tools=tools, speed=4.0) as stage:
        await stage.greeted()
        stage.speak("hello")
        await stage.until(lambda: stage.live.session.agent_state == "speaking")
        began = asyncio.get_running_loop().time()
        await stage.until(lambda: len(stage.said) == 2)
        assert asyncio.get_running_loop().time() - began > 1.2, "the answer has to be longer than the silence"
        assert stage.payloads("silence_elapsed") == []
        await stage.until(lambda: bool(stage.payloads("silence_elapsed")), 3.0)


class Telephone:
    """A telephone whose transfers end as `transfer` does."""

    def __init__(self, transfer: Callable[[], TransferOutcome]) -> None:
        self._transfer = transfer

    async def transfer(self, to: str) -> TransferOutcome:
        assert to == "+4930123456"
        return self._transfer()

    async def send_keys(self, keys: str) -> str | None:
        raise AssertionError(keys)


def _broken() -> TransferOutcome:
    raise OSError("secret detail")


@pytest.mark.parametrize(
    ("transfer", "why"),
    [
        (lambda: TransferOutcome(ok=False, sip_status=486, why="the line is busy"), "the line is busy"),
        (_broken, "OSError"),
    ],
)
async def test_who_cannot_be_put_through_is_told_so(
    transfer: Callable[[], TransferOutcome], why: str, tmp_path: Path
) -> None:
    def moves(asked: Asked) -> Answer:
        return [Call("move")] if asked.number == 0 else ["Yes."]

    telephone = Telephone(transfer)
    async with on_stage(tmp_path, config(**MOVE), moves, tools=Tools(None), telephone=telephone) as stage:
        await stage.greeted()
        stage.speak("a person please")
        await stage.until(lambda: any("put you through" in said for said in stage.said))
        assert stage.payloads("transfer_failed")[0]["why"] == why
        assert not stage.live.call.state.ending


async def test_a_runtime_that_leaves_says_goodbye_over_what_is_being_said(tmp_path: Path) -> None:
    long = " ".join(["This goes on and on."] * 40)
    async with on_stage(tmp_path, config(), lambda _asked: [long], tools=Tools(None)) as stage:
        await stage.greeted()
        stage.speak("tell me")
        await stage.until(lambda: stage.live.session.agent_state == "speaking")
        stage.live.call.submit(ev.GoodbyeAsked(at=stage.live.call.instant(), reason="drained", say=FAREWELL))
        await stage.until(lambda: stage.live.call.state.ended)
        await stage.until(lambda: FAREWELL in stage.said)
        await stage.until(lambda: bool(stage.payloads("call_ended")))
        assert stage.payloads("call_ended")[0]["reason"] == "drained"
