"""`patchbay worker` as it is started: what keeps it from starting, and two processes of it under one supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.voice.rooms import join_token
from tests.cli.console import Console
from tests.fakes.crew import CANCEL, Crew, crew, eventually, pid_of
from tests.fakes.databases import Databases
from tests.fakes.livekit_server import LiveKitServer, free_port, livekit_server
from tests.fakes.room_caller import RATE, RoomCaller
from tests.fakes.speech import take
from tests.fakes.working_rooms import a_room, environment
from tests.worker.waiting import until

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with livekit_server(tmp_path_factory.mktemp("livekit")) as server:
        yield server


async def _refusal(folder: Path, env: dict[str, str]) -> str:
    """Run a worker that cannot start; return what it says."""
    folder.mkdir()
    console = Console(folder, {**env, "PATCHBAY_HTTP_PORT": str(free_port()), "PATCHBAY_LOG": "warning"})
    done = await asyncio.to_thread(console.run, "worker", code=3)
    assert not done.out
    return done.err


async def test_a_worker_that_cannot_reach_its_server_says_so_once(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path
) -> None:
    url = await databases.migrated()
    nobody = f"ws://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    wrong, away = await asyncio.gather(
        _refusal(tmp_path / "wrong", environment(livekit, url, LIVEKIT_API_SECRET="0" * 40)),
        _refusal(tmp_path / "away", environment(livekit, url, LIVEKIT_URL=nobody)),
    )
    assert wrong.count("refuses LIVEKIT_API_KEY and LIVEKIT_API_SECRET") == 1
    assert away.count(f"LiveKit does not answer at {nobody}") == 1
    for told in (wrong, away):
        assert len(told.strip().splitlines()) == 2, told
        assert "0000" not in told


# ------------------------------------------------------------ two processes


async def test_two_processes_share_the_calls_and_those_of_one_that_is_killed_go_on_in_its_successor(
    livekit: LiveKitServer, databases: Databases, tmp_path: Path
) -> None:
    rooms = [a_room(), a_room()]
    async with crew(livekit, await databases.migrated(), tmp_path) as workers:
        tokens = [join_token(workers.settings, room, "anna") for room in rooms]
        async with RoomCaller(livekit.url, tokens[0]) as anna, RoomCaller(livekit.url, tokens[1]) as ben:
            await asyncio.gather(anna.hears(0.0), ben.hears(0.0))
            await asyncio.gather(anna.silence(0.7), ben.silence(0.7))
            assert [each["calls"] for each in await workers.ready()] == [1, 1]
            status, metrics = await workers.get("/metrics")
            # LiveKit's task of the load counts in the same folder.
            assert (status, _counted(metrics), "lk_agents_worker_load{" in metrics) == (200, 2.0, True)
            lost, kept = [await workers.row(room) for room in rooms]
            assert lost is not None
            assert kept is not None
            assert lost.worker_id is not None
            os.kill(pid_of(lost.worker_id), signal.SIGKILL)
            killed_at = anna.now
            await eventually(workers.all_ready)
            await anna.hears(killed_at)
            await anna.silence(0.7)
            assert sorted(each["restarts"] for each in await workers.ready()) == [0, 1]
            workers.process.terminate()  # drains: the calls go on
            await eventually(lambda: _draining(workers))
            await asyncio.gather(anna.say(take(CANCEL, RATE)), ben.say(take(CANCEL, RATE)))
            await until(lambda: anna.left.is_set() and ben.left.is_set())
            await asyncio.to_thread(workers.process.wait, 30)
        ended = await workers.row(rooms[1])
        resumed = await workers.row(rooms[0])
    assert workers.process.returncode == 0
    assert ended is not None
    assert resumed is not None
    assert (ended.status, ended.end_reason) == ("completed", "agent_hangup")
    assert (resumed.status, resumed.end_reason) == ("completed", "agent_hangup")
    assert resumed.worker_id not in {lost.worker_id, kept.worker_id}


async def _draining(workers: Crew) -> bool:
    return "draining" in {each["condition"] for each in await workers.ready()}


def _counted(metrics: str) -> float:
    """Return how many calls have begun, of all processes."""
    lines = [line for line in metrics.splitlines() if line.startswith("patchbay_calls_started_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
