"""A supervisor with two worker processes, as `patchbay worker` starts them, and what they tell of themselves."""

from __future__ import annotations

import asyncio
import json
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from runtime.session.ports import CallRow, OrganizationRow
from runtime.settings import Settings
from runtime.store.postgres import PostgresStore
from tests.cli.console import Console
from tests.fakes.livekit_server import LiveKitServer, free_port
from tests.fakes.working import agent, ends
from tests.fakes.working_rooms import environment

__all__ = ["CANCEL", "Crew", "crew", "eventually", "pid_of"]

Json = Any
CANCEL = "i want to cancel my contract"


@dataclass
class Crew:
    """A supervisor with its workers, as another process, and what it tells. They write to `log`."""

    process: subprocess.Popen[bytes]
    port: int
    settings: Settings
    store: PostgresStore
    organization: OrganizationRow
    log: Path

    async def get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as response,
        ):
            return response.status, await response.text()

    async def ready(self) -> list[dict[str, Json]]:
        """Return the processes, as the health page describes them; none while it does not answer."""
        try:
            _, text = await self.get("/readyz")
        except aiohttp.ClientError:
            return []
        processes: list[dict[str, Json]] = json.loads(text)["processes"]
        return processes

    async def all_ready(self) -> bool:
        return [each["condition"] for each in await self.ready()] == ["ready", "ready"]

    def pids(self) -> list[int]:
        """Return the worker processes that live now, whether they are ready or not; no database is asked."""
        listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
        pairs = [line.split() for line in listed.splitlines()]
        return sorted(int(pid) for pid, parent in pairs if int(parent) == self.process.pid)

    async def row(self, room: str) -> CallRow | None:
        rows = await self.store.calls(self.organization.id)
        return next((row for row in rows if row.room == room), None)


def pid_of(worker_id: str) -> int:
    """Return the process of a worker."""
    return int(worker_id.rpartition("-")[2])


async def eventually(condition: Callable[[], Awaitable[bool]], *, within_s: float = 60.0) -> None:
    """Wait until what other processes do makes it true."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - what other processes do sets no event of ours
            await asyncio.sleep(0.1)


@asynccontextmanager
async def crew(
    server: LiveKitServer, url: str, folder: Path, *, max_calls: int = 2, workflow: Mapping[str, Json] | None = None
) -> AsyncIterator[Crew]:
    """Run `patchbay worker --processes 2`, ready; `workflow` answers all calls, by default one that `CANCEL` ends."""
    port = free_port()
    env = environment(
        server,
        url,
        PATCHBAY_AGENT_NAME=f"patchbay-{uuid.uuid4().hex[:6]}",
        PATCHBAY_HTTP_PORT=str(port),
        PATCHBAY_MAX_CALLS=str(max_calls),
        PATCHBAY_LOG="warning",
    )
    console = Console(folder, env)
    settings = Settings.load({**env, "PATCHBAY_HOME": str(console.home)}, folder)
    store = PostgresStore(url)
    organization = await _answered_by(
        store, workflow or agent(paths=[ends(CANCEL)], session={"silence": {"after_s": 120}})
    )
    log = folder / "workers.log"
    # A pipe that nobody reads is full some day, and who writes to it stands still.
    with log.open("wb") as written, console.running("worker", "--processes", "2", stderr=written.fileno()) as process:
        running = Crew(process, port, settings, store, organization, log)
        try:
            await eventually(running.all_ready)
            yield running
        finally:
            if process.poll() is None:  # its children end when it does
                process.terminate()
                await asyncio.to_thread(process.wait, 30)
            await store.aclose()


async def _answered_by(store: PostgresStore, workflow: Mapping[str, Json]) -> OrganizationRow:
    """Have a workflow answer all calls."""
    organization = await store.ensure_organization("local")
    version = await store.save_draft(organization.id, "desk", workflow)
    await store.publish(version.id)
    await store.set_default_workflow(organization.id, "desk")
    return organization
