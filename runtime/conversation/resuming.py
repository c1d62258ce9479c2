"""A call that goes on at another worker: what was begun is brought to its end, and the caller hears one short sentence."""

from __future__ import annotations

from runtime.conversation import events as ev
from runtime.conversation import keypad, paths, prompts, telephone
from runtime.conversation.commands import AskModel, EnterAgent, HangUp, Say, StartTimer
from runtime.conversation.scene import Scene
from runtime.conversation.state import UNREADABLE
from runtime.conversation.values import offer_found
from runtime.conversation.wordings import resuming_wording, wording

__all__ = ["ENTRY_S", "give_up_tools", "resume"]

ENTRY_S = 6.0
"""What a caller who was keying in when the worker died has for the next key: they hear a sentence first."""


def resume(scene: Scene, signal: ev.CallTakenOver) -> None:
    """Go on from a state that may have been left between any two facts."""
    scene.record(ev.CallResumed, worker_id=signal.worker_id, lost_ms=signal.lost_ms, forgotten=signal.forgotten)
    _take_found(scene)
    give_up_tools(scene, "worker_lost")
    state = scene.state
    if state.agent_id is None:  # nobody has spoken yet: `CallAnswered` follows
        return
    _count_on(scene)
    _put_in_force(scene)
    if state.transfer is not None:
        telephone.handle(scene, ev.TransferEnded(at=signal.at, ok=False, why="worker_lost"))
    elif state.closing is not None and not _reopened(scene):
        _part(scene)
    else:
        scene.said.append(resuming_wording("lost", scene.language))
        _go_on(scene)


def give_up_tools(scene: Scene, error_code: str) -> None:
    """Record of each tool that runs that nobody waits for it any more."""
    cause = scene.cause
    for running in list(scene.state.tools.values()):
        tool = running.fact
        scene.cause = running.seq
        scene.record(
            ev.ToolFailed,
            agent_id=tool.agent_id,
            agent_name=tool.agent_name,
            tool_call_id=tool.tool_call_id,
            tool_type=tool.tool_type,
            name=tool.name,
            mocked=tool.mocked,
            duration_ms=max(0, scene.at.elapsed_ms - tool.elapsed_ms),
            error_code=error_code,
        )
    if error_code == "worker_lost":  # a call that ends, ends for the sake of its last tool
        scene.cause = cause


def _take_found(scene: Scene) -> None:
    """Take what a tool brought just before; what no key opens counts as not brought."""
    returned, cause = scene.state.returned, scene.cause
    if returned is None:
        return
    scene.cause = returned.seq
    offer_found(
        scene, returned.started, {name: value for name, value in returned.values.items() if value != UNREADABLE}
    )
    scene.cause = cause


def _count_on(scene: Scene) -> None:
    """Let the call's longest duration end when it would have."""
    talked_s = (scene.at.elapsed_ms - (scene.state.talk_ms or 0)) / 1000
    scene.order(StartTimer("max_duration", max(1.0, scene.workflow.session.max_duration_s - talked_s)))


def _put_in_force(scene: Scene) -> None:
    """Have the agent's models and functions, and let it say nothing by itself."""
    assert scene.state.agent_id is not None
    scene.order(EnterAgent(scene.state.agent_id, scene.state.stay, "", interruptible=True, ask_model=False))


# ------------------------------------------------------------ what was about to end


def _reopened(scene: Scene) -> bool:
    """Whether the caller spoke into the goodbye, and so that the call is to go on."""
    said = scene.state.said
    return scene.state.owed and said is not None and telephone.reopen(scene, said)


def _part(scene: Scene) -> None:
    """Say goodbye again where it was not said to its end, and hang up."""
    state, reason = scene.state, scene.state.closing
    assert reason is not None
    text = "" if state.spoke_here else _goodbye(scene, reason)
    if text:
        scene.order(Say(text, interruptible=False))
    scene.order(HangUp(reason))


def _goodbye(scene: Scene, reason: ev.Reason) -> str:
    path = scene.workflow.paths.get(scene.state.under_way or "")
    text = prompts.spoken(scene, path.end_say) if path is not None else ""
    if text:
        return f"{resuming_wording('lost', scene.language)} {text}"
    match reason:
        case "transferred":
            return ""
        case "voicemail":
            return telephone.message_left(scene)
        case "max_duration":
            return wording("time_limit", scene.language)
        case "drained":
            return wording("drained", scene.language)
        case "error":
            return wording("give_up", scene.language)
        case _:
            return resuming_wording("parted", scene.language)


# ------------------------------------------------------------ what goes on


def _go_on(scene: Scene) -> None:
    stay, returned = scene.state.stay, scene.state.returned
    if scene.state.left or scene.state.under_way is not None:
        _move_on(scene)
    elif returned is not None and returned.path_id is not None and _asked_by_tool(scene, returned.path_id):
        return
    elif scene.state.entry is not None:
        _say_now(scene)
        keypad.keep_open(scene, ENTRY_S)
    elif not _finished(scene) and scene.state.stay == stay and not scene.state.ending:
        _speak(scene)


def _asked_by_tool(scene: Scene, path_id: str) -> bool:
    """Request the path that a tool's end leads to; True where the call has moved on."""
    return path_id in scene.workflow.paths and paths.request_by_engine(scene, path_id, "tool")


def _move_on(scene: Scene) -> None:
    """The agent was being left: go where its path leads, or back to it where that is not known."""
    state = scene.state
    path = scene.workflow.paths.get(state.under_way or "")
    assert state.agent_id is not None
    if path is None:
        paths.enter(scene, state.agent_id, "resume", None)
        _ask_again(scene)
    elif path.transfer_to is not None and path.id in state.failed:
        telephone.come_back(scene, path.id, state.agent_id)
    else:
        paths.follow(scene, path)


def _finished(scene: Scene) -> bool:
    """Do what the last facts call for and nobody has done; True where that says what is to be said."""
    state = scene.state
    if state.wanted is not None and _decided(scene, state.wanted):
        return True
    if state.pressed is not None and state.pressed in scene.agent.dtmf:
        _say_now(scene)
        keypad.menu_key(scene, state.pressed)
        return True
    if state.keyed_in is not None:
        _say_now(scene)
        keypad.resume_entry(scene, state.keyed_in)
        return True
    if state.owed and state.said is not None:
        return _turn_taken(scene, state.said)
    return not state.hold and paths.settle(scene)


def _decided(scene: Scene, asked: ev.PathRequested) -> bool:
    """Decide on a path that was asked for; True where the call has moved on."""
    if asked.by != "model":
        return paths.request_by_engine(scene, asked.path_id, asked.by)
    return paths.ask(scene, asked.path_id, scene.state.stay, asked.values, "model").moved


def _turn_taken(scene: Scene, text: str) -> bool:
    """Take the caller's turn as if it had come just now, but for its record; True where nothing more is to be said."""
    if telephone.met_by(scene, text):
        return True
    if telephone.on_hold(scene, text):
        return False
    failed = (name for name in scene.state.attempted if paths.fall_back(scene, name) is not None)
    return any(failed) or paths.after_turn(scene, text)


def _say_now(scene: Scene) -> None:
    """Say the sentence before whatever follows, which may be a model's answer."""
    if text := scene.take_said():
        scene.order(Say(text))


def _speak(scene: Scene) -> None:
    state = scene.state
    if state.hold:
        _say_now(scene)
        scene.order(StartTimer("hold", max(1.0, state.hold_s - (scene.at.elapsed_ms - state.hold_ms) / 1000)))
    elif not state.spoke_here:
        _arrive(scene)
    elif state.owed:
        _say_now(scene)
        scene.order(AskModel())
    else:
        _ask_again(scene)


def _arrive(scene: Scene) -> None:
    """The agent has not been heard yet: it opens as it would have."""
    text, ask_model = prompts.arrival(scene, scene.agent, "entry" if scene.state.stay == 1 else "path")
    scene.said.append(text)
    said, interruptible = scene.take_said(), scene.agent.node.greeting.interruptible
    scene.order(EnterAgent(scene.agent.id, scene.state.stay, said, interruptible=interruptible, ask_model=ask_model))
    if scene.state.owed and not text and not ask_model:
        scene.order(AskModel())


def _ask_again(scene: Scene) -> None:
    """Repeat what the caller has been asked; of a read-back it is known that it is one."""
    state = scene.state
    text = " ".join(filter(None, (scene.take_said(), state.question)))
    read = [name for name, held in state.pending.items() if held.read_back_turn == state.turn]
    if text:
        scene.order(Say(text, reads_back=read[-1] if read and state.question else None))
