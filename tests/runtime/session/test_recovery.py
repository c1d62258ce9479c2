"""What is recovered of a call: its state from its events, its history from its checkpoint, and neither where unreadable."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.conversation import events as ev
from runtime.conversation.interpreter import advance
from runtime.conversation.state import CallState
from runtime.session.fleet_ports import CheckpointRow
from runtime.session.ports import CallRow, EventRow
from runtime.session.recovery import CHECKPOINT_BYTES, SavedItem, checkpoint_text, recover
from runtime.store.memory import MemoryStore
from runtime.store.secrets import Keyring
from tests.examples import examples
from tests.fakes.workflows import compiled

Json = Any
KEYS = Keyring([Fernet.generate_key().decode()])
WRONG = Keyring([Fernet.generate_key().decode()])
WORKFLOW = compiled()
T0 = datetime(2026, 5, 4, 9, tzinfo=UTC)
PIN = "8642"


class Told:
    """A call driven by signals, whose events are kept with the state after each."""

    def __init__(self) -> None:
        self.state = CallState()
        self.facts: list[ev.Fact] = []
        self.at = 0
        self.give(ev.CallBegan, session_id="s", channel="phone")

    def give(self, kind: Any, **fields: Json) -> None:
        self.at += 250
        step = advance(
            WORKFLOW, self.state, kind(at=ev.Instant(T0 + timedelta(milliseconds=self.at), self.at), **fields)
        )
        self.state = step.state
        self.facts.extend(step.facts)

    def key(self, keys: str) -> Told:
        for key in keys:
            self.give(ev.KeyPressed, key=key)
        return self

    def say(self, text: str) -> Told:
        self.give(ev.TurnHeard, text=text)
        return self

    def path(self, path_id: str, **values: Json) -> Told:
        self.give(ev.PathAsked, stay=self.state.stay, path_id=path_id, values=values)
        return self

    def agent(self, text: str) -> Told:
        self.give(ev.AgentSpoke, text=text, spoken_text=text)
        self.give(ev.AnswerEnded)
        return self


ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("say"), st.sampled_from(["yes", "no", "4271", "my bill", "anna@example.com", "goodbye", "8642"])
        ),
        st.tuples(st.just("key"), st.sampled_from(["4", "4271#", "8642", "9", "*", "#"])),
        st.tuples(
            st.just("agent"), st.sampled_from(["Is 4 2 7 1 right?", "Hello.", "anna at example dot com, right?"])
        ),
        st.tuples(st.just("path"), st.sampled_from(["p-billing", "p-pay", "p-back", "p-human", "p-menu"])),
        st.tuples(st.just("tool"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("tool_end"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("hold"), st.just("")),
        st.tuples(st.just("transfer"), st.just("")),
        st.tuples(st.just("timer"), st.sampled_from(["silence", "keypad", "hold"])),
    ),
    max_size=16,
)


def act(told: Told, kind: str, what: str) -> None:
    match kind:
        case "say" | "key" | "agent":
            getattr(told, kind)(what)
        case "path":
            told.path(what, customer_id="4271", email="anna@example.com")
        case "tool":
            told.give(
                ev.ToolAsked, stay=told.state.stay, tool_call_id=what, tool_type="x", name="x", arguments={"q": [1]}
            )
        case "tool_end":
            told.give(ev.ToolReturned, tool_call_id=what, ok=True, duration_ms=3, result_preview="fine 4271")
        case "hold":
            told.give(ev.HoldAsked, stay=told.state.stay, seconds=20)
        case "transfer":
            told.give(ev.TransferAsked, stay=told.state.stay, to="+442079460018")
            told.give(ev.TransferEnded, ok=False, why="busy")
        case _:
            told.give(ev.TimerFired, name=what)


def row_of(told: Told, seq: int, session_id: str, organization_id: str) -> EventRow:
    fact = told.facts[seq - 1]
    secret = fact.secret()
    sealed = None if secret is None else KEYS.encrypt(json.dumps(secret))
    payload = json.loads(json.dumps(fact.payload()))
    agent = getattr(fact, "agent_id", None)
    return EventRow(session_id, organization_id, seq, fact.event_type, payload, agent, fact.at, sealed)


async def stored(
    told: Told, upto: int | None = None, checkpoint: CheckpointRow | None = None
) -> tuple[MemoryStore, str]:
    store = MemoryStore()
    organization = await store.ensure_organization("o")
    row = CallRow("s", organization.id, None, "phone", "inbound", is_test=False, started_at=T0, worker_id="w1")
    await store.open_call(row)
    count = len(told.facts) if upto is None else upto
    await store.append([row_of(told, seq, row.id, organization.id) for seq in range(1, count + 1)])
    if checkpoint is not None:
        await store.save_checkpoints([replace(checkpoint, organization_id=organization.id)])
    return store, row.id


@settings(max_examples=examples(150), deadline=None)
@given(ACTIONS)
async def test_what_is_stored_folds_to_the_live_state(actions: list[tuple[str, str]]) -> None:
    told = Told()
    for kind, what in actions:
        act(told, kind, what)
        store, session_id = await stored(told)
        recovered = await recover(store, session_id, decrypt=KEYS.decrypt)
        if told.state.ended:
            assert recovered is None
            return
        assert recovered is not None
        assert recovered.state == told.state
        assert (recovered.last_seq, recovered.faults, recovered.forgotten) == (len(told.facts), (), ())


async def test_a_call_that_ended_is_not_recovered_nor_one_that_is_gone() -> None:
    told = Told()
    told.give(ev.CallStopped, reason="caller_hangup")
    store, session_id = await stored(told)
    assert await recover(store, session_id, decrypt=KEYS.decrypt) is None
    assert await recover(store, "nobody", decrypt=KEYS.decrypt) is None


def with_pin() -> Told:
    told = Told().agent("Hello, this is Acme.").say("my bill").path("p-billing", customer_id="4271")
    told.say("4271").path("p-billing", customer_id="4271").agent("Billing here.")
    return told.key(PIN)


async def test_a_sensitive_value_is_recovered_with_the_key_and_forgotten_without() -> None:
    told = with_pin()
    assert told.state.known["pin"].value == PIN
    store, session_id = await stored(told)
    recovered = await recover(store, session_id, decrypt=KEYS.decrypt)
    assert recovered is not None
    assert recovered.state.values == told.state.values
    assert PIN not in json.dumps(list(recovered.history))
    blind = await recover(store, session_id, decrypt=WRONG.decrypt)
    assert blind is not None
    assert (blind.forgotten, [code for code, _ in blind.faults]) == (("pin",), ["secrets_unreadable"])
    taken = ev.CallTakenOver(at=ev.Instant(T0, told.at), worker_id="w2", lost_ms=1, forgotten=blind.forgotten)
    step = advance(WORKFLOW, blind.state, taken)
    assert step.state.values == {"customer_id": "4271"}


async def test_history_is_the_checkpoints_and_what_the_events_tell_since() -> None:
    told = Told().agent("Hello, this is Acme.")
    at = len(told.facts)
    told.say("my bill").agent("Your number, please?")
    items = [{"type": "message", "role": "assistant", "content": ["as the model had it"], "id": "x"}]
    text = checkpoint_text([SavedItem.of(item) for item in items], ["y"])
    saved = CheckpointRow("s", "", at, 1, KEYS.encrypt(text))
    store, session_id = await stored(told, checkpoint=saved)
    recovered = await recover(store, session_id, decrypt=KEYS.decrypt)
    assert recovered is not None
    assert [item["content"] for item in recovered.history] == [
        ["as the model had it"], ["my bill"], ["Your number, please?"],
    ]  # fmt: skip
    assert [item["content"] for item in recovered.retold] == [
        ["Hello, this is Acme."], ["my bill"], ["Your number, please?"],
    ]  # fmt: skip


async def test_an_event_of_a_later_release_keeps_its_number() -> None:
    told = Told().agent("Hello, this is Acme.")
    store, session_id = await stored(told)
    row = replace(row_of(told, 1, session_id, (await store.call(session_id)).organization_id), seq=len(told.facts) + 1)
    await store.append([replace(row, event_type="of_tomorrow")])
    recovered = await recover(store, session_id, decrypt=KEYS.decrypt)
    assert recovered is not None
    assert recovered.last_seq == recovered.state.seq == len(told.facts) + 1
    assert [code for code, _ in recovered.faults] == ["events_unreadable"]


@pytest.mark.parametrize("length", [10, 900, 7000])
def test_a_checkpoint_is_bounded_and_keeps_the_newest_turn(length: int) -> None:
    items = [
        {"type": "message", "id": f"{role}{number}", "role": role, "content": ["ä" * length]}
        for number in range(200)
        for role in ("user", "assistant")
    ]
    text = checkpoint_text([SavedItem.of(item) for item in items], [f"user{number}" for number in range(200)])
    assert len(text.encode()) <= CHECKPOINT_BYTES
    assert len(KEYS.encrypt(text)) <= 64 * 1024
    kept = json.loads(text)["items"]
    assert kept == items[-len(kept) :]
    assert [item["id"] for item in kept[-2:]] == ["user199", "assistant199"]


def test_of_a_turn_that_is_too_large_the_texts_are_cut() -> None:
    items: list[dict[str, Json]] = [{"type": "message", "id": "u", "role": "user", "content": ["x" * 8000]}]
    items += [
        {"type": "message", "id": f"a{number}", "role": "assistant", "content": ["y" * 8000]} for number in range(20)
    ]
    text = checkpoint_text([SavedItem.of(item) for item in items], [])
    assert len(text.encode()) <= CHECKPOINT_BYTES
    kept = [item["id"] for item in json.loads(text)["items"]]
    assert (kept[0], kept[-1]) == ("u", "a19")


def taken_over(told: Told) -> list[str]:
    """Have another worker go on from where it stands; return the types of the facts that follow."""
    told.at += 4000
    at = ev.Instant(T0 + timedelta(milliseconds=told.at), told.at)
    step = advance(WORKFLOW, told.state, ev.CallTakenOver(at=at, worker_id="w2", lost_ms=4000))
    told.state = step.state
    return [fact.event_type for fact in step.facts]


def test_a_transfer_that_nobody_saw_the_end_of_has_failed() -> None:
    told = Told().agent("Hello, this is Acme.").say("a person please")
    told.give(ev.TransferAsked, stay=told.state.stay, to="+442079460018")
    assert taken_over(told) == ["call_resumed", "transfer_failed", "agent_entered"]
    assert (told.state.transfer, told.state.agent_id, told.state.left) == (None, "a-intake", False)


def test_a_stay_that_goes_on_is_not_entered_again() -> None:
    told = Told().agent("Hello, this is Acme. How can I help?")
    assert taken_over(told) == ["call_resumed"]
    assert (told.state.stay, dict(told.state.visits)) == (1, {"a-intake": 1})
