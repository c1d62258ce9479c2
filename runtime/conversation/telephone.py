"""What is the telephone's: calls that go out, goodbyes and who reopens them, transfers, a moment's hold, machines that answer."""

from __future__ import annotations

from typing import Any, assert_never

from runtime.conversation import events as ev
from runtime.conversation import paths, prompts
from runtime.conversation.commands import (
    AskModel,
    CancelTimer,
    EnterAgent,
    HangUp,
    Say,
    StartTimer,
    StayOnLine,
    StopSpeaking,
    Transfer,
)
from runtime.conversation.scene import Reply, Scene
from runtime.conversation.small_talk import is_machine, is_only_courteous, is_return
from runtime.conversation.values import awaited_variable
from runtime.conversation.wordings import wording
from runtime.variables import find_all

__all__ = [
    "ask",
    "ask_goodbye",
    "come_back",
    "end_hold",
    "gave_up",
    "handle",
    "hello_over",
    "message_left",
    "met_by",
    "on_hold",
    "reopen",
]

HELLO_S = 2.5
"""How long the one who was called has for a hello before the agent speaks."""
MAX_HOLD_S = 120.0
MACHINE_TURNS = 2
"""A machine says so in its first words; later the same words are somebody's."""
TELLING = frozenset({"digits", "phone", "email", "date", "time", "datetime", "currency"})


def handle(scene: Scene, signal: ev.CallAnswered | ev.TransferEnded | ev.GoodbyeAsked) -> None:
    """Handle what the telephone or the runtime reports."""
    match signal:
        case ev.CallAnswered():
            _answered(scene)
        case ev.TransferEnded():
            _transfer_ended(scene, signal)
        case ev.GoodbyeAsked():
            ask_goodbye(scene, signal.reason, signal.say)
        case never:
            assert_never(never)


def ask(scene: Scene, signal: ev.HangUpAsked | ev.TransferAsked | ev.HoldAsked) -> Reply:
    """Do for a tool what the telephone can, where its agent is still the one that speaks."""
    if signal.stay != scene.state.stay or scene.state.ending or scene.state.agent_id is None:
        return Reply("The conversation has moved on.", accepted=False, moved=True, needs_answer=False)
    match signal:
        case ev.HangUpAsked():
            return _hang_up(scene, signal.say)
        case ev.TransferAsked():
            _transfer(scene, signal.to, signal.say or "")
            return Reply("The caller is being put through.", moved=True, needs_answer=False)
        case ev.HoldAsked():
            return _hold(scene, signal.seconds)
        case never:
            assert_never(never)


# ------------------------------------------------------------ calls that go out


def _answered(scene: Scene) -> None:
    """We have picked up and speak first; or the other side has, and says hello first, as people do."""
    if scene.state.agent_id is not None or scene.state.ending:
        return
    scene.order(StartTimer("max_duration", scene.workflow.session.max_duration_s))
    if scene.state.direction == "outbound":
        scene.order(StartTimer("hello", HELLO_S))
    else:
        paths.enter(scene, scene.workflow.entry.id, "entry", None)


def hello_over(scene: Scene) -> None:
    """Nobody has said hello: the agent speaks."""
    if scene.state.agent_id is None and not scene.state.ending:
        paths.enter(scene, scene.workflow.entry.id, "entry", None)


def met_by(scene: Scene, text: str) -> bool:
    """Handle who answered a call that went out; True where the turn needs nothing more."""
    state = scene.state
    if state.direction != "outbound" or state.ending:
        return False
    if state.turn <= MACHINE_TURNS and is_machine(text, first=state.agent_id is None):
        _machine(scene)
        return True
    if state.agent_id is not None:
        return False
    scene.order(CancelTimer("hello"))
    paths.enter(scene, scene.workflow.entry.id, "entry", None)
    if scene.workflow.entry.node.greeting.mode == "wait":
        scene.order(AskModel())
    return True


def _machine(scene: Scene) -> None:
    scene.order(StopSpeaking())
    _leave(scene, "voicemail")
    scene.record(ev.VoicemailDetected)
    if text := message_left(scene):
        scene.order(Say(text, interruptible=False))
    scene.order(HangUp("voicemail"))


def message_left(scene: Scene) -> str:
    """Return what is said to a machine; empty where nothing is."""
    voicemail = scene.workflow.session.voicemail
    leaves = voicemail is not None and voicemail.action == "leave_message"
    return prompts.spoken(scene, scene.workflow.voicemail_text) if leaves else ""


# ------------------------------------------------------------ goodbyes


def _hang_up(scene: Scene, say: str | None) -> Reply:
    paths.leave(scene, "call_ended", None, "agent_hangup")
    if say:
        scene.order(Say(say, interruptible=False))
    scene.order(HangUp("agent_hangup"))
    return Reply("The call ends.", moved=True, needs_answer=False)


def ask_goodbye(scene: Scene, reason: ev.Reason, say: str) -> None:
    """End the call for the runtime; a transfer that is under way has the caller already."""
    state = scene.state
    if state.transfer is not None or state.ending:
        return
    if state.agent_id is None:  # nobody has said hello yet: the fold has to know that the call is ending
        entry = scene.workflow.entry
        scene.record(ev.AgentEntered, agent_id=entry.id, agent_name=entry.name, cause="entry")
    _leave(scene, reason)
    scene.order(StopSpeaking())
    if say:
        scene.order(Say(say, interruptible=False))
    scene.order(HangUp(reason))


def gave_up(scene: Scene) -> None:
    """After too many failed answers in a row: hand the caller to a person, where there is one, or say goodbye."""
    failure, state = scene.workflow.session.failure, scene.state
    if state.failures < failure.after or state.ending or state.agent_id is None:
        return
    if failure.transfer_to and state.failures == failure.after:
        _transfer(scene, failure.transfer_to, "")
    else:
        ask_goodbye(scene, "error", wording("give_up", scene.language))


def _leave(scene: Scene, reason: ev.Reason) -> None:
    scene.order(CancelTimer("hello"))
    if scene.state.agent_id is not None and not scene.state.left:
        paths.leave(scene, "call_ended", None, reason)


def reopen(scene: Scene, text: str) -> bool:
    """Go on with a caller who speaks during the goodbye, once; thanks and farewells are no reason to."""
    state = scene.state
    may = state.closing in {"agent_hangup", "inactivity"} and not state.reopened and not state.ended
    if not may or state.agent_id is None or is_only_courteous(text):
        return False
    scene.order(StayOnLine())
    scene.order(StopSpeaking())
    agent = scene.agent
    scene.record(ev.AgentEntered, agent_id=agent.id, agent_name=agent.name, cause="resume")
    scene.order(EnterAgent(agent.id, scene.state.stay, "", interruptible=True, ask_model=False))
    return True


# ------------------------------------------------------------ transfers


def _transfer(scene: Scene, to: str, say: str) -> None:
    paths.leave(scene, "transfer", None)
    scene.record(ev.TransferStarted, to=to)
    scene.order(Transfer(to, say))


def _transfer_ended(scene: Scene, signal: ev.TransferEnded) -> None:
    """Hang up where the caller has been handed over; else the caller is back, is told so, and goes on here."""
    transfer = scene.state.transfer
    if transfer is None:
        return
    fields: dict[str, Any] = {"path_id": transfer.path_id, "to": transfer.to, "mode": transfer.mode}
    fields["sip_status"] = signal.sip_status
    if signal.ok:
        scene.record(ev.TransferSucceeded, **fields)
        scene.order(HangUp("transferred"))
        return
    scene.record(ev.TransferFailed, **fields, why=signal.why)
    spoke_meanwhile = scene.state.turn > transfer.turn
    come_back(scene, transfer.path_id, transfer.agent_id or scene.workflow.entry.id)
    if spoke_meanwhile:
        scene.order(AskModel())


def come_back(scene: Scene, path_id: str | None, agent_id: str) -> None:
    """Go on with a caller who was not put through: at the path's agent for that, else at `agent_id`."""
    path = scene.workflow.paths.get(path_id or "")
    config = path.config.transfer_call if path else None
    back = (config.on_failure_agent_id if config else None) or agent_id
    scene.said.append(wording("not_transferred", scene.workflow.agents[back].language))
    paths.enter(scene, back, "resume", path_id)


# ------------------------------------------------------------ a moment's hold


def _hold(scene: Scene, seconds: float) -> Reply:
    seconds = min(max(seconds, 1.0), MAX_HOLD_S)
    end_hold(scene)
    scene.record(ev.HoldStarted, seconds=seconds)
    scene.order(CancelTimer("silence"))
    scene.order(StartTimer("hold", seconds))
    scene.order(Say(wording("on_hold", scene.language)))
    return Reply("The caller has a moment.", needs_answer=False)


def on_hold(scene: Scene, text: str) -> bool:
    """Whether what was said is not for the agent: the caller is not back yet."""
    if not scene.state.hold:
        return False
    awaited = awaited_variable(scene)
    telling = awaited is not None and awaited.data_type in TELLING
    gives = telling and awaited is not None and bool(find_all(awaited, text, scene.context))
    if is_return(text) or gives:
        end_hold(scene)
        return False
    return True


def end_hold(scene: Scene, *, prompt: bool = False) -> None:
    """End the hold; `prompt` where it ran out, and the caller is asked."""
    if not scene.state.hold:
        return
    paths.end_hold(scene)
    asked = scene.workflow.silence_prompts
    if prompt and asked:
        scene.order(Say(prompts.again(scene, asked[0])))
    elif prompt:
        paths.rearm_silence(scene)
