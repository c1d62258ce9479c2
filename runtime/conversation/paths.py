"""Whether a path may be taken, and taking it: the rule that the engine and not the model decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from runtime.conversation import events as ev
from runtime.conversation import prompts
from runtime.conversation.commands import (
    CancelTimer,
    EnterAgent,
    HangUp,
    ReportUsage,
    Say,
    StartTimer,
    Transfer,
)
from runtime.conversation.scene import Reply, Scene
from runtime.conversation.state import CallState
from runtime.conversation.values import Offered, answer_read_backs, awaited_variable, offer
from runtime.workflow.graph import Path

__all__ = [
    "after_turn",
    "ask",
    "end_hold",
    "enter",
    "fall_back",
    "follow",
    "leave",
    "otherwise",
    "rearm_silence",
    "request_by_engine",
    "settle",
]

Json = Any
MAX_AUTOMATIC = 25


@dataclass(frozen=True, slots=True)
class _Verdict:
    missing: tuple[str, ...]
    unconfirmed: tuple[str, ...]
    guard: ev.GuardRead | None

    @property
    def allowed(self) -> bool:
        return not self.missing and not self.unconfirmed and (self.guard is None or self.guard.result is True)


def judge(scene: Scene, path: Path) -> _Verdict:
    """Weigh a path: every required variable known and confirmed, and its guard true."""
    state = scene.state
    # A value that is being corrected is not acted on either, be it required, optional or read by the guard.
    read = path.guard.reads if path.guard is not None else ()
    unconfirmed = [
        name for name in dict.fromkeys((*path.required, *path.optional, *read)) if _contested(state, name, path)
    ]
    missing = [name for name in path.required if name not in state.known and name not in state.pending]
    guard = None
    if path.guard is not None:
        values = state.values
        result = path.guard.evaluate(values, guard_facts(scene))
        missing += [name for name in result.missing if name not in missing and name not in unconfirmed]
        guard = ev.GuardRead(
            text=path.guard.text,
            values={name: values.get(name) for name in path.guard.reads},
            result=None if result.missing or result.fault else result.holds,
            fault=result.fault,
        )
    return _Verdict(tuple(missing), tuple(unconfirmed), guard)


def _contested(state: CallState, name: str, path: Path) -> bool:
    return name in state.pending and (name in path.required or name in state.known or name not in path.optional)


def guard_facts(scene: Scene) -> dict[str, Json]:
    """Return what a guard may read beside the variables."""
    state = scene.state
    awaited = awaited_variable(scene)
    return {
        "attempts": state.attempts.get(awaited.name, 0) if awaited else 0,
        "visits": state.visits.get(state.agent_id or "", 0),
        "call": {"id": state.session_id, "channel": state.channel, "direction": state.direction},
        "caller": {"number": state.caller or "", "dialled": state.dialled or ""},
        "workspace": dict(scene.workspace),
        "now": scene.at.wall,
    }


def ask(scene: Scene, path_id: str, stay: int, values: Mapping[str, Json], by: ev.By) -> Reply:
    """Handle a request: record it, take what is valid of its values, then take the path or refuse it."""
    path = scene.workflow.paths.get(path_id)
    if path is None or scene.state.agent_id is None:
        return Reply("There is no such path here.", accepted=False)
    scene.record(ev.PathRequested, path_id=path.id, path_name=path.name, by=by, values=values)
    if (reason := _out_of_turn(scene, path, stay, by)) is not None:
        return _refuse(scene, path, by, _Verdict((), (), None), reason)
    offered = offer(scene, values, "speech")
    for name in offered.invalid:
        if (moved := fall_back(scene, name)) is not None:
            return moved
    verdict = judge(scene, path)
    faulty = offered.invalid
    if verdict.allowed and not faulty:
        take(scene, path, verdict, by)
        return Reply("Done. The conversation has moved on.", moved=True, needs_answer=False)
    refused = _refuse(scene, path, by, verdict, _why(verdict, faulty), offered)
    if settle(scene):
        return Reply("The conversation has moved on.", accepted=False, moved=True, needs_answer=False)
    return refused


def _out_of_turn(scene: Scene, path: Path, stay: int, by: ev.By) -> ev.RefusalReason | None:
    state = scene.state
    if state.ending:
        return "call_ending"
    if stay != state.stay:
        return "path_already_taken" if state.path_turn == state.turn else "moved_on"
    if not any(path is other for other in scene.agent.offered) or (by == "model" and path.trigger != "model"):
        return "not_offered"
    if state.path_turn == state.turn and by not in {"rule", "dtmf"}:
        return "path_already_taken"
    return "cooldown" if _resting(state, path) else None


def _resting(state: CallState, path: Path) -> bool:
    last, turns = state.last_taken.get(path.id), path.config.cooldown_turns
    return bool(turns) and last is not None and state.turn - last <= turns


def _why(verdict: _Verdict, invalid: Mapping[str, ev.InvalidValue]) -> ev.RefusalReason:
    if invalid:
        return "invalid"
    if verdict.missing:
        return "missing"
    if verdict.unconfirmed:
        return "unconfirmed"
    if verdict.guard is not None and verdict.guard.fault is not None:
        return "guard_fault"
    return "guard"


def _refuse(
    scene: Scene,
    path: Path,
    by: ev.By,
    verdict: _Verdict,
    reason: ev.RefusalReason,
    offered: Offered | None = None,
) -> Reply:
    if reason == "guard_fault" and verdict.guard is not None:
        _guard_fault(scene, path, verdict.guard)
    invalid = offered.invalid if offered else {}
    fact = scene.record(
        ev.PathRefused,
        path_id=path.id,
        path_name=path.name,
        by=by,
        missing=[name for name in verdict.missing if name not in invalid],
        invalid=list(invalid.values()),
        unconfirmed=verdict.unconfirmed,
        guard=verdict.guard,
        reason=reason,
    )
    incomplete = offered.incomplete if offered else ()
    moved = reason in {"path_already_taken", "moved_on", "call_ending"}
    return Reply(prompts.refusal(scene, fact, incomplete), accepted=False, moved=moved, needs_answer=not moved)


def _guard_fault(scene: Scene, path: Path, guard: ev.GuardRead) -> None:
    message = f"The guard of path '{path.name}' could not be evaluated: {guard.fault}"
    if "guard_fault" + message not in scene.state.faulted:
        scene.record(ev.FaultRaised, component="guard", code="guard_fault", message=message)


def take(scene: Scene, path: Path, verdict: _Verdict, by: ev.By) -> None:
    """Record the path as taken and leave for where it leads; nothing of another path comes between."""
    end_hold(scene)
    state = scene.state
    names = [name for name in (*path.required, *path.optional) if name in state.known]
    scene.record(
        ev.PathTaken,
        path_id=path.id,
        path_name=path.name,
        by=by,
        from_agent_id=state.agent_id,
        to_agent_id=path.target_agent_id,
        variables=[
            ev.TakenVariable(name=name, value=state.known[name].value, source=state.known[name].source)
            for name in names
        ],
        guard=verdict.guard,
        latency_ms=max(0, scene.at.elapsed_ms - state.turn_ms) if state.turn else 0,
    )
    follow(scene, path)


def follow(scene: Scene, path: Path) -> None:
    """Go where a path leads that has been taken; of what it leads to, nothing but the agent's exit may have been recorded."""
    scene.said.append(prompts.spoken(scene, path.say))
    cause: Literal["global_path", "path"] = "global_path" if path.is_global else "path"
    if path.target_agent_id is not None:
        _leave_for(scene, cause, path.id)
        enter(scene, path.target_agent_id, cause, path.id)
    elif path.transfer_to is not None:
        to = prompts.plain(scene, path.transfer_to)
        _leave_for(scene, "transfer", path.id)
        scene.record(ev.TransferStarted, path_id=path.id, to=to)
        scene.order(Transfer(to, scene.take_said()))
    else:
        scene.said.append(prompts.spoken(scene, path.end_say))
        _leave_for(scene, cause, path.id, "agent_hangup")
        if text := scene.take_said():
            scene.order(Say(text, interruptible=False))
        scene.order(HangUp("agent_hangup"))


def leave(
    scene: Scene,
    cause: Literal["path", "global_path", "transfer", "call_ended"],
    path_id: str | None,
    reason: ev.Reason | None = None,
) -> None:
    """Record the end of the stay; timers that belong to it are stopped. `reason` is why the call is about to end."""
    end_hold(scene)
    state = scene.state
    assert state.agent_id is not None
    scene.record(
        ev.AgentExited,
        cause=cause,
        path_id=path_id,
        dwell_ms=scene.at.elapsed_ms - state.entered_ms,
        turns=state.turn - state.entered_turn,
        reason=reason,
    )
    if state.entry is not None:
        scene.order(CancelTimer("keypad"))
    scene.order(CancelTimer("silence"))
    scene.order(ReportUsage(state.agent_id))


def _leave_for(
    scene: Scene,
    cause: Literal["path", "global_path", "transfer"],
    path_id: str,
    reason: ev.Reason | None = None,
) -> None:
    if not scene.state.left:
        leave(scene, cause, path_id, reason)


def end_hold(scene: Scene) -> None:
    """Record the end of a moment's hold, where there is one."""
    if scene.state.hold:
        scene.order(CancelTimer("hold"))
        scene.record(ev.HoldEnded, seconds=round((scene.at.elapsed_ms - scene.state.hold_ms) / 1000, 1))


def enter(scene: Scene, agent_id: str, cause: ev.Cause, path_id: str | None) -> None:
    """Record the arrival; an automatic path that holds at once is followed before anybody speaks."""
    agent = scene.workflow.agents[agent_id]
    scene.record(ev.AgentEntered, agent_id=agent_id, agent_name=agent.name, cause=cause, path_id=path_id)
    if (cause == "entry" and _wanted_at_start(scene)) or settle(scene):
        return
    text, ask_model = prompts.arrival(scene, agent, cause)
    scene.said.append(text)
    scene.order(
        EnterAgent(
            agent_id,
            scene.state.stay,
            scene.take_said(),
            interruptible=agent.node.greeting.interruptible,
            ask_model=ask_model,
        )
    )
    if not text and not ask_model:
        rearm_silence(scene)


def _wanted_at_start(scene: Scene) -> bool:
    """Request the paths that the tools of `session.on_start` ask for; the first that is taken wins."""
    for tool in scene.workflow.on_start:
        succeeded = scene.state.at_start.get(tool.function_name)
        path_id = tool.on_success_path_id if succeeded else tool.on_failure_path_id
        if succeeded is not None and path_id is not None and request_by_engine(scene, path_id, "tool"):
            return True
    return False


def settle(scene: Scene) -> bool:
    """Take the first automatic path that holds, if any."""
    if scene.state.agent_id is None or scene.state.ending:
        return False
    for path in scene.agent.automatic:
        taken = path.id in scene.state.automatic or path.id in scene.state.failed
        if taken or len(scene.state.automatic) >= MAX_AUTOMATIC:
            continue
        if _resting(scene.state, path):
            continue
        verdict = judge(scene, path)
        if verdict.guard is not None and verdict.guard.fault is not None:
            _guard_fault(scene, path, verdict.guard)
        if verdict.allowed:
            scene.record(ev.PathRequested, path_id=path.id, path_name=path.name, by="rule")
            take(scene, path, verdict, "rule")
            return True
    return False


def otherwise(scene: Scene) -> bool:
    """Take the agent's `else` path where a caller's turn has ended and nothing else was taken."""
    state = scene.state
    if state.agent_id is None or state.ending or state.path_turn == state.turn or state.entered_turn >= state.turn:
        return False
    path = scene.agent.otherwise
    verdict = judge(scene, path) if path is not None else None
    if path is None or verdict is None:
        return False
    if verdict.guard is not None and verdict.guard.fault is not None:
        _guard_fault(scene, path, verdict.guard)
    if not verdict.allowed:
        return False
    return request_by_engine(scene, path.id, "rule")


def fall_back(scene: Scene, name: str) -> Reply | None:
    """After `max_attempts` failed answers, request the variable's fallback path."""
    spec = scene.workflow.variables[name]
    if scene.state.attempts.get(name, 0) < spec.max_attempts:
        return None
    fallback = next((path.fallbacks[name] for path in scene.agent.offered if name in path.fallbacks), None)
    if fallback is None or not request_by_engine(scene, fallback, "rule"):
        return None
    return Reply("The caller could not give it. The conversation has moved on.", moved=True, needs_answer=False)


def request_by_engine(scene: Scene, path_id: str, by: ev.By) -> bool:
    """Request a path for a rule, a key or a tool; whether it was taken is still its variables' and guard's to say."""
    path = scene.workflow.paths[path_id]
    scene.record(ev.PathRequested, path_id=path.id, path_name=path.name, by=by)
    reason = _out_of_turn(scene, path, scene.state.stay, by)
    if reason is not None:
        _refuse(scene, path, by, _Verdict((), (), None), reason)
        return False
    verdict = judge(scene, path)
    if verdict.allowed:
        take(scene, path, verdict, by)
        return True
    _refuse(scene, path, by, verdict, _why(verdict, {}))
    return False


def after_turn(scene: Scene, text: str) -> bool:
    """Do what follows from a caller's turn before any model is asked; True where the call has moved on."""
    denied = answer_read_backs(scene, text)
    return any(fall_back(scene, name) is not None for name in denied) or settle(scene)


def rearm_silence(scene: Scene) -> None:
    """Begin to count the caller's silence anew."""
    silence = scene.workflow.session.silence
    state = scene.state
    if silence is not None and not state.ending and state.entry is None and not state.hold:
        scene.order(StartTimer("silence", silence.after_s))
