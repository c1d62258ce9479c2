"""A call put together: the rules, the log, the tools and an AgentSession, opened and closed as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

from livekit.agents import APIConnectOptions, TurnHandlingOptions, llm
from livekit.agents.voice import AgentSession, io
from livekit.agents.voice.agent_session import SessionConnectOptions

from runtime.conversation import events as ev
from runtime.conversation.commands import EnterAgent
from runtime.conversation.interpreter import advance
from runtime.session.call_session import CallSession
from runtime.session.event_log import CallLog
from runtime.session.ports import Clock, Telephone, ToolRunner
from runtime.session.recovery import Recovered
from runtime.voice import thrift
from runtime.voice.agent import CallAgent
from runtime.voice.bridge import Bridge
from runtime.voice.heard import HeardText, HeardVoice
from runtime.voice.line import SessionLine
from runtime.voice.node_pipeline import NodePipeline, NoPipeline
from runtime.voice.pipeline import Providers
from runtime.voice.quiet_session import QuietSession
from runtime.voice.resuming import elapsed_ms, history_of, in_doubt
from runtime.voice.spoken import prerender
from runtime.workflow.graph import Workflow

__all__ = ["CallPlan", "LiveCall", "open_call"]

Json = Any
PREPARED_WITHIN_S = 1.5
"""What a caller may be kept ringing for the sake of a greeting that then comes at once."""

# One retry and our own apology: LiveKit's default is four seconds of silence and then a closed session.
PATIENCE = SessionConnectOptions(
    llm_conn_options=APIConnectOptions(max_retry=1, retry_interval=0.2, timeout=10.0),
    stt_conn_options=APIConnectOptions(max_retry=3, retry_interval=0.5, timeout=10.0),
    tts_conn_options=APIConnectOptions(max_retry=1, retry_interval=0.2, timeout=10.0),
    max_unrecoverable_errors=1_000_000,
)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What a call needs to run. `log` is open and has the call's row; `presets` are values given from outside.

    Without `providers` nobody listens and nobody thinks: the call says what is recorded already, and ends.
    `request_id` names the API's request that started the call. With `recovered` the call goes on from there.
    """

    workflow: Workflow
    log: CallLog
    clock: Clock
    tools: ToolRunner
    providers: Providers | None
    encrypt: Callable[[str], str]
    runtime_version: str
    workflow_id: str | None = None
    workspace: Mapping[str, str] = field(default_factory=dict)
    presets: Mapping[str, Json] = field(default_factory=dict)
    goodbye_s: float = 0.5
    telephone: Telephone | None = None
    request_id: str | None = None
    recovered: Recovered | None = None


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call that can be begun, spoken to and ended."""

    plan: CallPlan
    call: CallSession
    session: AgentSession[None]
    agent: CallAgent
    line: SessionLine
    bridge: Bridge
    closing: AsyncExitStack
    started: asyncio.Event = field(default_factory=asyncio.Event)
    readied: asyncio.Event = field(default_factory=asyncio.Event)
    unready: list[tuple[str, str]] = field(default_factory=list)

    def dialled(self) -> None:
        """Say that the call goes out and has not been answered yet; `begin` follows once it has."""
        self.call.submit(replace(self._began(), answered=False))

    async def start(self) -> None:
        """Start the session; `begin` does where nobody has. Before a call is answered it costs the caller nothing."""
        await self.session.start(self.agent, record=False)
        self.started.set()

    async def begin(self) -> None:
        """Let the first agent speak. The call's audio is in place already, or it is a chat."""
        if not self.started.is_set():
            await self.start()
        await self._ready()
        if self.call.state.started:
            self.call.submit(ev.CallAnswered(at=self.call.instant()))
        else:
            self.call.submit(self._began())
        for code, message in self.unready:
            self.fault("tools", code, message)

    async def resume(self, worker_id: str, lost_ms: int) -> None:
        """Go on with a call that another worker ran, in place of `begin`; the caller is there and the audio in place.

        `lost_ms` is for how long nobody ran it. A call that had not started begins as new.
        """
        recovered, call = self.plan.recovered, self.call
        if recovered is None or not call.state.started:
            await self.begin()
            return
        if not self.started.is_set():
            await self.start()
        nobody_spoke = call.state.agent_id is None
        if not nobody_spoke:
            self.readied.set()
            await self._prepare_tools()
        self.agent.keep(*in_doubt(recovered.in_flight, self.plan.workflow, self.plan.tools))
        at, forgotten = call.instant(), recovered.forgotten
        call.submit(ev.CallTakenOver(at=at, worker_id=worker_id, lost_ms=lost_ms, forgotten=forgotten))
        for code, message in recovered.faults:
            self.fault("recovery", code, message)
        if nobody_spoke:
            await self.begin()

    def greeting(self) -> str:
        """Return what the first agent will say without asking a model; empty where it asks one or waits."""
        first = self._first()
        return "" if first is None else first.text

    def _first(self) -> EnterAgent | None:
        """Return how the first agent is going to be entered."""
        state, signal = self.call.state, ev.TimerFired(at=self.call.instant(), name="hello")
        step = advance(self.plan.workflow, state, signal if state.started else self._began(), self.plan.workspace)
        return next((command for command in step.commands if isinstance(command, EnterAgent)), None)

    async def prepare(self, timeout_s: float = PREPARED_WITHIN_S) -> None:
        """Get ready before the call is answered: the tools, and the greeting where its text is known by then.

        The greeting is spoken ahead where its voice is quicker than `timeout_s`; tools have deadlines of their own.
        """
        await self._ready()
        providers = self.plan.providers
        first = self._first() if not self.call.state.ended else None
        if providers is None or first is None or not first.text:
            return
        node = self.plan.workflow.agents[first.agent_id]
        template = node.greeting_text
        # A path that is taken on arrival puts its own words in front, and with them this caller's values.
        shared = template is not None and template.is_static and first.text == template.render({}).strip()
        cache = providers.spoken if shared else providers.own_spoken
        await prerender(cache, providers, node, first.text, timeout_s)

    async def _ready(self) -> None:
        """Run the tools of `session.on_start`, and have the others get ready, once."""
        if self.readied.is_set() or self.plan.providers is None:
            return
        self.readied.set()
        if self.plan.workflow.on_start and not self.call.state.started:
            self.dialled()
        await asyncio.gather(self._prepare_tools(), self.call.run_on_start())

    async def _prepare_tools(self) -> None:
        tools = [tool for agent in self.plan.workflow.agents.values() for tool in agent.tools]
        missing = await self.plan.tools.prepare(tools)
        self.unready.extend((code, f"The tool '{tool.function_name}' did not get ready.") for tool, code in missing)

    def goodbye(self, reason: ev.Reason, say: str) -> None:
        """End the call from outside, after saying so; one that has not been answered yet is not answered for it."""
        if not self.call.state.started:
            self.stop(reason)
            return
        self.call.submit(ev.GoodbyeAsked(at=self.call.instant(), reason=reason, say=say))

    def stop(self, reason: ev.Reason, status: ev.Status = "completed") -> None:
        """End the call at once; one that has not begun has begun by now, so that its end can be told."""
        if not self.call.state.started:
            self.dialled()
        self.call.stop(reason, status)

    def fault(self, component: str, code: str, message: str, recovered_by: str | None = None) -> None:
        """Record that something went wrong around the call."""
        at = self.call.instant()
        self.call.submit(
            ev.FaultNoticed(at=at, component=component, code=code, message=message, recovered_by=recovered_by)
        )

    def _began(self) -> ev.CallBegan:
        row = self.plan.log.row
        return ev.CallBegan(
            at=self.call.instant(),
            session_id=row.id,
            channel=row.channel,
            direction=row.direction,
            caller=row.from_number,
            dialled=row.to_number,
            workflow_id=self.plan.workflow_id,
            workflow_version_id=row.workflow_version_id,
            runtime_version=self.plan.runtime_version,
            presets=self.plan.presets,
            request_id=self.plan.request_id,
        )

    def connect(self, source: io.AudioInput, sink: io.AudioOutput) -> None:
        """Give the session its ears and its mouth, before `begin`.

        How far into its text an interrupted agent was heard goes into history and event. LiveKit's own synchroniser,
        which tells it too, takes 2 % of a core while an agent speaks.
        """
        text = HeardText()
        self.session.input.audio = source
        self.session.output.audio = HeardVoice(sink, text)
        self.session.output.transcription = text

    def hear_text(self, text: str) -> None:
        """Take a caller's turn that came as text."""
        message = llm.ChatMessage(role="user", content=[text])
        self.line.hear_text(message, self.bridge.turn_heard)

    def press(self, keys: str) -> None:
        """Take the caller's keys."""
        for key in keys:
            self.call.submit(ev.KeyPressed(at=self.call.instant(), key=key))


@asynccontextmanager
async def open_call(plan: CallPlan, *, text: bool) -> AsyncIterator[LiveCall]:
    """Put a call together; on the way out it is ended if it runs, everything is closed, and its row is stored.

    With `text` there is no audio: turns come by `hear_text`, and the models of speech are never made.
    """
    thrift.apply()
    call = CallSession(
        plan.workflow,
        log=plan.log,
        clock=plan.clock,
        tools=plan.tools,
        encrypt=plan.encrypt,
        workspace=plan.workspace,
        state=plan.recovered.state if plan.recovered is not None else None,
        elapsed_ms=elapsed_ms(plan.recovered, plan.clock) if plan.recovered is not None else 0,
    )
    entry = plan.workflow.entry
    pipeline = NodePipeline(call, plan.providers, text=text) if plan.providers is not None else NoPipeline()
    session = QuietSession(
        vad=None if text or plan.providers is None else plan.providers.vad(entry),
        turn_handling=cast("TurnHandlingOptions", pipeline.turn_handling(entry)),
        conn_options=PATIENCE,
        max_tool_steps=6,
        user_away_timeout=None,
        aec_warmup_duration=None,
        session_close_transcript_timeout=0.2,
    )
    line = SessionLine(call, session, pipeline, goodbye_s=0.0 if text else plan.goodbye_s, telephone=plan.telephone)
    bridge = Bridge(call, session, line)
    agent = CallAgent(call, bridge, history_of(plan.recovered, plan.workflow) if plan.recovered is not None else ())
    if plan.recovered is not None:
        agent.secret_turns.update(plan.recovered.secret_turns)
    line.agent = bridge.agent = agent
    call.attach(line)
    pipeline.use(entry, agent, session)
    async with AsyncExitStack() as closing:
        if plan.providers is not None:
            closing.push_async_callback(plan.providers.aclose)
        closing.push_async_callback(session.aclose)
        closing.push_async_callback(call.aclose)
        yield LiveCall(plan, call, session, agent, line, bridge, closing)
