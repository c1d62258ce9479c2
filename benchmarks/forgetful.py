"""A store that keeps nothing: what memory a process takes is then its own."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.session.fleet_ports import CheckpointRow
from runtime.session.ports import CallRow, EventRow
from runtime.store.memory import MemoryStore

__all__ = ["ForgetfulStore"]


class ForgetfulStore(MemoryStore):
    """Takes calls and their events, and drops them; `ended` counts the calls that were brought to their end."""

    ended = 0

    async def open_call(self, row: CallRow) -> None:
        del row

    async def append(self, events: Sequence[EventRow]) -> None:
        del events

    async def save_checkpoints(self, rows: Sequence[CheckpointRow]) -> None:
        del rows

    async def close_call(self, row: CallRow) -> bool:
        del row
        self.ended += 1
        return True
