"""advance(workflow, state, signal) -> Step: everything that happened is a fact, everything to be done is a command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from runtime.conversation import events as ev
from runtime.conversation import keypad, masking, paths, prompts, resuming, telephone
from runtime.conversation.commands import AskModel, CancelTimer, Close, HangUp, Say, StartTimer
from runtime.conversation.folding import APOLOGY
from runtime.conversation.scene import Reply, Scene, Step
from runtime.conversation.state import CallState
from runtime.conversation.values import awaited_variable, offer, offer_found
from runtime.conversation.wordings import wording
from runtime.variables import is_partial, said, say_back
from runtime.workflow.graph import Workflow

__all__ = ["advance"]

Json = Any
FROM_OUTSIDE = (ev.TurnHeard, ev.KeyPressed, ev.TimerFired, ev.CallStopped, ev.FaultNoticed, ev.CallTakenOver)
"""What happens by itself: its first fact follows from no event of the call."""
TRANSFER_PATIENCE_S = 1.0
MAX_UNASKED = 4
"""After so many turns of the agent in a row the caller is not told more unasked."""
NO_WORKSPACE: Mapping[str, str] = {}


def advance(
    workflow: Workflow, state: CallState, signal: ev.Signal, workspace: Mapping[str, str] = NO_WORKSPACE
) -> Step:
    """Return what `signal` leads to: the new state, the facts to be stored first, the commands, and the asker's reply.

    Pure: the same arguments give the same step. A signal before `CallBegan` or after the call's end changes nothing.
    """
    scene = Scene(workflow, workspace, state, signal.at)
    if isinstance(signal, FROM_OUTSIDE) and not state.ending:
        scene.cause = None
    if state.ended or state.started == isinstance(signal, ev.CallBegan):
        return scene.done(Reply("The call is over.", accepted=False, moved=True, needs_answer=False))
    return scene.done(_handle(scene, signal))


def _handle(scene: Scene, signal: ev.Signal) -> Reply | None:  # noqa: C901, PLR0912 - one case a signal
    match signal:
        case ev.CallBegan():
            _begin(scene, signal)
        case ev.TurnHeard():
            _turn(scene, signal)
        case ev.AgentSpoke():
            _agent_spoke(scene, signal)
        case ev.AnswerEnded():
            _answer_ended(scene, signal)
        case ev.CallerSpeaking():
            _caller_speaking(scene)
        case ev.ValuesGiven():
            return _remember(scene, signal)
        case ev.PathAsked():
            return paths.ask(scene, signal.path_id, signal.stay, signal.values, "model")
        case ev.ToolAsked():
            return _tool_asked(scene, signal)
        case ev.ToolReturned():
            return _tool_returned(scene, signal)
        case ev.KeyPressed():
            keypad.press(scene, signal.key)
        case ev.TimerFired():
            _timer(scene, signal)
        case ev.SpeechCutOff():
            scene.record(ev.AgentInterrupted, at_ms=signal.at_ms)
        case ev.FaultNoticed():
            _fault(scene, signal)
        case ev.UsageCounted():
            _usage(scene, signal)
        case ev.CallAnswered() | ev.TransferEnded() | ev.GoodbyeAsked():
            telephone.handle(scene, signal)
        case ev.HangUpAsked() | ev.TransferAsked() | ev.HoldAsked():
            return telephone.ask(scene, signal)
        case ev.CallTakenOver() | ev.CallStopped():
            _handed_on(scene, signal)
        case never:
            assert_never(never)
    return None


def _begin(scene: Scene, signal: ev.CallBegan) -> None:
    scene.record(
        ev.CallStarted,
        session_id=signal.session_id,
        channel=signal.channel,
        direction=signal.direction,
        caller=signal.caller,
        dialled=signal.dialled,
        workflow_id=signal.workflow_id,
        workflow_version_id=signal.workflow_version_id,
        runtime_version=signal.runtime_version,
        request_id=signal.request_id,
    )
    offer(scene, signal.presets, "preset")
    variables = scene.workflow.variables
    offer(scene, {name: spec.default for name, spec in variables.items() if name not in scene.state.known}, "preset")
    if signal.answered:
        scene.order(StartTimer("max_duration", scene.workflow.session.max_duration_s))
        paths.enter(scene, scene.workflow.entry.id, "entry", None)


def _turn(scene: Scene, signal: ev.TurnHeard) -> None:
    awaited = awaited_variable(scene)
    joined = " ".join((*scene.state.partials, signal.text))
    scene.record(
        ev.UserTurn,
        turn=scene.state.turn + 1,
        text=signal.text,
        partial=awaited is not None and is_partial(awaited, joined, scene.context),
        language=signal.language,
        stt_confidence=signal.stt_confidence,
        start_ms=signal.start_ms,
        end_ms=signal.end_ms,
        eou_delay_ms=signal.eou_delay_ms,
        stt_delay_ms=signal.stt_delay_ms,
    )
    scene.order(CancelTimer("silence"))
    if telephone.met_by(scene, signal.text):
        return
    if scene.state.ending and not telephone.reopen(scene, signal.text):
        return
    if scene.state.agent_id is None or scene.state.entry is not None or telephone.on_hold(scene, signal.text):
        return
    if not paths.after_turn(scene, signal.text):
        scene.order(AskModel())


def _caller_speaking(scene: Scene) -> None:
    if scene.state.agent_id is not None:
        paths.rearm_silence(scene)
    elif scene.state.direction == "outbound":
        scene.order(StartTimer("hello", telephone.HELLO_S))


def _agent_spoke(scene: Scene, signal: ev.AgentSpoke) -> None:
    heard = [
        name
        for name, pending in scene.state.pending.items()
        if said(scene.workflow.variables[name], pending.value, signal.spoken_text, scene.context, scene.language)
    ]
    own = signal.reads_back
    if own is not None and own in scene.state.pending and own not in heard and not signal.interrupted:
        heard.append(own)
    speaker = scene.workflow.agents.get(signal.agent_id or "")
    scene.record(
        ev.AgentTurn,
        **({"agent_id": speaker.id, "agent_name": speaker.name} if speaker else {}),
        text=signal.text,
        spoken_text=signal.spoken_text,
        interrupted=signal.interrupted,
        start_ms=signal.start_ms,
        end_ms=signal.end_ms,
        llm_ttft_ms=signal.llm_ttft_ms,
        tts_ttfb_ms=signal.tts_ttfb_ms,
        response_ms=signal.response_ms,
        model=signal.model,
        read_back=heard,
    )


def _answer_ended(scene: Scene, signal: ev.AnswerEnded) -> None:
    state = scene.state
    if state.agent_id is None or state.ending or state.entry is not None or state.hold:
        return
    if signal.interrupted:  # the caller is speaking: nothing is said into it, and nothing taken for an answer
        paths.rearm_silence(scene)
        return
    if paths.otherwise(scene):
        return
    unread = [scene.workflow.variables[name] for name, held in state.pending.items() if held.read_back_turn is None]
    asked = any(held.read_back_turn == state.turn for held in state.pending.values())
    if unread and not asked and state.spoken < MAX_UNASKED:
        # The model was told to read it back and did not: the engine does, one value at a time.
        aloud = say_back(
            unread[0], state.pending[unread[0].name].value, scene.language, spell=unread[0].confirm == "spell"
        )
        scene.order(Say(prompts.question_of(scene, aloud), reads_back=unread[0].name))
        return
    paths.rearm_silence(scene)


def _remember(scene: Scene, signal: ev.ValuesGiven) -> Reply:
    if signal.stay != scene.state.stay or scene.state.ending or scene.state.agent_id is None:
        return Reply(
            "The conversation has moved on; nothing was recorded.", accepted=False, moved=True, needs_answer=False
        )
    offered = offer(scene, signal.values, "speech")
    for name in offered.invalid:
        if (moved := paths.fall_back(scene, name)) is not None:
            return moved
    if paths.settle(scene):
        return Reply("Recorded. The conversation has moved on.", moved=True, needs_answer=False)
    trouble = bool(offered.invalid or offered.incomplete or offered.unknown or scene.state.pending)
    text = prompts.remembered(scene, offered.invalid, offered.incomplete, offered.unknown)
    return Reply(text, accepted=not offered.invalid, needs_answer=trouble)


def _tool_asked(scene: Scene, signal: ev.ToolAsked) -> Reply:
    nowhere = scene.state.agent_id is None and not signal.at_start
    if signal.stay != scene.state.stay or scene.state.ending or nowhere:
        return Reply(
            "The conversation has moved on; this was not done.", accepted=False, moved=True, needs_answer=False
        )
    if signal.tool_call_id in scene.state.tools:
        return Reply("This is running already.", accepted=False)
    scene.record(
        ev.ToolStarted,
        tool_call_id=signal.tool_call_id,
        tool_type=signal.tool_type,
        name=signal.name,
        arguments=signal.arguments,
        mocked=signal.mocked,
    )
    return Reply("Running.")


def _tool_returned(scene: Scene, signal: ev.ToolReturned) -> Reply:
    running = scene.state.tools.get(signal.tool_call_id)
    if running is None:
        return Reply("No such call of a tool.", accepted=False)
    started = running.fact
    common: dict[str, Json] = {
        "agent_id": started.agent_id,
        "agent_name": started.agent_name,
        "tool_call_id": started.tool_call_id,
        "tool_type": started.tool_type,
        "name": started.name,
    }
    common |= {"mocked": started.mocked, "duration_ms": signal.duration_ms, "result_preview": _preview(scene, signal)}
    here = running.stay == scene.state.stay
    scene.cause = running.seq
    common["path_id"] = signal.request_path_id
    if signal.ok:
        assigned = {name: value for name, value in signal.assigned.items() if scene.spec(name) is not None}
        scene.record(ev.ToolSucceeded, **common, sources=list(signal.sources), assigned=assigned)
    else:
        scene.record(ev.ToolFailed, **common, error_code=signal.error_code)
    if not here or scene.state.ending:
        return Reply("The conversation has moved on.", moved=True, needs_answer=False)
    offer_found(scene, started, signal.assigned)
    if scene.state.agent_id is None:
        return Reply("")
    paths.rearm_silence(scene)
    asked = signal.request_path_id is not None and paths.request_by_engine(scene, signal.request_path_id, "tool")
    if asked or paths.settle(scene):
        return Reply("The conversation has moved on.", moved=True, needs_answer=False)
    return Reply("")


def _preview(scene: Scene, signal: ev.ToolReturned) -> str:
    """Return what the event shows of a result; one that brings a sensitive value shows nothing."""
    specs = (scene.spec(name) for name in signal.assigned)
    return masking.MASK if any(spec is not None and spec.sensitive for spec in specs) else signal.result_preview


def _timer(scene: Scene, signal: ev.TimerFired) -> None:
    match signal.name:
        case "keypad":
            keypad.end_entry(scene, "pause")
        case "silence":
            _silence(scene)
        case "hello":
            telephone.hello_over(scene)
        case "hold":
            telephone.end_hold(scene, prompt=True)
        case "max_duration":
            if scene.state.transfer is not None or scene.state.ending:  # it may come back, and is then over
                scene.order(StartTimer("max_duration", TRANSFER_PATIENCE_S))
            else:
                telephone.ask_goodbye(scene, "max_duration", wording("time_limit", scene.language))
        case never:
            assert_never(never)


def _silence(scene: Scene) -> None:
    silence = scene.workflow.session.silence
    state = scene.state
    if silence is None or state.agent_id is None or state.ending or state.entry is not None or state.hold:
        return
    if state.tools:  # somebody is at work for the caller: the silence is not theirs
        paths.rearm_silence(scene)
        return
    scene.record(ev.SilenceElapsed, seconds=silence.after_s, prompt=state.silences + 1)
    asked = scene.workflow.silence_prompts
    if state.silences < len(asked):
        scene.order(Say(prompts.again(scene, asked[state.silences])))
    elif silence.then == "end_call":
        paths.leave(scene, "call_ended", None, "inactivity")
        scene.order(HangUp("inactivity"))


def _fault(scene: Scene, signal: ev.FaultNoticed) -> None:
    scene.record(
        ev.FaultRaised,
        component=signal.component,
        code=signal.code,
        message=signal.message,
        retryable=signal.retryable,
        recovered_by=signal.recovered_by,
    )
    if signal.recovered_by == APOLOGY:
        telephone.gave_up(scene)


def _usage(scene: Scene, signal: ev.UsageCounted) -> None:
    agent = scene.workflow.agents.get(signal.agent_id or "")
    scene.record(
        ev.UsageReported,
        scope=signal.scope,
        usage=signal.usage,
        agent_id=agent.id if agent else None,
        agent_name=agent.name if agent else None,
    )


def _handed_on(scene: Scene, signal: ev.CallTakenOver | ev.CallStopped) -> None:
    if isinstance(signal, ev.CallTakenOver):
        resuming.resume(scene, signal)
    else:
        _stop(scene, signal)


def _stop(scene: Scene, signal: ev.CallStopped) -> None:
    resuming.give_up_tools(scene, "call_ended")
    if scene.state.transfer is not None:
        transfer = scene.state.transfer
        scene.record(ev.TransferFailed, path_id=transfer.path_id, to=transfer.to, mode=transfer.mode, why="call_ended")
    if scene.state.agent_id is not None and not scene.state.left:
        paths.leave(scene, "call_ended", None)
    scene.record(
        ev.CallEnded,
        status=signal.status,
        # The caller's leg may leave before our own goodbye to it: they have been put through all the same.
        reason="transferred" if scene.state.closing == "transferred" else signal.reason,
        duration_ms=scene.at.elapsed_ms,
        turns=scene.state.turn,
        variables=scene.state.values,
    )
    scene.order(Close())
