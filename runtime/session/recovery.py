"""A call as its stored events and its newest checkpoint tell it, for another worker to go on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from runtime.conversation import events as ev
from runtime.conversation.folding import apply, skip
from runtime.conversation.state import UNREADABLE, CallState, Running
from runtime.errors import NotFound, PatchbayError
from runtime.session.fleet_ports import CheckpointRow
from runtime.session.ports import CallRow, EventRow
from runtime.session.retelling import Numbered, is_secret, item_id, retold

__all__ = ["CHECKPOINT_BYTES", "Decrypt", "Recovered", "RecoveryStore", "SavedItem", "checkpoint_text", "recover"]

Json = Any
Decrypt = Callable[[str], str]
"""Opens a Fernet token; raises PatchbayError where no key does."""

CHECKPOINT_BYTES = 48_000
"""Of a checkpoint's plain text, so that its token stays under 64 KiB."""
CUT_TEXT = 1000
"""Characters that a text of the newest turn keeps where even that turn is too large."""
_CUT_ITEMS = 8
_SECRET_TURNS = 100
_FRAME_BYTES = 6000
_LISTED = 5


class RecoveryStore(Protocol):
    """What recovery reads."""

    async def call(self, session_id: str) -> CallRow: ...

    async def events(self, session_id: str) -> list[EventRow]: ...

    async def checkpoint(self, session_id: str) -> CheckpointRow | None: ...


@dataclass(frozen=True, slots=True)
class Recovered:
    """A call that somebody else ran. It has not begun where `state.started` is false: then it begins as new.

    `history` are LiveKit chat items as dicts, oldest first: the checkpoint's, and what the events tell since; `retold`
    is the same from the events alone. `secret_turns` are ids of caller's messages in which something sensitive was
    awaited. `in_flight` are tools that had not ended, `speech_cut` tells whether somebody was owed an answer or in the
    middle of one. `last_at` and `elapsed_ms` are the last event's. `forgotten` are sensitive variables whose values no key opens.
    `faults` are (code, message), to be told in the call.
    """

    row: CallRow
    state: CallState
    last_seq: int
    last_at: datetime
    elapsed_ms: int = 0
    history: Sequence[Mapping[str, Json]] = ()
    retold: Sequence[Mapping[str, Json]] = ()
    secret_turns: frozenset[str] = frozenset()
    in_flight: tuple[Running, ...] = ()
    speech_cut: bool = False
    forgotten: tuple[str, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()


async def recover(store: RecoveryStore, session_id: str, *, decrypt: Decrypt) -> Recovered | None:
    """Return the call as the store has it, or None where there is nothing to resume: it has ended, or is gone.

    What cannot be read (a wrong key, a damaged checkpoint) is left out and told in `faults`. Raises `StoreUnreachable`.
    """
    try:
        row = await store.call(session_id)
    except NotFound:
        return None
    if row.status != "active" or row.ended_at is not None:
        return None
    events = await store.events(session_id)
    if any(event.event_type == "call_ended" for event in events):
        return None
    if not events or events[0].event_type != "call_started":
        return Recovered(row, CallState(), events[-1].seq if events else 0, row.started_at)
    reading = _read(events, decrypt)
    return _recovered(row, events, reading, await store.checkpoint(session_id), decrypt)


@dataclass(frozen=True, slots=True)
class SavedItem:
    """A chat item as a checkpoint holds it: `line` is LiveKit's, as JSON."""

    id: str
    by_caller: bool
    line: bytes

    @classmethod
    def of(cls, item: Mapping[str, Json]) -> SavedItem:
        """Return it of a chat item as a dict."""
        return cls(str(item.get("id")), item.get("role") == "user", _line(item))


def checkpoint_text(items: Sequence[SavedItem], secret_turns: Sequence[str]) -> str:
    """Return chat items (oldest first) as a checkpoint's plain text, at most `CHECKPOINT_BYTES`.

    The oldest items go first; of the newest turn's, only long texts are cut.
    """
    newest = next((at for at in range(len(items) - 1, -1, -1) if items[at].by_caller), 0)
    kept = [item.line for item in items[newest:]]
    size = sum(map(len, kept))
    if size > CHECKPOINT_BYTES - _FRAME_BYTES:
        cut = [_line(_cut(from_json(line))) for line in kept]
        kept = [*cut[:1], *cut[1:][-_CUT_ITEMS:]]
        size = sum(map(len, kept))
    older: list[bytes] = []
    for item in reversed(items[:newest]):
        size += len(item.line) + 1
        if size > CHECKPOINT_BYTES - _FRAME_BYTES:
            break
        older.append(item.line)
    lines = b",".join((*reversed(older), *kept)).decode()
    ids = {item.id for item in items}
    secret = json.dumps([each for each in secret_turns if each in ids][-_SECRET_TURNS:])
    return f'{{"v":1,"secret_turns":{secret},"items":[{lines}]}}'


# ------------------------------------------------------------ the events


@dataclass(slots=True)
class _Reading:
    """The facts of a call with their numbers, the state they fold to, and what of them could not be read."""

    facts: list[Numbered] = field(default_factory=list)
    state: CallState = field(default_factory=CallState)
    unread: list[int] = field(default_factory=list)
    sealed: list[int] = field(default_factory=list)

    @property
    def forgotten(self) -> tuple[str, ...]:
        pending, known = self.state.pending, self.state.known
        held = {name: each.value for name, each in pending.items()} | {name: each.value for name, each in known.items()}
        return tuple(name for name, value in held.items() if value == UNREADABLE)

    def faults(self) -> list[tuple[str, str]]:
        """Return what is to be told of it, without what any of it holds."""
        told = []
        if self.sealed:
            told.append(("secrets_unreadable", f"No key opens the sensitive values of events {_listed(self.sealed)}."))
        if self.unread:
            told.append(("events_unreadable", f"Events {_listed(self.unread)} are of no form that this release knows."))
        return told


def _read(events: Sequence[EventRow], decrypt: Decrypt) -> _Reading:
    reading = _Reading()
    for event in events:
        secret = None
        if event.secret is not None:
            try:
                secret = json.loads(decrypt(event.secret))
            except (PatchbayError, ValueError):
                reading.sealed.append(event.seq)
        state = replace(reading.state, seq=event.seq - 1)
        try:
            fact = ev.fact_from_row(event.event_type, event.payload, event.occurred_at, secret)
            reading.state = apply(state, fact)
        except (KeyError, ValidationError):
            reading.unread.append(event.seq)
            reading.state = skip(state)
        else:
            reading.facts.append((event.seq, fact))
    return reading


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:_LISTED])) + (" …" if len(numbers) > _LISTED else "")


def _recovered(
    row: CallRow, events: Sequence[EventRow], reading: _Reading, saved: CheckpointRow | None, decrypt: Decrypt
) -> Recovered:
    last, state, faults = events[-1], reading.state, reading.faults()
    items, secret_turns, after = _opened(saved, decrypt, faults)
    answered = next((fact.at for _, fact in reading.facts if isinstance(fact, ev.AgentEntered)), None)
    told = frozenset(item_id(seq) for seq, fact in reading.facts if is_secret(fact))
    return Recovered(
        row=replace(row, answered_at=row.answered_at or answered),
        state=state,
        last_seq=last.seq,
        last_at=last.occurred_at,
        elapsed_ms=max(fact.elapsed_ms for _, fact in reading.facts),
        history=(*items, *retold(reading.facts, after)),
        retold=retold(reading.facts),
        secret_turns=told | secret_turns,
        in_flight=tuple(state.tools.values()),
        speech_cut=state.agent_id is not None and (state.owed or not state.spoke_here),
        forgotten=reading.forgotten,
        faults=tuple(faults),
    )


# ------------------------------------------------------------ the checkpoint


def _opened(
    saved: CheckpointRow | None, decrypt: Decrypt, faults: list[tuple[str, str]]
) -> tuple[list[Mapping[str, Json]], frozenset[str], int]:
    """Return the checkpoint's items, its secret turns, and the event it was taken at; nothing where it cannot be read."""
    if saved is None:
        return [], frozenset(), 0
    try:
        read = json.loads(decrypt(saved.ciphertext))
    except PatchbayError:
        faults.append(("checkpoint_unreadable", "No key opens the checkpoint; the history is told from the events."))
        return [], frozenset(), 0
    except ValueError:
        read = None
    match read:
        case {"v": 1, "items": list(items), "secret_turns": list(turns)} if all(
            isinstance(each, dict) for each in items
        ):
            return items, frozenset(map(str, turns)), saved.seq
    faults.append(("checkpoint_damaged", "The checkpoint is damaged; the history is told from the events."))
    return [], frozenset(), 0


def _line(item: Mapping[str, Json]) -> bytes:
    try:
        return to_json(item)
    except PydanticSerializationError:  # half a character, which a model may have written
        return json.dumps(dict(item), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _cut(item: Mapping[str, Json]) -> dict[str, Json]:
    """Shorten what is long; arguments stay JSON."""
    cut: dict[str, Json] = dict(item)
    if isinstance(texts := item.get("content"), list):
        cut["content"] = [text[:CUT_TEXT] if isinstance(text, str) else text for text in texts[:4]]
    if isinstance(output := item.get("output"), str):
        cut["output"] = output[:CUT_TEXT]
    if len(str(item.get("arguments", ""))) > CUT_TEXT:
        cut["arguments"] = "{}"
    return cut
