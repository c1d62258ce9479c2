"""Calls whose figures are known, for the tests of analytics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from runtime.session.ports import CallRow, EventRow, VersionRow
from runtime.store.postgres import PostgresStore
from tests.calls.runs import CallResult, Place, read, run_chat, script
from tests.contract.rows import a_call

__all__ = ["CALL", "CONFIG", "Told", "as_member", "told", "write"]

Json = Any
Connection = Any
Told = tuple[str, Mapping[str, Json]]
# Yesterday, so that what asks for the last days finds it, on whatever day the tests run.
START = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)

CONFIG: dict[str, Json] = {
    "agents": [
        {
            "id": "a",
            "name": "Desk",
            "instructions": "",
            "paths": [{"id": "p", "name": "To Billing", "required_variables": [{"name": "number"}]}],
        },
        {"id": "b", "name": "Billing", "instructions": ""},
    ]
}
_DESK = {"agent_id": "a", "agent_name": "Desk"}
_BILLING = {"agent_id": "b", "agent_name": "Billing"}
_PATH = {"path_id": "p", "path_name": "To Billing", "by": "model"}
_NUMBER = {"name": "number", "data_type": "digits", "source": "speech"}
_TOOL = {"tool_type": "http_request", "name": "check_order", "mocked": False}
_LLM = {
    "provider": "openai",
    "model": "gpt",
    "kind": "llm",
    "input_tokens": 1000,
    "cached_tokens": 200,
    "output_tokens": 50,
}
_STT = {"provider": "ears", "model": "one", "kind": "stt", "audio_seconds": 12.5, "cost": None}

# The number is asked for twice; then billing, where a tool fails and the caller hangs up.
CALL: Sequence[Told] = (
    ("call_started", {"channel": "phone", "caller": "+4930555123"}),
    ("agent_entered", {"elapsed_ms": 100, **_DESK, "cause": "entry", "path_id": None}),
    ("agent_turn", {"turn": 0, "elapsed_ms": 500, **_DESK, "text": "Hello", "interrupted": True, "tts_ttfb_ms": 90}),
    ("user_turn", {"turn": 1, "elapsed_ms": 2000, **_DESK, "text": "my bill", "stt_delay_ms": 110, "eou_delay_ms": 400}),
    ("path_requested", {"turn": 1, "elapsed_ms": 2100, **_DESK, **_PATH}),
    ("path_refused", {"turn": 1, "elapsed_ms": 2100, "caused_by": 5, **_DESK, **_PATH, "missing": ["number"], "reason": "missing"}),
    ("agent_turn", {"turn": 1, "elapsed_ms": 2900, **_DESK, "text": "Your number?", "interrupted": False, "llm_ttft_ms": 300, "response_ms": 800}),
    ("agent_turn", {"turn": 1, "elapsed_ms": 3000, **_DESK, "text": "Please.", "interrupted": False}),
    ("user_turn", {"turn": 2, "elapsed_ms": 6000, **_DESK, "text": "forty-two oh", "stt_delay_ms": 120, "eou_delay_ms": 500}),
    ("path_requested", {"turn": 2, "elapsed_ms": 6100, **_DESK, **_PATH, "values": {"number": "42 oh"}}),
    ("variable_rejected", {"turn": 2, "elapsed_ms": 6100, **_DESK, **_NUMBER, "raw": "42 oh", "attempt": 1, "why": "must be digits only, without other words or letters"}),
    (
        "path_refused",
        {
            "turn": 2, "elapsed_ms": 6100, "caused_by": 10, **_DESK, **_PATH, "reason": "invalid",
            "invalid": [{"name": "number", "value": "42 oh", "why": "must be digits only, without other words or letters"}],
        },
    ),
    ("agent_turn", {"turn": 2, "elapsed_ms": 7000, **_DESK, "text": "Again?", "interrupted": False, "response_ms": 1200}),
    ("user_turn", {"turn": 3, "elapsed_ms": 9000, **_DESK, "text": "4271", "stt_delay_ms": 130, "eou_delay_ms": 600}),
    ("path_requested", {"turn": 3, "elapsed_ms": 9100, **_DESK, **_PATH, "values": {"number": "4271"}}),
    ("variable_collected", {"turn": 3, "elapsed_ms": 9100, **_DESK, **_NUMBER, "value": "4271", "confirmed": True, "attempt": 1}),
    ("path_taken", {"turn": 3, "elapsed_ms": 9100, "caused_by": 15, **_DESK, **_PATH, "from_agent_id": "a", "to_agent_id": "b", "latency_ms": 100}),
    ("agent_exited", {"turn": 3, "elapsed_ms": 9100, **_DESK, "cause": "path", "path_id": "p", "dwell_ms": 9000, "turns": 3}),
    ("agent_entered", {"turn": 3, "elapsed_ms": 9100, **_BILLING, "cause": "path", "path_id": "p"}),
    ("usage_reported", {"turn": 3, "elapsed_ms": 9100, **_DESK, "scope": "stay", "usage": [_LLM, _STT]}),
    ("tool_started", {"turn": 3, "elapsed_ms": 9200, **_BILLING, **_TOOL, "tool_call_id": "1", "arguments": {"order": "4271"}}),
    ("tool_failed", {"turn": 3, "elapsed_ms": 14200, **_BILLING, **_TOOL, "tool_call_id": "1", "duration_ms": 5000, "error_code": "timeout"}),
    ("agent_turn", {"turn": 3, "elapsed_ms": 15000, **_BILLING, "text": "It takes a while.", "interrupted": False, "response_ms": 6000}),
    ("fault_raised", {"turn": 3, "elapsed_ms": 15100, **_BILLING, "component": "llm", "code": "slow", "message": "slow"}),
    ("usage_reported", {"turn": 3, "elapsed_ms": 16000, **_BILLING, "scope": "call", "usage": [{**_STT, "audio_seconds": 2.5}]}),
    ("agent_exited", {"turn": 3, "elapsed_ms": 16000, **_BILLING, "cause": "call_ended", "path_id": None, "dwell_ms": 6900, "turns": 0}),
    ("call_ended", {"turn": 3, "elapsed_ms": 16000, "status": "completed", "reason": "caller_hangup", "duration_ms": 16000, "turns": 3, "variables": {"number": "4271"}}),
)  # fmt: skip


async def write(
    store: PostgresStore, version: VersionRow, call: Sequence[Told] = CALL, *, close: bool = True, **fields: Any
) -> CallRow:
    """Put a call of these events into the store as the runtime does, and return its row, closed unless told not to be."""
    known = {"workflow_version_id": version.id, "channel": "phone", "is_test": False, "started_at": START}
    row = a_call(version.organization_id, **{**known, **fields})
    await store.open_call(row)
    await store.append(events(row, call))
    ended = replace(row, status="completed", end_reason="caller_hangup", ended_at=START + timedelta(seconds=16))
    if close:
        await store.close_call(ended)
    return ended


def events(row: CallRow, call: Sequence[Told], *, after: int = 0) -> list[EventRow]:
    """The rows of these events, numbered on from `after`."""
    return [
        EventRow(row.id, row.organization_id, after + n, kind, {"v": 1, **payload}, None, row.started_at, None)
        for n, (kind, payload) in enumerate(call, 1)
    ]


async def told(store: PostgresStore, organization_id: str, folder: Path, *scripts: str) -> list[CallResult]:
    """Hold real conversations of the front desk, store them as calls of one published version, and return what they left."""
    config = read("front_desk")
    version = await store.publish((await store.save_draft(organization_id, "front desk", config)).id)
    found = []
    for number, name in enumerate(scripts):
        result = await run_chat(config, script("front_desk", name), Place(folder / str(number)))
        row = replace(
            result.row, organization_id=organization_id, workflow_version_id=version.id, is_test=False, channel="phone"
        )
        await store.open_call(replace(row, ended_at=None, status="active", end_reason=None))
        await store.append([replace(event, organization_id=organization_id) for event in result.events])
        await store.close_call(row)
        found.append(result)
    return found


@asynccontextmanager
async def as_member(connection: Connection, organization_id: str, role: str = "viewer") -> AsyncIterator[UUID]:
    """Read as a member of the organization until the block ends, by the role `authenticated`."""
    user = uuid4()
    async with connection.transaction():
        await connection.execute(
            "insert into organization_member (organization_id, user_id, role) values ($1, $2, $3)",
            organization_id,
            user,
            role,
        )
        await connection.execute("set local role authenticated")
        await connection.execute("select set_config('request.jwt.claims', $1, true)", f'{{"sub": "{user}"}}')
        yield user
        await connection.execute("reset role")
