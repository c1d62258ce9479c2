"""The events of a real call, for benchmarks that need payloads as they are: text turns, a tool, a path, usage, the end."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.fakes import MOVE_ON, ORDER, PLAIN, TOPIC
from benchmarks.patchbay_side import Patchbay
from runtime.session.ports import EventRow
from runtime.store.memory import MemoryStore

__all__ = ["recorded_events"]

# The benchmark's agents have short names for ids; a workflow that was built has these.
_IDS = {"desk": "0f8fad5b-d9cb-469f-a165-70867728950e", "billing": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}


async def recorded_events() -> list[EventRow]:
    """Return the events of a scripted call, in order; takes a second."""
    store = MemoryStore()
    with tempfile.TemporaryDirectory() as folder:
        async with Patchbay.opened(store, Path(folder)) as side, side.open() as talk:
            for text in (PLAIN, ORDER, TOPIC, MOVE_ON, PLAIN):
                await talk.turn(text)
    organization = await store.ensure_organization("benchmark")
    (call,) = await store.calls(organization.id)
    return [_as_built(event) for event in await store.events(call.id)]


def _as_built(event: EventRow) -> EventRow:
    payload = {key: _IDS.get(value, value) if isinstance(value, str) else value for key, value in event.payload.items()}
    agent_id = None if event.agent_id is None else _IDS[event.agent_id]
    return EventRow("", "", event.seq, event.event_type, payload, agent_id, event.occurred_at)
