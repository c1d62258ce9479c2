"""What a load test's calls left in the store: which words arrived, how the calls ended, what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final

from runtime.conversation.masking import MASK
from runtime.harness.load.results import CallReport
from runtime.session.ports import CallRow, EventRow, Store
from runtime.voice.local.wording import words_of

__all__ = ["Heard", "Stored", "compared", "read_stored"]

Json = Any
_ASKED_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Heard:
    """What arrived of what was said, in words and in utterances; one is lost where none of its words arrived."""

    words: int
    words_lost: int
    utterances: int
    utterances_lost: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A call as the store has it. `heard` is None where its transcript is masked or the caller said nothing.

    `faults` are `component/code`, `response_ms` the worker's own, `events` how many there are.
    """

    session_id: str
    status: str
    reason: str | None
    events: int
    heard: Heard | None
    faults: tuple[str, ...]
    response_ms: tuple[float, ...]


def compared(said: Sequence[str], transcripts: Sequence[str]) -> Heard | None:
    """Align the words of all that was said with those of all that was understood; None where that cannot be told.

    Both are read as they are spoken: `4271` is `four two seven one`.
    """
    if not said or any(MASK in text for text in transcripts):
        return None
    spoken = [(number, word) for number, text in enumerate(said) for word in words_of(text)]
    heard = [word for text in transcripts for word in words_of(text)]
    matcher = SequenceMatcher(None, [word for _, word in spoken], heard, autojunk=False)
    arrived = {at for block in matcher.get_matching_blocks() for at in range(block.a, block.a + block.size)}
    reached = {spoken[at][0] for at in arrived}
    return Heard(len(spoken), len(spoken) - len(arrived), len(said), len(said) - len(reached))


async def read_stored(
    store: Store, organization_id: str, calls: Sequence[CallReport], *, within_s: float = 15.0
) -> dict[int, Stored]:
    """Return what is stored of each call by its number, once all have ended or the time has passed.

    Calls that the store does not have are missing: it is another database than the worker's, or they never began.
    """
    wanted = {call.room for call in calls}
    rows: dict[str, CallRow] = {}
    try:
        async with asyncio.timeout(within_s):
            while len(_ended(rows)) < len(wanted):
                found = await store.calls(organization_id, limit=2 * len(wanted) + 50)
                rows = {row.room: row for row in found if row.room in wanted}
                if len(_ended(rows)) < len(wanted):
                    await asyncio.sleep(_ASKED_EVERY_S)
    except TimeoutError:
        pass
    return {
        call.number: _stored(rows[call.room], call, await store.events(rows[call.room].id))
        for call in calls
        if call.room in rows
    }


def _ended(rows: Mapping[str, CallRow]) -> list[CallRow]:
    return [row for row in rows.values() if row.ended_at is not None]


def _stored(row: CallRow, call: CallReport, events: Sequence[EventRow]) -> Stored:
    spoken = [each for each in _payloads(events, "user_turn") if each.get("by", "speech") == "speech"]
    said = [each.text for each in call.utterances]
    return Stored(
        session_id=row.id,
        status=row.status,
        reason=row.end_reason,
        events=len(events),
        heard=compared(said, [str(each.get("text", "")) for each in spoken]),
        faults=tuple(f"{each.get('component')}/{each.get('code')}" for each in _payloads(events, "fault_raised")),
        response_ms=tuple(
            float(each["response_ms"])
            for each in _payloads(events, "agent_turn")
            if each.get("response_ms") is not None
        ),
    )


def _payloads(events: Iterable[EventRow], event_type: str) -> list[Mapping[str, Json]]:
    return [event.payload for event in events if event.event_type == event_type]
