"""What is said word for word the same in every call."""

from __future__ import annotations

from typing import Any

from runtime.voice.phrases import phrase
from runtime.voice.static_lines import static_lines
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import compile_workflow


def agent(key: str, greeting: dict[str, Any] | str = "", **more: Any) -> dict[str, Any]:
    opening = {"mode": "say", "text": greeting} if isinstance(greeting, str) else greeting
    return {"id": key, "name": key.title(), "instructions": "Help.", "greeting": opening, **more}


def path(key: str, **more: Any) -> dict[str, Any]:
    return {"id": key, "name": key, "description": "d", **more}


def lines(*agents: dict[str, Any], **workflow: Any) -> list[tuple[str, str]]:
    compiled = compile_workflow(WorkflowConfig.model_validate({"agents": list(agents), **workflow}))
    return [(line.agent.id, line.text) for line in static_lines(compiled)]


def test_the_greeting_that_is_heard_first_comes_first() -> None:
    desk = agent("desk", "Hello.", paths=[path("p", target_agent_id="billing")])
    found = lines(agent("billing", "Billing here."), desk, entry_agent_id="desk")
    assert found[:2] == [("desk", "Hello."), ("billing", "Billing here.")]
    assert len(found) == len(set(found))


def test_a_handoff_is_one_utterance_in_the_voice_of_who_is_there_next() -> None:
    desk = agent("desk", "Hello.", paths=[path("p", say="One moment.", target_agent_id="billing")])
    found = lines(desk, agent("billing", "Billing here."))
    assert ("billing", "One moment. Billing here.") in found
    assert ("desk", "One moment.") not in found
    silent = lines(desk, agent("billing", {"mode": "generate", "on_return": "none"}))
    assert ("billing", "One moment.") in silent


def test_a_text_with_a_value_in_it_is_nowhere() -> None:
    desk = agent(
        "desk",
        "Hello {{ caller.number }}.",
        paths=[
            path("p", say="One moment, {{ name }}.", target_agent_id="billing"),
            path("q", say="Bye {{ name }}.", end_call={"say": "Take care."}),
        ],
        tools=[{"tool_type": "wait", "say_while_running": "Looking up {{ name }}."}],
    )
    found = lines(
        desk,
        agent("billing", "Billing here."),
        variables=[{"name": "name", "data_type": "person_name"}],
        session={"silence": {"prompts": ["Are you there, {{ name }}?"]}},
    )
    assert not [text for _, text in found if "name" in text or "Billing here" in text or "Take care" in text]
    assert {text for _, text in found} <= {text for _, text in lines(agent("desk"), agent("billing"))}


def test_goodbyes_prompts_fillers_and_the_runtimes_own_words_are_there_in_the_agents_language() -> None:
    desk = agent(
        "desk",
        "Guten Tag.",
        paths=[
            path("end", say="Gern.", end_call={"say": "Auf Wiederhören."}),
            path("on", transfer_call={"to": "+1"}, say="Ich verbinde."),
        ],
        tools=[{"tool_type": "wait", "say_while_running": "Ich sehe nach."}],
    )
    found = lines(
        desk,
        global_paths=[path("out", end_call={"say": "Tschüs."})],
        session={
            "language": "de",
            "silence": {"prompts": ["Sind Sie noch da?"]},
            "voicemail": {"action": "leave_message", "text": "Bitte rufen Sie zurück."},
        },
    )
    texts = [text for _, text in found]
    wanted = ["Gern. Auf Wiederhören.", "Ich verbinde.", "Ich sehe nach.", "Sind Sie noch da?", "Tschüs."]
    assert set(wanted) <= set(texts)
    assert {phrase("again", "de"), phrase("time_limit", "de"), "Bitte rufen Sie zurück."} <= set(texts)


def test_an_agent_that_waits_or_asks_its_model_greets_with_nothing() -> None:
    said = [text for _, text in lines(agent("desk", {"mode": "wait", "text": "Hello."}))]
    assert "Hello." not in said
