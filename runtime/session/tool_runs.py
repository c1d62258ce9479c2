"""The tools of a call while they run: for the model, and before the first agent speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.conversation import commands as do
from runtime.conversation import events as ev
from runtime.conversation import masking, prompts
from runtime.conversation.scene import Reply
from runtime.session.ports import ToolCall, ToolOutcome
from runtime.tasks import spawn
from runtime.workflow.graph import CompiledTool

if TYPE_CHECKING:  # they make each other up
    from runtime.session.call_session import CallSession

__all__ = ["ToolAnswer", "ToolRuns"]

Json = Any

INTERRUPTED = ToolOutcome("The caller interrupted; this was given up.", error_code="interrupted")
TOO_LATE = ToolOutcome("", error_code="timeout")


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What a model reads of a tool, and whether it is still its turn to say something about it."""

    text: str
    needs_answer: bool


@dataclass(slots=True)
class _Run:
    tool: CompiledTool
    task: asyncio.Task[ToolOutcome]
    instead: ToolOutcome | None = None


class ToolRuns:
    """Runs a call's tools; every step is an event. Belongs to one event loop."""

    def __init__(self, call: CallSession) -> None:
        self._call = call
        self._running: dict[str, _Run] = {}

    async def run(
        self, tool: CompiledTool, function: str, tool_call_id: str, arguments: Mapping[str, Json], stay: int
    ) -> ToolAnswer:
        """Run one of a tool's functions for the model: started, run under its timeout, ended."""
        call = self._call
        if fault := call.tools.faults(tool, function, arguments):
            return ToolAnswer(fault, needs_answer=True)
        while tool_call_id in call.state.tools:  # some servers number the calls of each answer anew
            tool_call_id += "'"
        asked = self._ask(tool, function, tool_call_id, arguments, stay)
        if asked is None or not asked.accepted:
            return ToolAnswer(asked.text if asked else "", needs_answer=asked is not None and asked.needs_answer)
        began = call.clock.monotonic()
        filler = call.clock.call_later(tool.tool.say_after_s, lambda: self._say_while_running(tool, tool_call_id, stay))
        try:
            outcome = await self._outcome(tool, function, tool_call_id, arguments)
        finally:
            filler.cancel()
        path = tool.on_failure_path_id if outcome.error_code else tool.on_success_path_id
        cut_off = outcome is INTERRUPTED
        reply = self._returned(tool_call_id, outcome, began, None if cut_off else path)
        asked_for = self._of_telephone(outcome, stay)
        if asked_for is not None and reply is not None and not reply.moved:
            reply = call.submit(asked_for)
        needs_answer = reply is not None and reply.needs_answer and not cut_off
        return ToolAnswer(self._for_model(outcome.text), needs_answer=needs_answer)

    async def start(self) -> None:
        """Run the tools of `session.on_start` at the same time; at the deadline the rest are given up. The call has begun."""
        tools = self._call.workflow.on_start
        starting = [
            spawn(self._start(tool, f"start-{index}"), name=f"on_start {tool.function_name}")
            for index, tool in enumerate(tools, 1)
            if tool.function_name not in self._call.state.at_start  # by a worker that is gone
        ]
        if not starting:
            return
        await asyncio.wait(starting, timeout=self._call.workflow.session.on_start_timeout_s)
        for run in list(self._running.values()):
            run.instead = TOO_LATE
            run.task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)

    async def _start(self, tool: CompiledTool, tool_call_id: str) -> None:
        asked = self._ask(tool, tool.function_name, tool_call_id, {}, 0, at_start=True)
        if asked is None or not asked.accepted:
            return
        began = self._call.clock.monotonic()
        outcome = await self._outcome(tool, tool.function_name, tool_call_id, {})
        self._returned(tool_call_id, outcome, began, None)

    def interrupted(self) -> None:
        """Give up what is to be given up when the caller speaks."""
        for run in list(self._running.values()):
            if run.tool.tool.on_interruption == "cancel":
                run.instead = INTERRUPTED
                run.task.cancel()

    # ------------------------------------------------------------ one run

    def _ask(
        self,
        tool: CompiledTool,
        function: str,
        tool_call_id: str,
        arguments: Mapping[str, Json],
        stay: int,
        *,
        at_start: bool = False,
    ) -> Reply | None:
        call = self._call
        signal = ev.ToolAsked(
            at=call.instant(),
            stay=stay,
            at_start=at_start,
            tool_call_id=tool_call_id,
            tool_type=tool.tool.tool_type,
            name=function,
            arguments=arguments,
            mocked=call.tools.is_mocked(tool, function),
        )
        return call.submit(signal)

    async def _outcome(
        self, tool: CompiledTool, function: str, tool_call_id: str, arguments: Mapping[str, Json]
    ) -> ToolOutcome:
        asked = self._tool_call(tool, function, tool_call_id, arguments)
        run = _Run(tool, spawn(self._call.tools.run(asked), name=f"tool {function}"))
        self._running[tool_call_id] = run
        try:
            return await run.task
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if run.instead is None or (task is not None and task.cancelling()):
                raise
            return run.instead
        finally:
            self._running.pop(tool_call_id, None)

    def _returned(self, tool_call_id: str, outcome: ToolOutcome, began: float, path_id: str | None) -> Reply | None:
        call = self._call
        signal = ev.ToolReturned(
            at=call.instant(),
            tool_call_id=tool_call_id,
            ok=not outcome.error_code,
            duration_ms=round((call.clock.monotonic() - began) * 1000),
            result_preview=outcome.preview,
            error_code=outcome.error_code,
            sources=outcome.sources,
            assigned=outcome.assigned,
            request_path_id=path_id,
        )
        return call.submit(signal)

    def _of_telephone(self, outcome: ToolOutcome, stay: int) -> ev.Signal | None:
        """Return what a tool wants of the telephone."""
        at, say = self._call.instant(), outcome.say or None
        if outcome.hang_up:
            return ev.HangUpAsked(at=at, stay=stay, say=say)
        if outcome.transfer_to:
            return ev.TransferAsked(at=at, stay=stay, to=outcome.transfer_to, say=say)
        return ev.HoldAsked(at=at, stay=stay, seconds=outcome.hold_s) if outcome.hold_s else None

    def _for_model(self, text: str) -> str:
        """Take out of a tool's answer the sensitive values that were keyed or found: they never reach a model."""
        for name, known in self._call.state.known.items():
            if self._call.workflow.variables[name].sensitive and known.source in {"dtmf", "tool"}:
                text = text.replace(str(known.value), masking.MASK)
        return text

    def _say_while_running(self, tool: CompiledTool, tool_call_id: str, stay: int) -> None:
        """A tool that takes its time is talked over; a quick one stays quiet."""
        state = self._call.state
        text = prompts.spoken(self._call.view(), tool.say_while_running)
        if text and tool_call_id in state.tools and state.stay == stay and not state.ending:
            self._call.order(do.Say(text))

    def _tool_call(
        self, tool: CompiledTool, function: str, tool_call_id: str, arguments: Mapping[str, Json]
    ) -> ToolCall:
        state = self._call.state
        return ToolCall(
            tool=tool,
            function=function,
            tool_call_id=tool_call_id,
            arguments=arguments,
            variables=state.values,
            caller={"number": state.caller or "", "dialled": state.dialled or ""},
            call={"id": state.session_id, "channel": state.channel, "direction": state.direction},
            workspace=self._call.workspace,
        )
