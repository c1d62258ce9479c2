"""`patchbay workers`."""

from __future__ import annotations

import asyncio
import json

from runtime.session.fleet_ports import WorkerRow
from runtime.store.memory import MemoryStore
from tests.cli.conftest import Patchbay


def test_no_worker_is_no_error(patchbay: Patchbay, store: MemoryStore) -> None:
    result = patchbay("workers")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "patchbay worker" in result.stderr
    assert json.loads(patchbay("workers", "--json").stdout) == {"workers": []}


def test_workers_are_listed_with_what_they_carry(patchbay: Patchbay, store: MemoryStore) -> None:
    asyncio.run(store.beat(WorkerRow("h1-42", "h1", "0.3.0", "busy", 40, 39, "eu-central"), [], 5))
    shown = patchbay("workers")
    assert shown.exit_code == 0
    assert all(word in shown.stdout for word in ("h1-42", "h1", "eu-central", "0.3.0", "busy", "39/40", "s ago"))
    (found,) = json.loads(patchbay("workers", "--json").stdout)["workers"]
    assert {key: found[key] for key in ("id", "host", "version", "state", "capacity", "calls", "region")} == {
        "id": "h1-42",
        "host": "h1",
        "version": "0.3.0",
        "state": "busy",
        "capacity": 40,
        "calls": 39,
        "region": "eu-central",
    }
    assert found["started_at"] <= found["seen_at"]
