"""One call being driven: a signal comes in, the rules decide, the facts are recorded, the commands performed."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from runtime.conversation import commands as do
from runtime.conversation import events as ev
from runtime.conversation.interpreter import advance
from runtime.conversation.scene import Reply, Scene
from runtime.conversation.state import CallState
from runtime.session.event_log import CallLog
from runtime.session.ports import CallRow, Clock, Line, TimerHandle, ToolRunner
from runtime.session.system_clock import SystemClock
from runtime.session.tool_runs import ToolAnswer, ToolRuns
from runtime.workflow.graph import CompiledTool, Workflow

__all__ = ["CallSession", "SystemClock", "ToolAnswer"]

Json = Any
_log = structlog.get_logger("call_session")


class CallSession:
    """Drives one call; from `state` and `elapsed_ms` on where it has begun elsewhere. All methods but those that run tools and `ended` are synchronous and belong to one event loop."""

    def __init__(  # noqa: PLR0913 - the parts of a call, each by name
        self,
        workflow: Workflow,
        *,
        log: CallLog,
        clock: Clock,
        tools: ToolRunner,
        encrypt: Callable[[str], str],
        workspace: Mapping[str, str] | None = None,
        state: CallState | None = None,
        elapsed_ms: int = 0,
    ) -> None:
        self.workflow = workflow
        self.workspace = dict(workspace or {})
        self.clock = clock
        self.log = log
        self.tools = tools
        self._encrypt = encrypt
        self._state = state or CallState()
        self._started_at = clock.monotonic() - elapsed_ms / 1000
        self._line: Line | None = None
        self._timers: dict[str, TimerHandle] = {}
        self._waiting: deque[ev.Signal] = deque()
        self._busy = False
        self._done = asyncio.Event()
        self._end: ev.CallEnded | None = None
        self._kept = 0
        self._cost: float | None = None
        self._watchers: list[Callable[[CallState], None]] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._runs = ToolRuns(self)

    # ------------------------------------------------------------ reading

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        return self._state

    def instant(self) -> ev.Instant:
        """Return this moment of the call; its clock starts with the first signal."""
        return ev.Instant(self.clock.wall(), self.elapsed_ms())

    def elapsed_ms(self) -> int:
        """Return the milliseconds since the call's first signal."""
        now = self.clock.monotonic()
        if not self._state.started:
            self._started_at = now
        return round((now - self._started_at) * 1000)

    def view(self) -> Scene:
        """Return the call as it is now, for those who only read (prompts)."""
        return Scene(self.workflow, self.workspace, self._state, self.instant())

    def watch(self, watcher: Callable[[CallState], None]) -> None:
        """Have `watcher` called with the state after every signal."""
        self._watchers.append(watcher)

    async def changed(self) -> None:
        """Wait until the next signal has been handled."""
        change = asyncio.get_running_loop().create_future()
        self._waiters.append(change)
        await change

    # ------------------------------------------------------------ driving

    def attach(self, line: Line) -> None:
        """Say who performs the commands; before the first signal."""
        self._line = line

    def submit(self, signal: ev.Signal) -> Reply | None:
        """Let the rules decide on a signal: the facts are in the log before anything they cause happens.

        A signal that comes while another is being performed waits for it; only the outermost gets its reply.
        """
        if self._busy:
            self._waiting.append(signal)
            return None
        self._busy = True
        try:
            reply = self._advance(signal)
            while self._waiting:
                self._advance(self._waiting.popleft())
        finally:
            self._busy = False
        return reply

    def _advance(self, signal: ev.Signal) -> Reply | None:
        step = advance(self.workflow, self._state, signal, self.workspace)
        if isinstance(signal, ev.SpeechCutOff | ev.TurnHeard):
            self._runs.interrupted()
        for fact in step.facts:
            self._record(fact)
        self._state = step.state
        for command in step.commands:
            self._perform(command)
        for watcher in self._watchers:
            watcher(self._state)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        return step.reply

    def _record(self, fact: ev.Fact) -> None:
        secret = fact.secret()
        self.log.write(
            fact.event_type,
            fact.payload(),
            agent_id=getattr(fact, "agent_id", None),
            occurred_at=fact.at,
            secret=None if secret is None else self._encrypt(json.dumps(secret)),
        )
        if isinstance(fact, ev.CallEnded):
            self._end = fact

    def _perform(self, command: do.Command) -> None:
        match command:
            case do.StartTimer(name, seconds):
                self._start_timer(name, seconds)
            case do.CancelTimer(name):
                self._cancel_timer(name)
            case do.ReportUsage(agent_id):
                self._report_usage(agent_id)
            case do.Close():
                for running in list(self._timers):
                    self._cancel_timer(running)
                self._done.set()
                self._to_line(command)
            case _:
                self._to_line(command)

    def _to_line(self, command: do.Command) -> None:
        assert self._line is not None, "attach a line before the first signal"
        try:
            self._line.perform(command)
        except Exception as error:  # noqa: BLE001 - an edge: a line's fault is a fact of the call, not its end
            _log.exception("command_failed", command=type(command).__name__)
            self._waiting.append(
                ev.FaultNoticed(
                    at=self.instant(),
                    component="line",
                    code="command_failed",
                    message=f"{type(command).__name__}: {type(error).__name__}",
                )
            )

    def _report_usage(self, agent_id: str | None) -> None:
        assert self._line is not None
        if usage := self._line.usage():
            self.submit(ev.UsageCounted(at=self.instant(), agent_id=agent_id, scope="stay", usage=usage))

    def _start_timer(self, name: ev.Timer, seconds: float) -> None:
        self._cancel_timer(name)
        self._timers[name] = self.clock.call_later(seconds, lambda: self._fired(name))

    def _cancel_timer(self, name: str) -> None:
        if (handle := self._timers.pop(name, None)) is not None:
            handle.cancel()

    def _fired(self, name: ev.Timer) -> None:
        self._timers.pop(name, None)
        if name == "silence" and self._line is not None and self._line.speaking:
            return  # the agent is at work; the caller's silence is counted from the end of its answer
        self.submit(ev.TimerFired(at=self.instant(), name=name))

    # ------------------------------------------------------------ tools

    async def run_tool(
        self, tool: CompiledTool, function: str, tool_call_id: str, arguments: Mapping[str, Json], stay: int
    ) -> ToolAnswer:
        """Run a tool for the model; every step is an event."""
        return await self._runs.run(tool, function, tool_call_id, arguments, stay)

    async def run_on_start(self) -> None:
        """Run what the session does before its first agent speaks, and has not done yet; the call has begun."""
        await self._runs.start()

    def interrupt_tools(self) -> None:
        """Give up the runs that are to be given up when the caller speaks."""
        self._runs.interrupted()

    def order(self, command: do.Command) -> None:
        """Have the line do something that no signal led to."""
        self._to_line(command)

    # ------------------------------------------------------------ the end

    def checkpoint(self, text: Callable[[], str]) -> None:
        """Keep `text()` (`recovery.checkpoint_text`) as what the call is resumed from, beside the events so far.

        Only of a call that has an owner, and once for each event that is the newest.
        """
        state = self._state
        if self.log.row.worker_id is not None and not state.ending and state.seq > self._kept:
            self._kept = state.seq
            self.log.checkpoint(self._encrypt(text()))

    def stop(self, reason: ev.Reason, status: ev.Status = "completed") -> None:
        """End the call, whatever it is doing. Idempotent."""
        if self._line is not None and not self._state.ended and (usage := self._line.usage()):
            self.submit(ev.UsageCounted(at=self.instant(), agent_id=self._state.agent_id, scope="call", usage=usage))
        self.submit(ev.CallStopped(at=self.instant(), reason=reason, status=status))

    async def ended(self) -> None:
        """Wait until the call has ended."""
        await self._done.wait()

    async def aclose(self) -> CallRow:
        """Close the call's row and wait, bounded, until all of it is stored. Ends the call as an error if it runs."""
        self.stop("error", "dropped")
        row = self.log.row
        if self._end is None:  # it never began, so there is nothing that could have ended
            row = replace(row, ended_at=self.clock.wall(), status="dropped", end_reason="error")
        else:
            row = replace(
                row,
                ended_at=self._end.at,
                status=self._end.status,
                end_reason=self._end.reason,
                variables=self._end.payload()["variables"],
            )
        await self.log.close(row)
        return row
