"""`python -m benchmarks starting`: how long the command line takes to answer, and a worker to stand ready."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import psutil

from benchmarks.processes import SideDied
from benchmarks.report import Found
from runtime.store.opening import open_store
from tests.fakes.livekit_server import KEY, SECRET, free_port, livekit_server, server_binary

__all__ = ["measure"]

_PATCHBAY: Final = Path(sys.executable).parent / "patchbay"
_READY_WITHIN_S: Final = 60.0
_LOOK_S: Final = 0.02


async def measure(found: Found, rounds: int, left_out: list[str]) -> None:
    """Add seconds of `patchbay --help`, and from a worker's start until it is registered and ready, with their CPU."""
    _help()  # compiles what is imported
    for _ in range(rounds * 3):
        found.add("patchbay", _help())
    if server_binary() is None:
        left_out.append("worker_start_s: there is no livekit-server; run `make livekit`.")
        return
    with tempfile.TemporaryDirectory() as name, livekit_server(Path(name)) as server:
        home = Path(name) / "home"
        async with open_store(None, home):  # as in production the database is there before the worker
            for number in range(rounds + 1):
                took = _worker(server.url, home, Path(name))
                if number:
                    found.add("patchbay", took)


def _help() -> dict[str, float]:
    start, cpu = time.perf_counter(), _children_cpu_s()
    subprocess.run([_PATCHBAY, "--help"], check=True, capture_output=True)
    return {"cli_help_s": time.perf_counter() - start, "cli_help_cpu_s": _children_cpu_s() - cpu}


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _worker(url: str, home: Path, folder: Path) -> dict[str, float]:
    """Return the seconds from the start of `patchbay worker` until it says that it is ready, which it is once registered.

    Beside them the CPU of the supervisor and its process until then.
    """
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    told = {
        "PATCHBAY_HOME": str(home),
        "PATCHBAY_HTTP_PORT": str(port),
        "LIVEKIT_URL": url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
    }
    start = time.perf_counter()
    with (
        (folder / "worker.log").open("w") as log,
        subprocess.Popen([_PATCHBAY, "worker"], stdout=log, stderr=log, cwd=folder, env=kept | told) as worker,
    ):
        try:
            while not _ready(port):
                if worker.poll() is not None or time.perf_counter() - start > _READY_WITHIN_S:
                    raise SideDied(f"the worker is not ready: {(folder / 'worker.log').read_text()[-2000:]}")
                time.sleep(_LOOK_S)
            return {"worker_start_s": time.perf_counter() - start, "worker_start_cpu_s": _cpu_s(worker.pid)}
        finally:
            worker.terminate()


def _cpu_s(pid: int) -> float:
    supervisor = psutil.Process(pid)
    used = [process.cpu_times() for process in (supervisor, *supervisor.children(recursive=True))]
    return sum(each.user + each.system for each in used)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
