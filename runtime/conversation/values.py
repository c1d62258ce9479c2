"""What becomes of a value that somebody offers: refused, held until the caller confirms it, or taken to be known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.conversation import events as ev
from runtime.conversation.scene import Scene
from runtime.conversation.state import CallState
from runtime.variables import (
    UNMISTAKABLE,
    Accepted,
    Rejected,
    VariableSpec,
    affirmation,
    find_all,
    given,
    is_empty,
    is_partial,
    normalise,
)

__all__ = ["Offered", "answer_read_backs", "awaited_variable", "offer", "offer_found", "settable"]

Json = Any
MUST_BE_GIVEN = frozenset({"digits", "phone", "email"})
CALLERS = frozenset({"speech", "dtmf"})
ALWAYS_CONFIRMED = frozenset({"once", "spell"})


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of the values offered together."""

    invalid: Mapping[str, ev.InvalidValue]
    incomplete: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def offer(scene: Scene, values: Mapping[str, Json], source: ev.Source) -> Offered:
    """Take each declared value that is valid, and record each that is not."""
    invalid: dict[str, ev.InvalidValue] = {}
    incomplete: list[str] = []
    unknown: list[str] = []
    for name, raw in values.items():
        spec = scene.spec(name)
        if spec is None or (source == "speech" and not settable(scene, name)):
            unknown.append(str(name)[:60])
            continue
        if is_empty(raw):
            continue
        match normalise(spec, raw, scene.context):
            case Rejected() if source == "speech" and _unfinished(scene, spec):
                incomplete.append(name)
            case Rejected(why=why):
                invalid[name] = reject(scene, spec, raw, source, why)
            case Accepted(value=value):
                if (fault := _take(scene, spec, value, raw, source)) is not None:
                    invalid[name] = fault
    return Offered(invalid, tuple(incomplete), tuple(unknown))


def offer_found(scene: Scene, started: ev.ToolStarted, values: Mapping[str, Json]) -> None:
    """Take what a tool found; what it was only told by the model counts as the model's word."""
    told = json.dumps(dict(started.arguments))
    for name, raw in values.items():
        spec = scene.spec(name)
        echoed = False
        if spec is not None and spec.data_type in MUST_BE_GIVEN and not is_empty(raw):
            result = normalise(spec, raw, scene.context)
            echoed = isinstance(result, Accepted) and given(spec, result.value, (told,), scene.context)
        offer(scene, {name: raw}, "speech" if echoed else "tool")


def settable(scene: Scene, name: str) -> bool:
    """Whether a model may record it: not what only tools fill, and not what was given from outside and is to stay."""
    spec, known = scene.spec(name), scene.state.known.get(name)
    if spec is None or (spec.preset and known is not None and known.source == "preset"):
        return False
    return name in scene.workflow.settable


def _unfinished(scene: Scene, spec: VariableSpec) -> bool:
    """An incomplete dictation joins the next turn and is no failed attempt."""
    said_so_far = " ".join(scene.state.partials)
    return bool(said_so_far) and is_partial(spec, said_so_far, scene.context)


def reject(scene: Scene, spec: VariableSpec, raw: Json, source: ev.Source, why: str) -> ev.InvalidValue:
    """Record a refused value; the caller's count as failed answers, several in one turn once."""
    attempt = scene.state.attempts.get(spec.name, 0)
    if source in CALLERS and spec.name not in scene.state.attempted:
        attempt += 1
    scene.record(
        ev.VariableRejected,
        name=spec.name,
        raw=raw,
        data_type=spec.data_type,
        source=source,
        attempt=attempt,
        why=why,
    )
    return ev.InvalidValue(name=spec.name, value=_short(raw), why=why)


def _short(raw: Json) -> str:
    return str(raw)[:200].replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _take(scene: Scene, spec: VariableSpec, value: Json, raw: Json, source: ev.Source) -> ev.InvalidValue | None:
    state = scene.state
    known, pending = state.known.get(spec.name), state.pending.get(spec.name)
    heard = source != "speech" or spec.data_type not in MUST_BE_GIVEN or _was_given(scene, spec, value)
    confirmed = source == "preset" or (heard and spec.confirm not in ALWAYS_CONFIRMED)
    if pending is not None and pending.value == value and not confirmed:
        return None
    if known is not None and known.value == value:
        if pending is not None:
            _withdraw(scene, spec, "the earlier value stands")
        return None
    if not heard and spec.confirm == "never":
        return reject(scene, spec, raw, source, "was not said by the caller")
    scene.record(
        ev.VariableCollected if known is None else ev.VariableCorrected,
        name=spec.name,
        value=value,
        raw=raw,
        data_type=spec.data_type,
        source=source,
        attempt=state.attempts.get(spec.name, 0),
        confirmed=confirmed,
        why=None if confirmed else "to be confirmed" if heard else "nobody said it",
    )
    return None


def _was_given(scene: Scene, spec: VariableSpec, value: Json) -> bool:
    """Whether the caller's words or keys, a tool's result or a preset contain it, and the caller has not denied it."""
    state, context = scene.state, scene.context
    if (spec.name, value) in state.denied:
        return False
    presets = tuple(str(known.value) for known in state.known.values() if known.source == "preset")
    if any(given(spec, value, texts, context) for texts in (state.heard, state.keyed, presets)):
        return True
    return any(
        given(spec, value, (found,), context) and not given(spec, value, (told,), context)
        for found, told in state.found
    )


def _withdraw(scene: Scene, spec: VariableSpec, why: str, *, failed: bool = False) -> None:
    held = scene.state.pending[spec.name]
    scene.record(
        ev.VariableRejected,
        name=spec.name,
        value=held.value,
        data_type=spec.data_type,
        source=held.source,
        attempt=scene.state.attempts.get(spec.name, 0) + failed,
        why=why,
        withdrawn=True,
    )


def answer_read_backs(scene: Scene, text: str) -> tuple[str, ...]:
    """Let the caller's own yes or no settle what was read back just before; return what was denied."""
    if not scene.state.pending:
        return ()
    answer = affirmation(text, scene.language)
    denied = []
    for name, held in list(scene.state.pending.items()):
        if held.read_back_turn != scene.state.turn - 1:
            continue
        spec = scene.workflow.variables[name]
        if _names_another(scene, spec, held.value, text):
            _withdraw(scene, spec, "the caller gave another value")
        elif answer == "no":
            _withdraw(scene, spec, "the caller said that it is wrong", failed=True)
            denied.append(name)
        elif answer == "yes":
            scene.record(
                ev.VariableConfirmed,
                name=name,
                value=held.value,
                data_type=spec.data_type,
                source=held.source,
                attempt=scene.state.attempts.get(name, 0),
            )
    return tuple(denied)


def _names_another(scene: Scene, spec: VariableSpec, value: Json, text: str) -> bool:
    """Whether the answer holds another value of this type: "yes, it's 4272" is no yes to 4271."""
    if spec.data_type in UNMISTAKABLE:
        return False
    found = find_all(spec, text, scene.context)
    return bool(found) and value not in found


def awaited_variable(scene: Scene) -> VariableSpec | None:
    """Return what the caller is expected to give next: what was asked last, else the first that is missing."""
    state: CallState = scene.state
    if state.agent_id is None:
        return None
    if state.asked is not None and state.asked not in state.known:
        return scene.spec(state.asked)
    paths = sorted(scene.agent.offered, key=lambda path: path.id != state.focus)
    for path in paths:
        for name in path.required:
            if name not in state.known:
                return scene.spec(name)
    return None
