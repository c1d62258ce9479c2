"""What calls came to: a part of the store in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runtime.store import faults
from runtime.store.memory_tables import Tables

__all__ = ["Analyses"]


class Analyses(Tables):
    """The analyses of a `Store`."""

    async def save_analysis(self, session_id: str, analysis: Mapping[str, Any]) -> None:
        self._reach()
        if (row := self._calls.get(session_id)) is None:
            raise faults.no_call(session_id)
        self._calls[session_id] = replace(row, analysis=json.loads(json.dumps(dict(analysis), allow_nan=False)))
