"""How late the loop is, and where it hangs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from runtime.session.event_log import EventLog
from runtime.store.memory import MemoryStore
from tests.worker.waiting import until
from worker.observing.loop_lag import LoopMonitor, watched_loop
from worker.observing.metrics import Metrics
from worker.observing.observers import Observers


async def test_every_beat_tells_how_late_it_is() -> None:
    lags: list[float] = []
    blocked: list[int] = []
    with watched_loop(LoopMonitor(lags.append, blocked.append, interval_s=0.01, blocked_s=5)):
        await until(lambda: len(lags) >= 5)
    assert all(lag >= 0 for lag in lags)
    assert blocked == []
    beats = len(lags)
    await asyncio.sleep(0.05)
    assert len(lags) == beats


def hang_here(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_loop_that_stands_still_says_where_and_for_how_long() -> None:
    lags: list[float] = []
    blocked: list[int] = []
    with capture_logs() as logs, watched_loop(LoopMonitor(lags.append, blocked.append, interval_s=0.02, blocked_s=0.2)):
        await until(lambda: lags)
        hang_here(1.0)
        await until(lambda: blocked)
    assert blocked[0] >= 200
    places = [entry["where"][-1] for entry in logs if entry["event"] == "loop_blocked"]
    assert [place.rpartition(" in ")[2] for place in places].count("hang_here") == 1


async def test_the_loop_and_the_log_of_a_process_are_measured(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    store = MemoryStore()
    store.late_seen = 2  # before anybody measured
    log = await EventLog.open(tmp_path, store, flush_s=0.01)
    with watched_loop(Observers(Metrics(registry)).loop_monitor(log, store)) as monitor:
        await until(lambda: registry.get_sample_value("patchbay_loop_lag_seconds_count"))
        await until(lambda: registry.get_sample_value("patchbay_late_events_total") == 2)
        store.late_seen = 5
        await until(lambda: registry.get_sample_value("patchbay_late_events_total") == 5)
        monitor._on_blocked(1500)
    await log.aclose()
    assert registry.get_sample_value("patchbay_loop_blocked_total") == 1
    assert registry.get_sample_value("patchbay_event_log_depth") == 0
    assert registry.get_sample_value("patchbay_event_log_fill_ratio") == log.fill


async def test_stopping_twice_is_stopping_once() -> None:
    monitor = LoopMonitor(lambda _lag: None, lambda _ms: None)
    monitor.start()
    monitor.stop()
    monitor.stop()
