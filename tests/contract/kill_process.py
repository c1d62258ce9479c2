"""Processes that write many calls' events to a real store and say what they have written; each is killed in the middle of it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import random
import signal
import struct
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from runtime.logging import configure_logging
from runtime.session.event_log import CallLog, EventLog, Tuning
from runtime.session.ports import CallRow
from runtime.store.postgres import PostgresStore

_CALLS = 20
_LONGEST = 60
_ACK = struct.Struct("16sI")
_F_SETPIPE_SZ = 1031
# Small files, so that some die while they change to the next.
_TUNING = Tuning(segment_bytes=20_000, sync_s=0.02, look_s=0.05, drain_wait_s=0.02, retry_s=(0.01, 0.1))


async def _load(url: str, organization_id: str, folder: Path, pipe: int) -> None:
    """Write for ever: calls begin, go on and end; a number is acknowledged once `write` has returned."""
    store = PostgresStore(url)
    log = await EventLog.open(folder, store, flush_s=0.01, tuning=_TUNING)
    calls = [_begin(log, organization_id, pipe) for _ in range(_CALLS)]
    while True:
        place = random.randrange(_CALLS)
        call = calls[place]
        if call.last_seq > random.randrange(_LONGEST * 20):
            _write(call, "call_ended", pipe)
            await call.close(replace(call.row, status="completed", ended_at=datetime.now(UTC)), timeout_s=0)
            calls[place] = _begin(log, organization_id, pipe)
        else:
            _write(call, "user_turn", pipe)
        await asyncio.sleep(0)


def _begin(log: EventLog, organization_id: str, pipe: int) -> CallLog:
    row = CallRow(str(uuid4()), organization_id, None, "phone", "inbound", is_test=False, started_at=datetime.now(UTC))
    call = log.open_call(row)
    _write(call, "call_started", pipe)
    return call


def _write(call: CallLog, event_type: str, pipe: int) -> None:
    payload = {"v": 1, "turn": 1, "elapsed_ms": 1, "n": call.last_seq + 1, "text": "x" * random.randrange(400)}
    if event_type == "call_ended":
        payload |= {"status": "completed", "reason": "agent_hangup", "variables": {}}
    event = call.write(event_type, payload, agent_id=None, occurred_at=datetime.now(UTC))
    os.write(pipe, _ACK.pack(bytes.fromhex(call.row.id.replace("-", "")), event.seq))


def main(url: str, organization_id: str, folder: str, kills: str) -> None:
    """Start one writer after the other, kill -9 each at a random moment, print what was acknowledged by session."""
    acknowledged: dict[str, int] = {}
    for number in range(int(kills)):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, _F_SETPIPE_SZ, 1024 * 1024)
        child = os.fork()  # importing everything anew would take a second each
        if child == 0:
            random.seed(number)
            asyncio.run(_load(url, organization_id, Path(folder), writer))
        os.close(writer)
        time.sleep(random.uniform(0.1, 0.6))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as pipe:
            said = pipe.read()
        for session, seq in _ACK.iter_unpack(said[: len(said) // _ACK.size * _ACK.size]):
            acknowledged[session.hex()] = seq
    sys.stdout.write(json.dumps(acknowledged))


if __name__ == "__main__":
    configure_logging("critical", "console")
    main(*sys.argv[1:])
