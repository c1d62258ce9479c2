"""What the core promises whatever a model does: 10 000 adversarial calls without one illegal transition."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.conversation import events as ev
from runtime.conversation.state import CallState, fold
from runtime.variables import Accepted, Context, normalise
from runtime.workflow.graph import Workflow
from tests.fakes.workflows import compiled
from tests.runtime.conversation.play import Play

Json = Any
WORKFLOW = compiled()
PATHS = [*WORKFLOW.paths, "p-nowhere", "", "p-billing'; drop table"]
NAMES = ["customer_id", "email", "pin", "vip", "nothing", "", "__class__"]
TEXTS = [
    "yes", "no", "4271", "four two seven one", "0000", "my bill please", "anna at example dot com", "twelve", "",
    "\x00\ud800", "yes yes yes", "1234 5678 9012", "no it is 4272", "goodbye", "anna@example.com", "8642",
]  # fmt: skip
VALUES: list[Json] = [
    *TEXTS, None, 0, 4271, -1, 1e400, float("nan"), True, [], {}, {"a": [1]}, ["4271"], "9" * 5000, {"amount": "x"},
]  # fmt: skip
RUNS_A_SEED = 500


def adversary(rng: random.Random) -> Play:
    """Play one call in which the model, the caller, the tools and the timers do anything at any time."""
    play = Play(WORKFLOW, refold=False)
    if rng.random() < 0.9:
        play.begin(presets={"vip": rng.choice([None, True, "x"])} if rng.random() < 0.2 else {})
    for _ in range(rng.randint(1, 14)):
        disturb(play, rng)
    play.send(ev.CallStopped, reason="caller_hangup")
    play.send(ev.CallStopped, reason="error", status="dropped")
    return play


def disturb(play: Play, rng: random.Random) -> None:
    stay = play.state.stay if rng.random() < 0.8 else rng.randint(-1, 5)
    values = {rng.choice(NAMES): rng.choice(VALUES) for _ in range(rng.randint(0, 3))}
    match rng.randint(0, 10):
        case 0 | 1:
            play.say(rng.choice(TEXTS))
        case 2 | 3 | 4:
            play.send(ev.PathAsked, stay=stay, path_id=rng.choice(PATHS), values=values)
        case 5:
            play.send(ev.ValuesGiven, stay=stay, values=values)
        case 6:
            play.send(ev.KeyPressed, key=rng.choice("0123456789*#"))
        case 7:
            play.send(ev.TimerFired, name=rng.choice(["keypad", "silence", "max_duration"]))
        case 8:
            text = rng.choice([*TEXTS, "I have 4 2 7 1. Is that right?", "anna at example dot com, right?"])
            play.send(ev.AgentSpoke, text=text, spoken_text=text)
            play.send(ev.AnswerEnded)
        case 9:
            call_id = rng.choice(["c1", "c2", "c3"])
            play.send(ev.ToolAsked, stay=stay, tool_call_id=call_id, tool_type="x", name="x", arguments=values)
        case _:
            call_id = rng.choice(["c1", "c2", "c3"])
            play.send(
                ev.ToolReturned,
                tool_call_id=call_id,
                ok=rng.random() < 0.5,
                duration_ms=1,
                result_preview=str(rng.choice(TEXTS)),
                assigned=values,
                request_path_id=rng.choice([None, "p-human"]),
            )


def check(play: Play) -> None:
    """Check every promise on the facts alone, with rules written anew here."""
    facts = play.history
    types = [fact.event_type for fact in facts]
    if not facts:
        return
    assert types[0] == "call_started"
    assert types[-1] == "call_ended"
    assert types.count("call_started") == types.count("call_ended") == 1
    started = [fact.tool_call_id for fact in facts if isinstance(fact, ev.ToolStarted)]
    ended = [fact.tool_call_id for fact in facts if isinstance(fact, ev.ToolSucceeded | ev.ToolFailed)]
    assert sorted(started) == sorted(ended)
    for index, fact in enumerate(facts):
        if isinstance(fact, ev.PathTaken):
            check_taken(play.workflow, facts, index, fact)
    by_model = [fact.turn for fact in facts if isinstance(fact, ev.PathTaken) and fact.by == "model"]
    assert len(by_model) == len(set(by_model)), "one path a turn"
    rebuilt = [ev.fact_from_row(f.event_type, f.payload(), f.at, f.secret()) for f in facts]
    assert fold(rebuilt) == play.state


def check_taken(workflow: Workflow, facts: list[ev.Fact], index: int, taken: ev.PathTaken) -> None:
    path = workflow.paths[taken.path_id]
    before = fold(facts[:index])
    assert before.agent_id == taken.from_agent_id
    assert path in workflow.agents[taken.from_agent_id].offered
    held = {item.name: item.value for item in taken.variables}
    for name in path.required:
        check_given(workflow, facts[:index], name, held[name])
    if path.id == "p-billing":
        assert held["customer_id"] != "0000"
    if path.id == "p-vip":
        assert before.known["vip"].value is True
    following = [fact.event_type for fact in facts[index + 1 : index + 3]]
    assert following[0] == "agent_exited"
    if path.target_agent_id is not None:
        assert following[1] == "agent_entered"
        assert facts[index + 2].agent_id == path.target_agent_id  # type: ignore[attr-defined]


def check_given(workflow: Workflow, facts: list[ev.Fact], name: str, value: Json) -> None:
    """Valid, and said by the caller, found by a tool, preset, or confirmed by the caller's own later yes."""
    spec = workflow.variables[name]
    context = Context(now=facts[0].at, region=workflow.region, language="en")
    accepted = normalise(spec, value, context)
    assert isinstance(accepted, Accepted)
    assert accepted.value == value
    last = [
        fact
        for fact in facts
        if isinstance(fact, ev.VariableCollected | ev.VariableCorrected | ev.VariableConfirmed)
        and fact.name == name
        and getattr(fact, "confirmed", True)
    ][-1]
    assert last.value == value
    if isinstance(last, ev.VariableConfirmed):
        assert facts[facts.index(last) - 1].turn >= 1
        assert "yes" in next(
            fact.text for fact in reversed(facts[: facts.index(last)]) if isinstance(fact, ev.UserTurn)
        )
    else:
        assert spec.confirm == "auto"


@pytest.mark.parametrize("seed", range(20))
def test_no_illegal_transition_in_ten_thousand_adversarial_calls(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(RUNS_A_SEED):
        check(adversary(rng))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_hypothesis_finds_no_illegal_transition_either(rng: random.Random) -> None:
    check(adversary(rng))


def test_the_same_signal_gives_the_same_step() -> None:
    one, two = adversary(random.Random(7)), adversary(random.Random(7))
    assert one.history == two.history


def test_nothing_happens_before_the_call_has_begun() -> None:
    play = Play(WORKFLOW)
    play.say("hello")
    assert play.facts == ()
    assert play.state == CallState()
