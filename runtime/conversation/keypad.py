"""The caller's keys: a variable's entry, which is then the caller's turn, or a menu."""

from __future__ import annotations

from typing import Literal

from runtime.conversation import events as ev
from runtime.conversation import masking, paths, prompts, telephone
from runtime.conversation.commands import AskModel, CancelTimer, StartTimer, StopSpeaking
from runtime.conversation.scene import Scene
from runtime.conversation.values import awaited_variable, offer
from runtime.variables import VariableSpec, keypad_value

__all__ = ["PAUSE_S", "end_entry", "keep_open", "menu_key", "press", "resume_entry"]

PAUSE_S = 3.0
Ending = Literal["hash", "length", "pause"]


def press(scene: Scene, key: str) -> None:
    """Handle one key."""
    state = scene.state
    if state.agent_id is None or state.ending:
        scene.record(ev.DtmfReceived, digits=key)
        return
    telephone.end_hold(scene)
    spec = _expected(scene)
    if key == "#" and state.entry is None and state.entry_full:
        scene.record(ev.DtmfReceived, digits=key)
    elif spec is not None:
        _entry_key(scene, spec, key)
    else:
        _menu_key(scene, key)


def _expected(scene: Scene) -> VariableSpec | None:
    """The first missing variable that may be keyed: the awaited one first."""
    awaited = awaited_variable(scene)
    names = [awaited.name] if awaited else []
    names += [spec.name for path in scene.agent.offered for spec in path.variables]
    for name in names:
        spec = scene.workflow.variables[name]
        if spec.dtmf and name not in scene.state.known:
            return spec
    return _correctable(scene)


def _correctable(scene: Scene) -> VariableSpec | None:
    """What was keyed for the path whose guard then refused it may be keyed again."""
    path = scene.workflow.paths.get(scene.state.guarded or "")
    for spec in path.variables if path is not None else ():
        known = scene.state.known.get(spec.name)
        if spec.dtmf and known is not None and known.source == "dtmf":
            return spec
    return None


def _entry_key(scene: Scene, spec: VariableSpec, key: str) -> None:
    opened = scene.state.entry is None
    if opened and key == "#":
        scene.record(ev.DtmfReceived, digits=key)
        return
    entry = scene.state.entry or ""
    entry = "" if key == "*" else entry if key == "#" else entry + key
    scene.record(ev.DtmfReceived, digits=key, entry=entry)
    if opened:
        scene.order(StopSpeaking())
        scene.order(CancelTimer("silence"))
    _after_key(scene, spec, key, PAUSE_S)


def _after_key(scene: Scene, spec: VariableSpec, key: str | None, pause_s: float) -> None:
    if key == "#":
        end_entry(scene, "hash")
    elif spec.max_length is not None and len(scene.state.entry or "") >= spec.max_length:
        end_entry(scene, "length")
    else:
        scene.order(StartTimer("keypad", pause_s))


def end_entry(scene: Scene, ended_by: Ending) -> None:
    """Close the entry: it is the caller's turn, and fills what it was for."""
    entry, spec = scene.state.entry, _expected(scene)
    if entry is None:
        return
    scene.order(CancelTimer("keypad"))
    scene.record(ev.DtmfReceived, digits="", entry=entry, ended_by=ended_by)
    take_entry(scene, spec, entry)


def keep_open(scene: Scene, pause_s: float) -> None:
    """Go on with an entry that is open: end it where its last key was there, else give the caller `pause_s` for the next."""
    spec = _expected(scene)
    if spec is None:
        end_entry(scene, "pause")
    else:
        _after_key(scene, spec, scene.state.pressed, pause_s)


def resume_entry(scene: Scene, entry: str) -> None:
    """Take a complete entry that has come to nothing yet; where an answer is owed it is the caller's turn already."""
    take_entry(scene, _expected(scene), entry, is_turn=scene.state.owed)


def take_entry(scene: Scene, spec: VariableSpec | None, entry: str, *, is_turn: bool = False) -> None:
    """Make the entry the caller's turn, unless it is, and the value of what it was for."""
    if spec is None or not entry:
        scene.order(AskModel())
        return
    if not is_turn:
        scene.record(ev.UserTurn, turn=scene.state.turn + 1, text=entry, by="dtmf")
    offered = offer(scene, {spec.name: keypad_value(spec, entry)}, "dtmf")
    if any(paths.fall_back(scene, name) is not None for name in offered.invalid) or paths.settle(scene):
        return
    shown = masking.MASK if spec.sensitive else entry
    wrong = "".join(f" It is invalid: {fault.why}. Ask for it again." for fault in offered.invalid.values())
    scene.order(AskModel(f"(The caller keyed in {shown} for {spec.name}.{wrong})"))


def _menu_key(scene: Scene, key: str) -> None:
    scene.record(ev.DtmfReceived, digits=key)
    menu_key(scene, key)


def menu_key(scene: Scene, key: str) -> None:
    """Request the path of a menu's key that has been pressed."""
    path = scene.agent.dtmf.get(key)
    if path is None:
        return
    scene.order(StopSpeaking())
    if not paths.request_by_engine(scene, path.id, "dtmf"):
        scene.order(AskModel(f"(The caller pressed {key} for {path.name}. {prompts.last_refusal(scene)})"))
