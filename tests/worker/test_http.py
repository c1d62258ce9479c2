"""Health, readiness and metrics over real sockets."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest

from runtime.errors import UsageFault
from runtime.tasks import spawn
from tests.worker.supervised import command, told
from tests.worker.waiting import until
from worker.address import held
from worker.child import Status
from worker.http import healthz, readyz, serving
from worker.supervising.states import ProcessState
from worker.supervisor import Child, Timing, supervise

READY = Status(ready=True, calls=2, max_calls=5)


def process(
    number: int = 1, status: Status | None = READY, *, pid: int | None = 7, silent: bool = False
) -> ProcessState:
    return ProcessState(number, pid, status, silent, restarts=0)


@pytest.mark.parametrize(
    ("states", "healthy", "ready"),
    [
        ([process()], 200, 200),
        ([process(pid=None), process(2)], 200, 200),
        ([process(status=None)], 503, 503),
        ([process(pid=None)], 503, 503),
        ([process(silent=True)], 503, 503),
        ([process(status=Status(False, 0, 5, why="LiveKit refuses the key"))], 200, 503),
        ([process(status=Status(True, 3, 5, draining=True))], 200, 503),
        ([process(status=Status(True, 3, 5, draining=True)), process(2)], 200, 200),
    ],
)
def test_health_is_life_and_readiness_is_taking_calls(states: list[ProcessState], healthy: int, ready: int) -> None:
    assert healthz(states)[0] == healthy
    assert readyz(states)[0] == ready
    assert bool(readyz(states)[1]["reasons"]) or ready == 200


def test_the_reasons_are_said() -> None:
    states = [process(status=Status(False, 0, 5, why="LiveKit refuses the key")), process(2, pid=None)]
    assert readyz(states)[1]["reasons"] == [
        "process 1: LiveKit refuses the key",
        "process 2: it has ended and is about to be started again",
    ]


async def test_a_port_that_another_holds_is_refused_before_either_answers() -> None:
    async with held("127.0.0.1", 0) as address:
        with pytest.raises(UsageFault, match=f"Port {address.port} on 127.0.0.1 is taken"):
            async with held("127.0.0.1", address.port):
                pass


async def test_an_address_of_somebody_else_is_refused_by_name() -> None:
    with pytest.raises(
        UsageFault, match=r"^Health and metrics cannot be served on 192\.0\.2\.1, port 8081: Cannot assign"
    ):
        async with held("192.0.2.1", 8081):
            pass


async def test_the_routes_answer_and_nothing_else_does() -> None:
    async with (
        held("127.0.0.1", 0) as address,
        serving(address, lambda: [process()], lambda _states: b"x 1\n"),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{address.port}", trust_env=False) as client,
    ):
        answers = {path: await client.get(path) for path in ("/healthz", "/readyz", "/metrics")}
        assert {answer.status_code for answer in answers.values()} == {200}
        assert answers["/metrics"].text == "x 1\n"
        assert answers["/metrics"].headers["content-type"].startswith("text/plain; version=")
        assert answers["/readyz"].json()["processes"][0]["calls"] == 2
        refused = [
            await client.get("/"),
            await client.get("/healthz/"),
            await client.get("/metrics/x?y"),
            await client.post("/healthz", content=b"x" * 3_000_000),
        ]
        assert {answer.status_code for answer in refused} == {404}
        assert {answer.headers["server"] for answer in (*answers.values(), *refused)} == {"patchbay"}
        assert (await client.head("/healthz")).status_code == 200


async def test_what_is_no_http_learns_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with held("127.0.0.1", 0) as address, serving(address, list, lambda _states: b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert b"aiohttp" not in answer
    assert b"nonsense" not in answer
    assert not caplog.records


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageFault, match=f"Port {port} on 127.0.0.1 is taken") as caught:
            async with held("127.0.0.1", port):
                pass
    assert "PATCHBAY_HTTP_PORT" in caught.value.remedy


async def test_an_address_of_somebody_else_is_named() -> None:
    with pytest.raises(UsageFault, match=r"192\.0\.2\.1") as caught:
        async with held("192.0.2.1", 8081):
            pass
    assert "PATCHBAY_HTTP_HOST" in caught.value.remedy


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def samples(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def test_a_supervised_worker_answers_for_all_its_processes(tmp_path: Path) -> None:
    port = free_port()
    steady, shaky = tmp_path / "steady", tmp_path / "shaky"
    steady.mkdir()
    shaky.mkdir()
    calls = {"PATCHBAY_MAX_CALLS": "3"}
    kept = [Child(command(steady, "count"), calls), Child(command(shaky, "count_and_crash_once"), calls)]
    timing = Timing(backoff_s=(0.05, 0.1))
    task = spawn(supervise(kept, host="127.0.0.1", port=port, timing=timing), name="test.supervise")
    try:
        await until(lambda: told(steady, "counted") and told(shaky, "counted"))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).json()["ready"] is True
            found = samples((await client.get("/metrics")).text)
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert found['patchbay_calls_refused_total{reason="full"}'] == 3  # one was counted by a process that is dead
    assert found["patchbay_event_log_lag_seconds"] == 2.5
    assert found["patchbay_event_log_depth"] == 14
    assert found["patchbay_event_log_fill_ratio"] == 0.5
    assert found['patchbay_calls_running{draining="false"}'] == 2
    assert found['patchbay_calls_max{draining="false"}'] == 6
    assert found['patchbay_processes{condition="ready"}'] == 2
    assert found["patchbay_process_restarts_total"] == 1
