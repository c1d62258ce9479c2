"""Performs the commands of a call on an AgentSession."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from livekit.agents import NOT_GIVEN, AgentSession, UserStateChangedEvent, llm
from livekit.agents.voice import SpeechHandle

from runtime.conversation import commands as do
from runtime.conversation import events as ev
from runtime.errors import PatchbayError
from runtime.session.call_session import CallSession
from runtime.session.ports import Telephone, TransferOutcome
from runtime.tasks import spawn
from runtime.voice.agent import CallAgent
from runtime.voice.usage import UsageMeter
from runtime.workflow.graph import Agent as Node

__all__ = ["Pipeline", "SessionLine"]

_log = structlog.get_logger("line")

GREET = "The caller is on the line and has not spoken yet. Greet the caller."
TAKE_OVER = "You have just taken over this call. Go on with what the caller wants, without greeting again."
REOPENED = frozenset({"agent_hangup", "inactivity"})
"""Goodbyes that a caller can reopen."""
HEARD_OUT_S = 6.0
UNDERSTOOD_S = 1.5
"""Between the end of a caller's words and their text."""


class Pipeline(Protocol):
    """Puts a node's models and turn handling in force."""

    def use(self, node: Node, agent: CallAgent, session: AgentSession[None]) -> None: ...


class SessionLine:
    """The caller's line as a LiveKit AgentSession plays it. All of it belongs to the session's event loop."""

    def __init__(
        self,
        call: CallSession,
        session: AgentSession[None],
        pipeline: Pipeline,
        *,
        goodbye_s: float = 0.5,
        telephone: Telephone | None = None,
    ) -> None:
        self._call = call
        self._session = session
        self._pipeline = pipeline
        self._goodbye_s = goodbye_s
        self._telephone = telephone
        self._hanging_up: asyncio.Task[None] | None = None
        self._caller_spoke_at = -math.inf
        session.on("user_state_changed", self._user_changed)
        self._meter = UsageMeter(session)
        self._speeches: dict[str, SpeechHandle] = {}
        self._texts: dict[str, do.Say] = {}
        self._cut_off = False
        self._speakers: dict[str, str] = {}
        self._scheduled = 0
        self._idle = asyncio.Event()
        self.agent: CallAgent | None = None
        self.on_idle: Callable[[], None] = _nothing
        self.turn_in_hand = False
        self.reply_wanted = False

    # ------------------------------------------------------------ the Line port

    def perform(self, command: do.Command) -> None:  # noqa: C901 - one case a command
        """Do as ordered; whatever speaks is started from the loop, outside of the function call that caused it."""
        match command:
            case do.EnterAgent():
                self._enter(command)
            case do.AskModel(user_text):
                if self.turn_in_hand and user_text is None:
                    self.reply_wanted = True
                else:
                    self._soon(lambda: self.ask_model(user_text))
            case do.Say(text, interruptible, reads_back):
                self._soon(lambda: self._say(text, interruptible=interruptible, reads_back=reads_back))
            case do.StopSpeaking():
                self._stop_speaking()
            case do.Transfer(to, text):
                spawn(self._transfer_to(to, text), name="transfer")
            case do.HangUp(reason):
                self._keep_on_line()
                self._hanging_up = spawn(self._hang_up(reason), name="hang-up")
            case do.StayOnLine():
                self._keep_on_line()
            case _:
                pass

    def usage(self) -> tuple[ev.Usage, ...]:
        """Return what the providers used since this was last asked; asked when an agent is left, or the call."""
        if self.agent is not None:
            self.agent.early.drop()
        return self._meter.since_last()

    def answer_discarded(self, model: llm.LLM[Any]) -> None:
        """Count an answer that was begun before the caller's turn was over, and in vain."""
        self._meter.discarded(model.provider, model.model)

    # ------------------------------------------------------------ speaking

    def ask_model(self, user_text: str | llm.ChatMessage | None = None, hint: str | None = None) -> None:
        """Let the model answer; `user_text` is a turn that did not come as speech, `hint` says why it is asked."""
        if self.agent is not None:
            self.agent.hint = hint
        self._session.generate_reply(user_input=NOT_GIVEN if user_text is None else user_text)

    def _enter(self, command: do.EnterAgent) -> None:
        node = self._call.workflow.agents[command.agent_id]
        assert self.agent is not None
        self.agent.enter(node, command.stay)
        try:
            self._pipeline.use(node, self.agent, self._session)
        except PatchbayError as error:  # the call goes on with the models of the agent before
            self._call.submit(
                ev.FaultNoticed(
                    at=self._call.instant(),
                    component="pipeline",
                    code="models_unavailable",
                    message=error.message,
                    recovered_by="the models in use",
                )
            )
        if command.text:
            self._soon(lambda: self._say(command.text, interruptible=command.interruptible))
        if command.ask_model:
            hint = GREET if command.stay == 1 else TAKE_OVER
            self._soon(lambda: self.ask_model(hint=hint))

    def _say(self, text: str, *, interruptible: bool, reads_back: str | None = None) -> None:
        # A call without a voice says only what is recorded.
        sound = self.agent.mouth.sound(text) if self.agent is not None and self._session.tts is None else None
        handle = self._session.say(text, audio=sound or NOT_GIVEN, allow_interruptions=interruptible)
        self._texts[handle.id] = do.Say(text, interruptible, reads_back)

    def _soon(self, speak: Callable[[], object]) -> None:
        """Speak in the loop's next turn: inside a function call LiveKit would take it for that function's reply."""
        self._scheduled += 1
        self._idle.clear()

        def run() -> None:
            self._scheduled -= 1
            try:
                if not self._call.state.ended:
                    speak()
            finally:
                self._check_idle()

        asyncio.get_running_loop().call_soon(run)

    def _stop_speaking(self) -> None:
        if self._speeches:
            self._session.interrupt(force=True)

    # ------------------------------------------------------------ what is being said

    def speech_created(self, handle: SpeechHandle) -> None:
        """Keep track of a speech until it is over; when none is left, the answer has ended."""
        self._speeches[handle.id] = handle
        self._speakers[handle.id] = self._call.state.agent_id or ""
        self._idle.clear()
        handle.add_done_callback(self._speech_done)

    def _speech_done(self, handle: SpeechHandle) -> None:
        self._cut_off = handle.interrupted
        self._speeches.pop(handle.id, None)
        self._speakers.pop(handle.id, None)
        self._texts.pop(handle.id, None)
        self._check_idle()

    def _check_idle(self) -> None:
        if self._speeches or self._scheduled:
            return
        if not self._call.state.ended:
            self._call.submit(ev.AnswerEnded(at=self._call.instant(), interrupted=self._cut_off))
            self._cut_off = False
        if not self._speeches and not self._scheduled:
            self._idle.set()
            self.on_idle()

    def planned(self, handle: SpeechHandle | None) -> do.Say | None:
        """Return the order of a speech that was told what to say."""
        return self._texts.pop(handle.id, None) if handle is not None else None

    def speaker(self, handle: SpeechHandle | None) -> str | None:
        """Return the id of the agent that speaks."""
        return self._speakers.get(handle.id) if handle is not None else None

    @property
    def speaking(self) -> bool:
        """Whether anything is being said or about to be."""
        return bool(self._speeches) or self._scheduled > 0

    async def wait_idle(self) -> None:
        """Wait until all that is to be said has been said."""
        await asyncio.sleep(0)
        while self.speaking and not self._call.state.ended:
            self._idle.clear()
            await self._idle.wait()

    # ------------------------------------------------------------ turns by text

    def hear_text(self, message: llm.ChatMessage, heard: Callable[[llm.ChatMessage], bool]) -> None:
        """Take a turn that came as text: the rules first, then the model where they want it to.

        As a spoken one, it cuts off what is being said: two answers at once would be given by two agents.
        """
        assert self.agent is not None
        for speech in list(self._speeches.values()):
            if speech.allow_interruptions:
                speech.interrupt()
        if heard(message):
            self.ask_model(message)
        else:
            self.agent.keep(message)

    # ------------------------------------------------------------ leaving

    async def _hang_up(self, reason: ev.Reason) -> None:
        began = asyncio.get_running_loop().time()
        await self.wait_idle()
        await asyncio.sleep(self._goodbye_s)
        if reason in REOPENED:
            await self._caller_finished(began)
        self._call.stop(reason)

    def _user_changed(self, event: UserStateChangedEvent) -> None:
        if "speaking" in {event.old_state, event.new_state}:
            self._caller_spoke_at = asyncio.get_running_loop().time()

    def _keep_on_line(self) -> None:
        if self._hanging_up is not None:
            self._hanging_up.cancel()
            self._hanging_up = None

    async def _caller_finished(self, began: float) -> None:
        """A caller who speaks into the goodbye is heard out: what they say may reopen the call."""
        clock = asyncio.get_running_loop().time
        until = clock() + HEARD_OUT_S
        while clock() < until:
            understood_at = self._caller_spoke_at + UNDERSTOOD_S
            if self._session.user_state != "speaking" and (self._caller_spoke_at < began or clock() > understood_at):
                return
            await asyncio.sleep(0.05)

    async def _transfer_to(self, to: str, text: str) -> None:
        if text:
            self._soon(lambda: self._say(text, interruptible=False))
        await self.wait_idle()
        outcome = TransferOutcome(ok=False, why="this line cannot transfer a call")
        if self._telephone is not None and not self._call.state.ended:
            outcome = await self._asked(self._telephone, to)
        at = self._call.instant()
        self._call.submit(ev.TransferEnded(at=at, ok=outcome.ok, sip_status=outcome.sip_status, why=outcome.why))

    async def _asked(self, telephone: Telephone, to: str) -> TransferOutcome:
        try:
            return await telephone.transfer(to)
        except Exception as error:  # noqa: BLE001 - an edge: whatever a line raises, the caller is not left between two telephones
            _log.exception("transfer_broke")
            return TransferOutcome(ok=False, why=type(error).__name__)


def _nothing() -> None:
    """Nobody wants to know."""
