"""What a model reads of what was said, and what is kept of it: sensitive values, and each text looked at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from livekit.agents import llm

from runtime.conversation import events as ev
from runtime.conversation import masking
from runtime.conversation.scene import Scene
from runtime.conversation.state import CallState, Known
from runtime.voice.history import MOST_ITEMS, Saved, Veil
from tests.fakes.workflows import compiled, front_desk

Json = Any
FLOW = compiled(front_desk())
PIN = "4711"


def scene(**known: str) -> Scene:
    state = CallState(known={name: Known(value, "speech") for name, value in known.items()})
    return Scene(FLOW, {}, state, ev.Instant(datetime(2026, 5, 4, 12, tzinfo=UTC), 0))


def said(role: Literal["user", "assistant"], text: str, at: int) -> llm.ChatMessage:
    return llm.ChatMessage(role=role, content=[text], id=f"m{at}", created_at=at)


def texts(items: list[llm.ChatItem]) -> list[str]:
    return [item.text_content or "" for item in items if isinstance(item, llm.ChatMessage)]


TALK: list[llm.ChatItem] = [
    said("assistant", "Your PIN, please?", 1),
    said("user", f"it is {PIN}", 2),
    said("assistant", f"I have {PIN}, thank you.", 3),
    said("user", f"and {PIN} again", 4),
]


def test_a_sensitive_value_reaches_only_its_own_turn() -> None:
    masked = texts(Veil().over(TALK, scene(pin=PIN), ()))
    assert masked == ["Your PIN, please?", masking.MASK, masking.MASK, f"and {PIN} again"]


def test_of_a_turn_in_which_one_was_awaited_the_agents_words_stay() -> None:
    masked = texts(Veil().over(TALK, scene(), ("m2",)))
    assert masked == ["Your PIN, please?", masking.MASK, f"I have {PIN}, thank you.", f"and {PIN} again"]


def test_functions_lose_their_arguments_and_answers() -> None:
    items: list[llm.ChatItem] = [
        llm.FunctionCall(call_id="c", name="remember", arguments=json.dumps({"pin": PIN}), id="f"),
        llm.FunctionCallOutput(call_id="c", name="remember", output=f"Recorded {PIN}.", is_error=False, id="o"),
        said("user", "next", 9),
    ]
    call, answer, _ = Veil().over(items, scene(pin=PIN), ())
    assert isinstance(call, llm.FunctionCall)
    assert isinstance(answer, llm.FunctionCallOutput)
    assert (call.arguments, answer.output) == ("{}", masking.MASK)


def test_each_text_is_looked_through_once_while_the_values_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Json] = []
    told_in = masking.Held.told_in

    def looking(held: masking.Held, value: Json) -> bool:
        looked.append(value)
        return told_in(held, value)

    monkeypatch.setattr(masking.Held, "told_in", looking)
    veil, before = Veil(), scene(pin=PIN)
    for _ in range(3):
        veil.over(TALK, before, ())
    assert looked == texts(TALK)[:3]
    veil.over([*TALK, said("user", "what else?", 5)], before, ())
    assert looked[3:] == [f"and {PIN} again"]


def test_a_new_value_and_a_changed_text_are_looked_for_again() -> None:
    veil = Veil()
    assert texts(veil.over(TALK, scene(), ()))[1] == f"it is {PIN}"
    assert texts(veil.over(TALK, scene(pin=PIN), ()))[1] == masking.MASK
    assert texts(veil.over(TALK, scene(pin="0815"), ()))[1] == f"it is {PIN}"
    cut = [said("assistant", "Your 0815, please?", 1), *TALK[1:]]
    assert texts(veil.over(list(cut), scene(pin="0815"), ()))[0] == masking.MASK


def test_what_is_saved_is_the_same_from_time_to_time_and_as_if_anew() -> None:
    saved = Saved()
    history = llm.ChatContext(list(TALK[:2]))
    saved.text(history, ())
    history.items.extend(TALK[2:])
    text = saved.text(history, {"m2"})
    assert text == Saved().text(history, {"m2"})
    kept = json.loads(text)
    assert [item["content"] for item in kept["items"]] == [[each] for each in texts(TALK)]
    assert kept["secret_turns"] == ["m2"]


def test_of_a_very_long_call_only_what_fits_is_kept() -> None:
    saved, history = Saved(), llm.ChatContext.empty()
    for at in range(3 * MOST_ITEMS):
        history.items.append(said("user", "x", at))
        if at % 100 == 0:
            saved.text(history, ())
    saved.text(history, ())
    assert MOST_ITEMS <= len(saved) <= 2 * MOST_ITEMS
