"""Calls from LiveKit: registers with the server, takes the jobs there is room for, and answers each on one event loop."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from typing import Final, Protocol

import structlog
from livekit import api
from livekit.agents import AgentServer, JobContext, JobRequest
from livekit.agents.job import JobExecutorType, RunningJobInfo

from runtime.errors import Unreachable
from runtime.session.ports import CallRow
from runtime.settings import Settings
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.rooms import Server, agent_token, check, open_api
from worker.legs import Leg
from worker.rooms.ffi import open_client
from worker.rooms.jobs import LoopJob
from worker.rooms.leg import CALLER_WITHIN_S, Nobody, RoomJob, RoomLeg

__all__ = ["Desk", "RoomSource", "open_rooms"]

_log = structlog.get_logger("rooms")

_REGISTERED_WITHIN_S: Final = 15.0
_FOR_EVER: Final = 1_000_000_000
_METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"


class Desk(Protocol):
    """Where calls are answered and counted."""

    def has_room(self) -> bool:
        """Whether one more call is taken."""
        ...

    def load(self) -> float:
        """Return how full the process is, from 0 to 1. Asked from another thread: read it, change nothing."""
        ...

    def refused(self) -> None:
        """Count a job that was left to others."""
        ...

    def counted(self) -> AbstractContextManager[None]:
        """Count a call, from the moment it is accepted until it is over."""
        ...

    async def answer(self, leg: Leg) -> bool:
        """Run the whole call, and return whether it went well. Never raises."""
        ...

    async def confirm(self, doubted: bool) -> None:
        """Make sure that calls of another worker's were abandoned."""
        ...


class RoomSource:
    """The worker's place at a LiveKit server. Everything happens on the event loop it was started on."""

    def __init__(
        self, settings: Settings, desk: Desk, livekit: api.LiveKitAPI, *, caller_within_s: float = CALLER_WITHIN_S
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._livekit = livekit
        self._caller_within_s = caller_within_s
        self._draining = False
        self._rooms: dict[str, LoopJob] = {}
        self._places: dict[str, ExitStack] = {}
        self._jobs: set[LoopJob] = set()
        self._rejoined: dict[str, RoomLeg] = {}
        self._server = _server(settings, self)
        self._running: asyncio.Task[None] | None = None
        self._drain: asyncio.Task[None] | None = None

    @property
    def registered(self) -> bool:
        """Whether the server knows the worker at this moment; while it is away it is looked for without end."""
        running = self._running is not None and not self._running.done()
        return running and self._server.id != "unregistered" and not self._server._connecting  # noqa: SLF001 - nowhere else

    @property
    def worker_id(self) -> str:
        """The server's own name for this worker, another one after each time it was away."""
        return self._server.id

    async def start(self) -> None:
        """Register; raises `Unreachable`, with one message, where that cannot be."""
        await check(self._settings)
        registered = asyncio.Event()
        self._server.once("worker_started", self._take_jobs_over)
        self._server.on("worker_registered", lambda *_: registered.set())
        waiting = spawn(registered.wait(), name="livekit-registration")
        with _metrics_kept(until_started=self._server):
            self._running = spawn(self._server.run(), name="livekit-worker")
            both = {self._running, waiting}
            await asyncio.wait(both, timeout=_REGISTERED_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        if not registered.is_set():
            await cancel_and_wait(waiting)
            await self.aclose()
            raise Unreachable(
                f"LiveKit at {self._settings.livekit_url} answers, but does not take this worker on.",
                remedy="Check that LIVEKIT_URL is the server itself and that what lies between lets websockets through.",
            )

    def drain(self) -> None:
        """Take no new jobs from now on; calls that run go on. Idempotent."""
        if not self._draining:
            self._draining = True
            self._drain = spawn(self._server.drain(timeout=None), name="livekit-drain")

    async def stopped(self) -> None:
        """Wait until the source has stopped by itself, which it does not do while all is well."""
        assert self._running is not None
        await asyncio.wait({self._running})

    async def aclose(self) -> None:
        """Leave the server; a call that still runs is ended as if it had been taken back. Idempotent."""
        self._draining = True
        if self._drain is not None:  # it holds the lock that closing needs until the last call is over
            await cancel_and_wait(self._drain)
        for leg in self._rejoined.values():
            leg.lost()
        await asyncio.gather(*(job.end() for job in self._jobs))
        await self._server.aclose()
        if self._running is not None:
            await cancel_and_wait(self._running)

    @asynccontextmanager
    async def rejoined(self, row: CallRow, epoch: int) -> AsyncIterator[RoomLeg]:
        """Yield the leg of a call whose worker has died; raises `Nobody` where its room cannot be joined.

        The room is joined at once and not by a dispatch, which would take its way through the server and could reach
        a worker that does not own the call.
        """
        assert row.room is not None
        token = agent_token(self._settings, row.room, f"agent-{row.id[:13]}-{epoch}")
        order = RoomJob(Server.of(self._settings).url, token, row.room)
        leg = await RoomLeg.rejoin(order, self._livekit, row, self._desk.confirm)
        self._rejoined[row.room] = leg
        try:
            yield leg
        finally:
            if self._rejoined.get(row.room) is leg:
                del self._rejoined[row.room]
            await leg.aclose()

    # ------------------------------------------------------------ jobs

    def load(self) -> float:
        """Return what the server is told: a full or draining worker is asked last, and says no."""
        return 1.0 if self._draining else min(1.0, max(0.0, self._desk.load()))

    async def asked(self, request: JobRequest) -> None:
        """Take a job or leave it to another worker."""
        if self._is_in(request.room.name):  # a room that was lost with its server was made again by its caller
            await request.reject(terminate=True)
        elif self._draining or not self._desk.has_room():
            _log.info("job_refused", room=request.room.name, draining=self._draining)
            self._desk.refused()
            await request.reject(terminate=False)
        else:
            await self._accept(request)

    async def _accept(self, request: JobRequest) -> None:
        place = ExitStack()
        place.enter_context(self._desk.counted())
        self._places[request.id] = place
        try:
            await request.accept()
        finally:
            if (unused := self._places.pop(request.id, None)) is not None:  # the server gave the job to nobody
                unused.close()

    def _take_jobs_over(self) -> None:
        """Have jobs launched on this loop.

        LiveKit's executors give each job a process or a thread with an event loop of its own; log, store and clients
        of a worker belong to one loop. What a job is launched by has no public place to be said, hence the private name.
        """
        self._server._proc_pool.launch_job = self._launch  # type: ignore[method-assign]  # noqa: SLF001

    async def _launch(self, info: RunningJobInfo) -> None:
        place = self._places.pop(info.job.id, ExitStack())
        job = LoopJob(info, lambda: self._answer(job, place))
        pool = self._server._proc_pool  # noqa: SLF001 - as above
        self._jobs.add(job)
        pool.processes.append(job)
        await job.start()
        pool.emit("process_job_launched", job)
        spawn(self._until_over(job), name="livekit-job")

    async def _until_over(self, job: LoopJob) -> None:
        await job.join()
        self._jobs.discard(job)
        pool = self._server._proc_pool  # noqa: SLF001 - as above
        pool.emit("process_closed", job)  # tells the server how it went
        pool.processes.remove(job)

    async def _answer(self, job: LoopJob, place: ExitStack) -> bool:
        info = job.running_job
        assert info is not None
        name = info.job.room.name
        with place:
            self._rooms[name] = job
            try:
                order = RoomJob(info.url, info.token, name, info.job.metadata)
                leg = await RoomLeg.open(
                    order, self._livekit, caller_within_s=self._caller_within_s, confirm=self._desk.confirm
                )
                job.leg = leg
                try:
                    return await self._desk.answer(leg)
                finally:
                    await leg.aclose()
            except Nobody as error:
                _log.warning("room_without_caller", room=name, why=error.message)
                return False
            finally:
                if self._rooms.get(name) is job:
                    del self._rooms[name]

    def _is_in(self, room: str) -> bool:
        """Whether a call goes on in the room; one that is only still being stored does not keep the next caller out."""
        if (rejoined := self._rejoined.get(room)) is not None and not rejoined.closed:
            return True
        job = self._rooms.get(room)
        return job is not None and (job.leg is None or not job.leg.closed)


@asynccontextmanager
async def open_rooms(
    settings: Settings, desk: Desk, *, caller_within_s: float = CALLER_WITHIN_S
) -> AsyncIterator[RoomSource]:
    """Yield a source that is registered with the server; raises `Unreachable`, once, where that cannot be.

    A job into whose room no caller has come within `caller_within_s` seconds is given up.
    """
    open_client()
    async with open_api(settings) as livekit:
        source = RoomSource(settings, desk, livekit, caller_within_s=caller_within_s)
        await source.start()
        try:
            yield source
        finally:
            await source.aclose()


def _server(settings: Settings, source: RoomSource) -> AgentServer:
    """Return LiveKit's server, with its web page on a port of the machine's own and admission left to the desk."""
    there = Server.of(settings)
    server = AgentServer(
        job_executor_type=JobExecutorType.THREAD,
        num_idle_processes=0,
        load_threshold=math.inf,
        load_fnc=source.load,
        max_retry=_FOR_EVER,
        ws_url=there.url,
        api_key=there.api_key,
        api_secret=there.api_secret,
        host="127.0.0.1",
        port=0,
    )
    server.rtc_session(_never, agent_name=settings.agent_name, on_request=source.asked)
    return server


@contextmanager
def _metrics_kept(*, until_started: AgentServer) -> Iterator[None]:
    """Hide the folder of the processes' metrics from LiveKit's server, which empties it when it starts.

    It takes the folder for its own. What other processes count there, and this one, would be gone. It is back before
    the server's tasks run: its gauge of the load is a file in that folder too.
    """
    folder = os.environ.pop(_METRICS, None)

    def put_back() -> None:
        if folder is not None:
            os.environ[_METRICS] = folder

    until_started.once("worker_started", put_back)
    try:
        yield
    finally:
        put_back()


async def _never(_context: JobContext) -> None:
    """The entrypoint LiveKit asks for; jobs are launched by `RoomSource`."""
    raise AssertionError("a job was launched by LiveKit's own executor")
