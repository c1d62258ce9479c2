"""What calls came to: a part of the store on Postgres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime.store import faults, queries, rows
from runtime.store.pool import Database

__all__ = ["Analyses"]


class Analyses(Database):
    """The analyses of a `Store`."""

    async def save_analysis(self, session_id: str, analysis: Mapping[str, Any]) -> None:
        content = rows.as_json(dict(analysis))
        if not await self.fetch(queries.CALL_ANALYSIS, rows.as_uuid(session_id), content):
            raise faults.no_call(session_id)
