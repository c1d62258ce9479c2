"""What becomes of a value that somebody offers: refused, held until the caller confirms it, or taken to be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.conversation import events as ev
from runtime.conversation.scene import Scene
from runtime.variables import (
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

__all__ = ["Offered", "answer_read_backs", "awaited_variable", "offer", "read_backs"]

Json = Any
MUST_BE_GIVEN = frozenset({"digits", "phone", "email"})


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
        if spec is None:
            unknown.append(str(name)[:60])
            continue
        if is_empty(raw):
            continue
        match normalise(spec, raw, scene.context):
            case Rejected(why=why) if source == "speech" and _unfinished(scene, spec):
                del why
                incomplete.append(name)
            case Rejected(why=why):
                invalid[name] = reject(scene, spec, raw, source, why)
            case Accepted(value=value):
                if (fault := _take(scene, spec, value, raw, source)) is not None:
                    invalid[name] = fault
    return Offered(invalid, tuple(incomplete), tuple(unknown))


def _unfinished(scene: Scene, spec: VariableSpec) -> bool:
    """An incomplete dictation joins the next turn and is no failed attempt."""
    said_so_far = " ".join(scene.state.partials)
    return bool(said_so_far) and is_partial(spec, said_so_far, scene.context)


def reject(scene: Scene, spec: VariableSpec, raw: Json, source: ev.Source, why: str) -> ev.InvalidValue:
    """Record a failed answer; several in one turn count once."""
    before = scene.state.attempts.get(spec.name, 0)
    attempt = before if spec.name in scene.state.attempted else before + 1
    scene.record(
        ev.VariableRejected,
        name=spec.name,
        raw=raw,
        data_type=spec.data_type,
        source=source,
        attempt=attempt,
        why=why,
    )
    return ev.InvalidValue(name=spec.name, value=scene_text(raw), why=why)


def scene_text(raw: Json) -> str:
    """Return what was offered as short text."""
    return str(raw)[:200].replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _take(scene: Scene, spec: VariableSpec, value: Json, raw: Json, source: ev.Source) -> ev.InvalidValue | None:
    state = scene.state
    known, pending = state.known.get(spec.name), state.pending.get(spec.name)
    if pending is not None and pending.value == value:
        return None
    if known is not None and known.value == value:
        if pending is not None:
            _withdraw(scene, spec, "the earlier value stands")
        return None
    heard = source != "speech" or spec.data_type not in MUST_BE_GIVEN or _was_given(scene, spec, value)
    if not heard and spec.confirm == "never":
        return reject(scene, spec, raw, source, "the caller did not say it; ask the caller for it")
    confirmed = source in {"preset", "tool"} or (heard and spec.confirm not in {"once", "spell"})
    kind = ev.VariableCollected if known is None else ev.VariableCorrected
    scene.record(
        kind,
        name=spec.name,
        value=value,
        raw=raw,
        data_type=spec.data_type,
        source=source,
        attempt=state.attempts.get(spec.name, 0),
        confirmed=confirmed,
        why=None if confirmed else "asked for" if heard else "nobody said it",
    )
    return None


def _was_given(scene: Scene, spec: VariableSpec, value: Json) -> bool:
    state = scene.state
    return any(given(spec, value, texts, scene.context) for texts in (state.heard, state.keyed, state.found))


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


def answer_read_backs(scene: Scene, text: str) -> None:
    """Let the caller's own yes or no, in a later turn than the read-back's, settle what waits for it."""
    waiting = [
        (name, held)
        for name, held in scene.state.pending.items()
        if held.read_back_turn is not None and held.read_back_turn < scene.state.turn
    ]
    if not waiting:
        return
    answer = affirmation(text, scene.language)
    for name, held in waiting:
        spec = scene.workflow.variables[name]
        if (heard := find_all(spec, text, scene.context)) and held.value not in heard:
            continue  # "yes, it's 4272": another value is no yes to this one; whoever offers it replaces it
        if answer == "no":
            _withdraw(scene, spec, "the caller said that it is wrong", failed=True)
        elif answer == "yes":
            scene.record(
                ev.VariableConfirmed,
                name=name,
                value=held.value,
                data_type=spec.data_type,
                source=held.source,
                attempt=scene.state.attempts.get(name, 0),
            )


def read_backs(scene: Scene) -> list[VariableSpec]:
    """Return what waits for a read-back."""
    return [scene.workflow.variables[name] for name in scene.state.pending]


def awaited_variable(scene: Scene) -> VariableSpec | None:
    """Return what the caller is expected to give next: what was asked last, else the first that is missing."""
    state = scene.state
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
