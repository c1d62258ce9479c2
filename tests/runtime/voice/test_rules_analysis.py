"""What the stand-in for a model records of a call that is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.voice.analyst import ModelAnalyst
from tests.runtime.voice.ended import ANALYSIS, ended, named

Json = Any


def spoken(*pairs: tuple[str, str]) -> Sequence[tuple[str, Mapping[str, Json]]]:
    return [
        ("user_turn", {"text": text}) if who == "caller" else ("agent_turn", {"agent_name": who, "spoken_text": text})
        for who, text in pairs
    ]


async def test_the_stand_in_picks_out_of_the_transcript_what_it_can() -> None:
    analysis = await ModelAnalyst(named(offline=True)).analyse(ended())
    assert analysis.summary == "The caller said: “My order has not come”. Then: To Orders. The caller hung up."
    assert analysis.fields == {"order_number": "4271", "delivery_day": None, "refund": None}
    assert (analysis.provider, analysis.model, analysis.error_code) == ("local", "rules", "")
    assert analysis.input_tokens > 50
    assert analysis.output_tokens > 10


async def test_the_stand_in_hears_answers_and_knows_an_outcome_by_its_words() -> None:
    fields = [
        {"name": "guest_name", "data_type": "person_name", "description": "the guest's name"},
        {"name": "reason", "description": "the reason for the call"},
        {"name": "email", "data_type": "email"},
        {"name": "day", "data_type": "date", "description": "the day of the appointment"},
    ]
    talk = spoken(
        ("caller", "Hello."),
        ("Desk", "What is the reason for your call?"),
        ("caller", "My heating is broken."),
        ("Desk", "May I have the guest's name?"),
        ("caller", "Ada Lovelace"),
        ("caller", "And my mail is ada at example dot com, I am in on the third of June."),
        ("Desk", "I will put you through."),
    )
    call = ended(*talk, ("call_ended", {"reason": "transferred"}), analysis={**ANALYSIS, "fields": fields})
    analysis = await ModelAnalyst(named(offline=True)).analyse(call)
    assert analysis.outcome == "transferred"
    assert analysis.fields == {
        "guest_name": "Ada Lovelace",
        "reason": "My heating is broken.",
        "email": "ada@example.com",
        "day": "2026-06-03",
    }
    assert analysis.summary == "The caller said: “My heating is broken”. The call was transferred to a person."
