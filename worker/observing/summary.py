"""One log line for each call: everything that one wants to search for afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import structlog

from runtime.session.event_log import CallLog
from runtime.session.ports import EventRow
from worker.observing.moments import FirstSound

__all__ = ["CallSummary", "Subject"]

_log = structlog.get_logger("call")


@dataclass(frozen=True, slots=True)
class Subject:
    """What answers: the workflow's name or id, and the number of its version; None where neither was found."""

    workflow: str | None = None
    version: int | None = None


class CallSummary:
    """Listens to the events of one call, and logs `call_summary` with its end.

    Callers' numbers stand under `pii_…` keys, which the log drops unless it is told otherwise; texts and values nowhere.
    """

    def __init__(self, log: CallLog, subject: Subject) -> None:
        self._row = log.row
        self._subject = subject
        self._first_sound = FirstSound(log)
        self._first_sound_ms: int | None = None
        self._counted: Counter[str] = Counter()
        self._agents: list[str] = []
        self._tools: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._responses: list[int] = []

    def __call__(self, row: EventRow) -> None:
        payload = row.payload
        self._counted[row.event_type] += 1
        if (first := self._first_sound.seconds(row)) is not None:
            self._first_sound_ms = round(first * 1000)
        match row.event_type:
            case "agent_entered":
                self._agents.append(payload.get("agent_name") or "")
            case "agent_turn" if payload.get("response_ms") is not None:
                self._responses.append(payload["response_ms"])
            case "tool_succeeded":
                self._tools[f"{payload['name']}: ok"] += 1
            case "tool_failed":
                self._tools[f"{payload['name']}: {payload['error_code']}"] += 1
            case "fault_raised":
                self._faults[f"{payload['component']}.{payload['code']}"] += 1
            case "call_ended":
                _log.info("call_summary", **self._who(payload), **self._how(payload))
            case _:
                pass

    def _who(self, ended: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "session_id": self._row.id,
            "organization_id": self._row.organization_id,
            "workflow": self._subject.workflow,
            "version": self._subject.version,
            "workflow_version_id": self._row.workflow_version_id,
            "channel": self._row.channel,
            "direction": self._row.direction,
            "is_test": self._row.is_test,
            "pii_from_number": self._row.from_number,
            "pii_to_number": self._row.to_number,
            "status": ended.get("status"),
            "reason": ended.get("reason"),
        }

    def _how(self, ended: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "duration_ms": ended.get("duration_ms"),
            "turns": ended.get("turns"),
            "agents": self._agents,
            "paths_taken": self._counted["path_taken"],
            "paths_refused": self._counted["path_refused"],
            "tools": dict(self._tools),
            "faults": dict(self._faults),
            "interruptions": self._counted["agent_interrupted"],
            "transfers": self._counted["transfer_started"],
            "response_p50_ms": round(median(self._responses)) if self._responses else None,
            "response_max_ms": max(self._responses, default=None),
            "first_sound_ms": self._first_sound_ms,
        }
