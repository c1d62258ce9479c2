"""A dispatched job as a task of the worker's own event loop, in the shape LiveKit's AgentServer knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from livekit.agents.ipc.job_executor import JobStatus
from livekit.agents.job import RunningJobInfo

from runtime.tasks import cancel_and_wait, spawn
from worker.rooms.leg import RoomLeg

__all__ = ["LoopJob"]

_CLOSE_S: Final = 10.0


class LoopJob:
    """Implements livekit-agents' JobExecutor with neither a process nor a thread.

    `run` answers the call and says whether it went well; it sets `leg` once there is one.
    """

    def __init__(self, info: RunningJobInfo, run: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        self._info = info
        self._run = run
        self._status = JobStatus.RUNNING
        self._task: asyncio.Task[None] | None = None
        self.user_arguments: Any | None = None
        self.leg: RoomLeg | None = None

    @property
    def id(self) -> str:
        return self._info.job.id

    @property
    def started(self) -> bool:
        return self._task is not None

    @property
    def running_job(self) -> RunningJobInfo | None:
        return self._info

    @property
    def status(self) -> JobStatus:
        """Failed until the call has said that it went well: one that was cut off has not."""
        return self._status

    async def start(self) -> None:
        self._task = spawn(self._answer(), name=f"room {self._info.job.room.name}")

    async def initialize(self) -> None:
        """Nothing is to be prepared."""

    async def launch_job(self, info: RunningJobInfo) -> None:
        """It is under way since `start`; `info` is the one it was made with."""
        assert info is self._info

    async def join(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})

    async def aclose(self) -> None:
        """The server takes the job back: the call is told, and ends by itself, or goes on where it was a mistake."""
        if self._task is not None and not self._task.done() and self.leg is not None:
            self.leg.terminated()

    async def end(self) -> None:
        """End the call as one whose caller is gone, and cut it off where it does not end."""
        if self._task is None:
            return
        if self.leg is not None:
            self.leg.lost()
        await asyncio.wait({self._task}, timeout=_CLOSE_S)
        await cancel_and_wait(self._task)

    def logging_extra(self) -> dict[str, Any]:
        return {"job_id": self.id, "room": self._info.job.room.name}

    async def _answer(self) -> None:
        well = False
        try:
            well = await self._run()
        finally:
            self._status = JobStatus.SUCCESS if well else JobStatus.FAILED
