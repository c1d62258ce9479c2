"""What each fact changes of where a call stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from runtime.conversation import events as ev
from runtime.conversation.state import UNREADABLE, CallState, Known, Pending, Returned, Running

__all__ = ["APOLOGY", "apply", "fold", "question_in", "skip"]

Json = Any
APOLOGY = "apology"
"""What `recovered_by` says where the caller got an apology in place of an answer."""
MAX_HEARD = 400
SHORT_QUESTION = 3
_SENTENCE = re.compile(r"[^\s.!?。！？…](?:[^.!?。！？…]|[.](?=\S))*[.!?。！？…]*")


def fold(facts: Iterable[ev.Fact], state: CallState | None = None) -> CallState:
    """Return the state after `facts`."""
    state = state or CallState()
    for fact in facts:
        state = apply(state, fact)
    return state


def apply(state: CallState, fact: ev.Fact) -> CallState:
    """Return the state after one more fact."""
    if state.returned is not None:
        state = _with(state, returned=_left_of(state.returned, fact))
    return _with(_apply(fact, state), seq=state.seq + 1)


def _left_of(returned: Returned, fact: ev.Fact) -> Returned | None:
    """A tool's end is followed by what comes of it at once: any other fact tells that all of that was recorded."""
    match fact:
        case ev.VariableFact():
            return replace(returned, values=_without(returned.values, fact.name))
        case ev.CallResumed() | ev.FaultRaised() | ev.UsageReported() | ev.ToolFailed(error_code="worker_lost"):
            return returned
        case _:
            return None


def skip(state: CallState) -> CallState:
    """Return the state after a fact that cannot be read: it has its number and changes nothing."""
    return _with(state, seq=state.seq + 1)


@singledispatch
def _apply(_fact: ev.Fact, state: CallState) -> CallState:
    """Most facts tell something and change nothing."""
    return state


@_apply.register
def _(fact: ev.CallStarted, state: CallState) -> CallState:
    return _with(
        state,
        started=True,
        cue=state.seq + 1,
        session_id=fact.session_id,
        channel=fact.channel,
        direction=fact.direction,
        caller=fact.caller,
        dialled=fact.dialled,
    )


@_apply.register
def _(fact: ev.CallResumed, state: CallState) -> CallState:
    gone = frozenset(fact.forgotten)
    state = _with(state, cue=state.seq + 1, silences=0)
    if gone:
        state = _with(
            state,
            known={name: known for name, known in state.known.items() if name not in gone},
            pending={name: held for name, held in state.pending.items() if name not in gone},
        )
    return state if UNREADABLE not in {state.entry, state.keyed_in} else _with(state, entry=None, keyed_in=None)


@_apply.register
def _(fact: ev.AgentEntered, state: CallState) -> CallState:
    assert fact.agent_id is not None
    return _with(
        state,
        talk_ms=fact.elapsed_ms if state.talk_ms is None else state.talk_ms,
        spoke_here=fact.cause == "resume" and fact.agent_id in state.visits,
        under_way=None,
        wanted=None,
        pressed=None,
        keyed_in=None,
        agent_id=fact.agent_id,
        stay=state.stay + 1,
        left=False,
        closing=None,
        reopened=state.reopened or state.closing is not None,
        hold=False,
        entered_ms=fact.elapsed_ms,
        entered_turn=fact.turn,
        visits={**state.visits, fact.agent_id: state.visits.get(fact.agent_id, 0) + 1},
        focus=None,
        asked=None,
        guarded=None,
    )


@_apply.register
def _(fact: ev.AgentExited, state: CallState) -> CallState:
    return _with(
        state,
        left=True,
        closing=fact.reason,
        hold=False,
        entry=None,
        entry_full=False,
        spoke_here=False,
        owed=False,
        pressed=None,
        keyed_in=None,
    )


@_apply.register
def _(fact: ev.HoldStarted, state: CallState) -> CallState:
    return _with(state, hold=True, hold_ms=fact.elapsed_ms, hold_s=fact.seconds, cue=state.seq + 1)


@_apply.register
def _(fact: ev.HoldEnded, state: CallState) -> CallState:
    del fact
    return _with(state, hold=False, cue=state.seq + 1)


@_apply.register
def _(fact: ev.VoicemailDetected, state: CallState) -> CallState:
    del fact
    return _with(state, left=True, closing="voicemail")


@_apply.register
def _(fact: ev.PathRequested, state: CallState) -> CallState:
    return _with(state, wanted=fact)


@_apply.register
def _(fact: ev.PathTaken, state: CallState) -> CallState:
    return _with(
        state,
        cue=state.seq + 1,
        guarded=None,
        under_way=fact.path_id,
        wanted=None,
        pressed=None,
        keyed_in=None,
        path_turn=fact.turn,
        automatic=state.automatic | {fact.path_id} if fact.by == "rule" else state.automatic,
        last_taken={**state.last_taken, fact.path_id: fact.turn},
        focus=None,
        asked=None,
        question=None,
        entry=None,
        entry_full=False,
    )


@_apply.register
def _(fact: ev.PathRefused, state: CallState) -> CallState:
    asked = fact.by in {"model", "dtmf"} and fact.reason not in {"path_already_taken", "moved_on", "call_ending"}
    state = _with(state, owed=state.owed or asked, pressed=None, wanted=None)
    if fact.reason in {"missing", "invalid", "unconfirmed"}:
        return _with(state, focus=fact.path_id)
    return _with(state, guarded=fact.path_id) if fact.reason == "guard" else state


@_apply.register
def _(fact: ev.VariableCollected, state: CallState) -> CallState:
    return _held(fact, state, confirmed=fact.confirmed)


@_apply.register
def _(fact: ev.VariableCorrected, state: CallState) -> CallState:
    return _held(fact, state, confirmed=fact.confirmed)


def _held(fact: ev.VariableFact, state: CallState, *, confirmed: bool) -> CallState:
    state = _decided(fact, state)
    if confirmed:
        return _with(
            state,
            known={**state.known, fact.name: Known(fact.value, fact.source)},
            pending=_without(state.pending, fact.name),
            attempts=_without(state.attempts, fact.name),
            asked=None if state.asked == fact.name else state.asked,
        )
    return _with(
        state,
        pending={**state.pending, fact.name: Pending(fact.value, fact.source, fact.turn)},
        asked=fact.name,
    )


def _decided(fact: ev.VariableFact, state: CallState) -> CallState:
    keyed = fact.source == "dtmf" and state.keyed_in is not None
    return _with(state, keyed_in=None) if keyed else state


@_apply.register
def _(fact: ev.VariableConfirmed, state: CallState) -> CallState:
    return _held(fact, state, confirmed=True)


@_apply.register
def _(fact: ev.VariableRejected, state: CallState) -> CallState:
    state = _decided(fact, state)
    denied = {(fact.name, fact.value)} if fact.withdrawn and isinstance(fact.value, str) else set()
    callers = fact.source in {"speech", "dtmf"}
    return _with(
        state,
        pending=_without(state.pending, fact.name) if fact.withdrawn else state.pending,
        denied=state.denied | denied,
        attempts={**state.attempts, fact.name: fact.attempt},
        attempted=state.attempted | {fact.name} if callers else state.attempted,
        asked=fact.name if callers else state.asked,
    )


@_apply.register
def _(fact: ev.UserTurn, state: CallState) -> CallState:
    keyed = fact.by == "dtmf"
    return _with(
        state,
        turn=fact.turn,
        cue=state.seq + 1,
        turn_ms=fact.elapsed_ms if fact.end_ms is None else fact.end_ms,
        automatic=frozenset(),
        faulted=frozenset(),
        attempted=frozenset(),
        partials=(*state.partials, fact.text) if fact.partial else (),
        heard=state.heard if keyed else (*state.heard, fact.text)[-MAX_HEARD:],
        keyed=(*state.keyed, fact.text)[-MAX_HEARD:] if keyed else state.keyed,
        pending=_unanswered(state.pending, fact.turn),
        entry_full=keyed and state.entry_full,
        silences=0,
        spoken=0,
        question=None,
        owed=True,
        said=None if keyed else fact.text,
        wanted=None,
        pressed=None,
        keyed_in=state.keyed_in if keyed else None,
    )


def _unanswered(pending: Mapping[str, Pending], turn: int) -> Mapping[str, Pending]:
    """A read-back is answered in the very next turn; after that it has to be read back again."""
    missed = {
        name: replace(held, read_back_turn=None)
        for name, held in pending.items()
        if held.read_back_turn is not None and held.read_back_turn < turn - 1
    }
    return {**pending, **missed} if missed else pending


@_apply.register
def _(fact: ev.AgentTurn, state: CallState) -> CallState:
    heard = {
        name: replace(held, read_back_turn=fact.turn) for name, held in state.pending.items() if name in fact.read_back
    }
    pending = {**state.pending, **heard} if heard else state.pending
    asked = None if state.silences else question_in(fact.spoken_text)  # "Are you still there?" is not the question
    return _with(
        state,
        pending=pending,
        spoken=state.spoken + 1,
        question=asked or state.question,
        spoke_here=state.spoke_here or (fact.agent_id == state.agent_id and not (state.left and fact.interrupted)),
        owed=state.owed and fact.interrupted,
        pressed=None,
        keyed_in=None,
    )


def question_in(text: str) -> str | None:
    """Return the last question of a text; a short one ("Is that right?") with the sentence it is about."""
    sentences = [sentence.strip() for sentence in _SENTENCE.findall(text)]
    asked = [at for at, sentence in enumerate(sentences) if sentence.endswith(("?", "？"))]
    if not asked:
        return None
    last = asked[-1]
    short = len(sentences[last].split()) <= SHORT_QUESTION and last > 0
    return " ".join(sentences[last - 1 : last + 1]) if short else sentences[last]


@_apply.register
def _(fact: ev.DtmfReceived, state: CallState) -> CallState:
    if fact.ended_by is not None:
        return _with(
            state, entry=None, entry_full=fact.ended_by == "length", silences=0, owed=False, keyed_in=fact.entry
        )
    owed = state.owed and fact.entry is None  # an entry is begun in place of an answer
    return _with(state, entry=fact.entry, entry_full=False, silences=0, owed=owed, pressed=fact.digits, keyed_in=None)


@_apply.register
def _(fact: ev.SilenceElapsed, state: CallState) -> CallState:
    return _with(state, silences=fact.prompt, cue=state.seq + 1)


@_apply.register
def _(fact: ev.ToolStarted, state: CallState) -> CallState:
    running = Running(fact, state.seq + 1, state.stay)
    return _with(state, tools={**state.tools, fact.tool_call_id: running})


@_apply.register
def _(fact: ev.ToolSucceeded, state: CallState) -> CallState:
    running = state.tools.get(fact.tool_call_id)
    told = json.dumps(dict(running.fact.arguments)) if running else ""
    found = (*state.found, (fact.result_preview, told))[-MAX_HEARD:] if fact.result_preview else state.found
    return _with(
        state,
        tools=_without(state.tools, fact.tool_call_id),
        found=found,
        returned=_returned(fact, state, fact.assigned) or state.returned,
        at_start=_at_start(state, fact),
        owed=_owes(fact, state),
    )


@_apply.register
def _(fact: ev.ToolFailed, state: CallState) -> CallState:
    return _with(
        state,
        tools=_without(state.tools, fact.tool_call_id),
        returned=_returned(fact, state, {}) or state.returned,
        at_start=_at_start(state, fact),
        owed=_owes(fact, state),
    )


def _returned(fact: ev.ToolSucceeded | ev.ToolFailed, state: CallState, values: Mapping[str, Json]) -> Returned | None:
    """Return what is to come of a tool's end; nothing where the caller has moved on meanwhile."""
    running = state.tools.get(fact.tool_call_id)
    if running is None or running.stay != state.stay or state.ending or not (values or fact.path_id):
        return None
    return Returned(running.fact, state.seq + 1, values, fact.path_id)


def _owes(fact: ev.ToolSucceeded | ev.ToolFailed, state: CallState) -> bool:
    """Whether the model has to say something, now that a tool has ended."""
    running = state.tools.get(fact.tool_call_id)
    here = running is not None and running.stay == state.stay and state.agent_id is not None and not state.left
    return here or state.owed


def _at_start(state: CallState, fact: ev.ToolSucceeded | ev.ToolFailed) -> Mapping[str, bool]:
    if fact.agent_id is not None:
        return state.at_start
    return {**state.at_start, fact.name: isinstance(fact, ev.ToolSucceeded)}


@_apply.register
def _(fact: ev.TransferStarted, state: CallState) -> CallState:
    return _with(state, transfer=fact)


@_apply.register
def _(fact: ev.TransferSucceeded, state: CallState) -> CallState:
    del fact
    return _with(state, transfer=None, closing="transferred")


@_apply.register
def _(fact: ev.TransferFailed, state: CallState) -> CallState:
    return _with(state, transfer=None, failed=state.failed | {fact.path_id} if fact.path_id else state.failed)


@_apply.register
def _(fact: ev.FaultRaised, state: CallState) -> CallState:
    state = _with(state, faulted=state.faulted | {fact.code + fact.message})
    if fact.recovered_by != APOLOGY:
        return state
    in_a_row = state.failed_turn >= 0 and fact.turn - state.failed_turn <= 1
    return _with(state, failures=state.failures + 1 if in_a_row else 1, failed_turn=fact.turn)


@_apply.register
def _(fact: ev.CallEnded, state: CallState) -> CallState:
    del fact
    return _with(state, ended=True, agent_id=None)


if TYPE_CHECKING:
    from dataclasses import replace as _with
else:

    def _with(state: CallState, **changes: Json) -> CallState:
        """As `dataclasses.replace`, which sets the forty fields one by one and takes twenty times as long; a turn has ten facts."""
        changed = object.__new__(CallState)
        changed.__dict__.update(state.__dict__, **changes)
        return changed


def _without(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}
