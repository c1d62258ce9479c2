"""Whole calls that lose their worker after any of their events, and are finished by another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.fernet import Fernet

from runtime.harness.script import Dtmf, Step
from runtime.session.recovery import recover
from runtime.store.secrets import Keyring
from tests.calls.promises import assert_promises
from tests.calls.resumed import KEYS, Played, play, resumed_at, running, scene_of, taken_over
from tests.calls.runs import CallResult, Place, read, script

Json = Any

LOST = "Sorry, I lost you for a moment."
OTHER_KEYS = Keyring([Fernet.generate_key().decode()])
SCRIPTS = [
    ("front_desk", "billing"),
    ("front_desk", "change_of_mind"),
    ("appointments", "booking"),
    ("appointments", "correction"),
    ("order_status", "delayed"),
]
QUICK = ("order_status", "delayed")
BY_COST = [pytest.param(*QUICK, 3), *(pytest.param(*each, 1, marks=pytest.mark.thorough) for each in SCRIPTS)]
"""With the last number 3, every third event is tried."""


def greetings(config: Mapping[str, Json]) -> list[str]:
    """The agents' first words, as far as they are written without values."""
    texts = [(agent.get("greeting") or {}).get("text") or "" for agent in config["agents"]]
    return [text for text in texts if text and "{{" not in text]


def heard_of(result: CallResult, text: str) -> int:
    """How often a text was said; with the sentence of a worker that takes over it is a question asked again."""
    return sum(text in said and not said.startswith(LOST) for said in result.said)


def assert_finished(played: Played, result: CallResult, seq: int) -> None:
    """Assert what holds wherever the worker died: one resumption, no second greeting, every promise kept."""
    where = f"after event {seq} ({played.events[seq - 1].event_type})"
    assert_promises(result)
    assert result.types.count("call_resumed") == 1, where
    assert result.events[seq].event_type == "call_resumed", where
    assert result.payloads("fault_raised") == [], where
    assert sum(LOST in said for said in result.said) <= 1, where
    for text in greetings(played.scene.config):
        assert heard_of(result, text) <= max(1, heard_of(played.result, text)), where


def told(result: CallResult, seq: int) -> list[tuple[int, str, str]]:
    """What happened at the second worker, to be read where it went wrong."""
    return [(event.seq, event.event_type, event.payload.get("text", "")) for event in result.events[seq:]]


def assert_same(played: Played, result: CallResult, seq: int) -> None:
    """Assert that the call came out as if nothing had happened."""
    assert_finished(played, result, seq)
    where = f"after event {seq} ({played.events[seq - 1].event_type}): {told(result, seq)}"
    assert result.paths == played.result.paths, where
    assert result.variables == played.result.variables, where
    assert result.row.end_reason == played.result.row.end_reason, where


async def played_script(example: str, name: str, place: Place) -> Played:
    steps: list[Step] = list(script(example, name))
    return await play(await scene_of(read(example), place), steps)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("example", "name", "step"), BY_COST)
async def test_after_any_event_another_worker_finishes_the_call(
    example: str, name: str, step: int, place: Place
) -> None:
    played = await played_script(example, name, place)
    for seq in range(1, len(played.events), step):
        result = await resumed_at(played, seq)
        assert_same(played, result, seq)


@pytest.mark.parametrize("newest", [10, 0])
@pytest.mark.parametrize("seq", [pytest.param(13, marks=pytest.mark.thorough), 15, 17])
async def test_what_a_checkpoint_does_not_tell_yet_the_events_do(place: Place, seq: int, newest: int) -> None:
    played = await played_script("appointments", "correction", place)
    played.checkpoints[:] = [each for each in played.checkpoints if each.seq <= newest]  # type: ignore[index]
    assert_same(played, await resumed_at(played, seq), seq)


@pytest.mark.parametrize("checkpoint", [True, False])
async def test_with_the_events_alone_it_comes_out_the_same(place: Place, *, checkpoint: bool) -> None:
    played = await played_script("front_desk", "billing", place)
    for seq in (7, 9, 19):
        assert_same(played, await resumed_at(played, seq, checkpoint=checkpoint), seq)


async def test_a_tool_in_flight_is_told_as_unknown_and_run_again_only_by_the_model(place: Place) -> None:
    played = await played_script("order_status", "delayed", place)
    seq = next(event.seq for event in played.events if event.event_type == "tool_started")
    scene = await taken_over(played, seq)
    recovered = await recover(scene.store, scene.row.id, decrypt=KEYS.decrypt)
    assert recovered is not None
    assert [running.fact.name for running in recovered.in_flight] == ["check_order"]
    async with running(scene, recovered) as (call, caller):
        await call.live.resume("worker-2", 900)
        await caller.settle()
        doubt = [item for item in call.live.agent.chat_ctx.items if item.type == "function_call_output"]
        assert doubt[0].output == (
            "The connection broke off while this ran: it is not known whether it was done. You may call it again."
        )
        result = await call.result()
    assert_promises(result)
    assert [payload["error_code"] for payload in result.payloads("tool_failed")] == ["worker_lost"]
    assert len({payload["tool_call_id"] for payload in result.payloads("tool_started")}) == 2
    assert [how for _, _, how in result.tools] == ["failed", "succeeded"], "the model asked for it once more"


async def test_a_keypad_entry_goes_on_after_its_sentence(place: Place) -> None:
    played = await played_script("front_desk", "change_of_mind", place)
    seq = next(event.seq for event in played.events if event.payload.get("entry") == "42")
    result = await resumed_at(played, seq)
    assert_same(played, result, seq)
    assert result.said[len([each for each in played.events[:seq] if each.event_type == "agent_turn"])] == LOST
    assert any(isinstance(step, Dtmf) for step in played.left_at(seq))


async def test_the_pending_question_follows_the_sentence(place: Place) -> None:
    played = await played_script("front_desk", "billing", place)
    result = await resumed_at(played, 7)
    assert result.said[2] == f"{LOST} May I have your customer number, please?"


async def test_in_the_middle_of_a_goodbye_the_goodbye_is_said(place: Place) -> None:
    played = await played_script("front_desk", "billing", place)
    at = next(event for event in played.events if event.payload.get("reason") == "agent_hangup")
    result = await resumed_at(played, at.seq)
    assert_same(played, result, at.seq)
    assert result.said[-1].startswith(LOST)
    assert result.said[-1].endswith(played.result.said[-1].rpartition(". ")[2])


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda text: KEYS.encrypt("{}"), "checkpoint_damaged"),
        (lambda text: KEYS.encrypt("no json"), "checkpoint_damaged"),
        (lambda text: KEYS.encrypt('{"v":1,"secret_turns":[],"items":[7]}'), "checkpoint_damaged"),
        (lambda text: OTHER_KEYS.encrypt(KEYS.decrypt(text)), "checkpoint_unreadable"),
        (lambda text: "torn", "checkpoint_unreadable"),
    ],
)
async def test_without_its_checkpoint_the_call_goes_on_from_its_events(
    place: Place, spoil: Callable[[str], str], code: str
) -> None:
    played = await played_script("front_desk", "billing", place)
    played.checkpoints[:] = [spoiled(each, spoil) for each in played.checkpoints]  # type: ignore[index]
    result = await resumed_at(played, 9)
    assert [payload["code"] for payload in result.payloads("fault_raised")] == [code]
    assert (result.paths, result.variables) == (played.result.paths, played.result.variables)
    assert_promises(result)


def spoiled(row: Any, spoil: Callable[[str], str]) -> Any:
    return type(row)(row.session_id, row.organization_id, row.seq, row.epoch, spoil(row.ciphertext))


async def test_time_goes_on_over_the_gap(place: Place) -> None:
    played = await played_script("front_desk", "billing", place)
    result = await resumed_at(played, 7)
    resumed = result.payloads("call_resumed")[0]
    assert (resumed["worker_id"], resumed["lost_ms"]) == ("worker-2", 1500)
    assert resumed["elapsed_ms"] >= played.events[6].payload["elapsed_ms"]
    assert [event.seq for event in result.events] == list(range(1, len(result.events) + 1))


async def test_a_call_that_had_not_started_begins_as_new(place: Place) -> None:
    played = await played_script("front_desk", "billing", place)
    scene = await taken_over(played, 0)
    recovered = await recover(scene.store, scene.row.id, decrypt=KEYS.decrypt)
    assert recovered is not None
    async with running(scene, recovered) as (call, caller):
        await call.live.resume("worker-2", 10)
        await caller.play(played.steps)
        result = await call.result()
    assert "call_resumed" not in result.types
    assert (result.paths, result.said) == (played.result.paths, played.result.said)
    assert_promises(result)
