"""What the stand-in records of a call that is over: its own words picked out of the transcript, nothing understood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from runtime.variables import VariableSpec, affirmation
from runtime.voice.analysis_names import OUTCOME, SUMMARY
from runtime.voice.analysis_transcript import Line, read_lines
from runtime.voice.local.rules_match import content, is_farewell
from runtime.voice.local.rules_schema import Function
from runtime.voice.local.rules_turn import Answer, Call
from runtime.voice.local.rules_values import gather, raw_attempt

__all__ = ["analysed"]

Json = Any

_QUOTED: Final = 240  # characters of the caller's words that a summary holds
_CLOSING: Final = 4  # turns that count as the end of the call
_PATH: Final = "path taken: "
_END: Final = "call ended: "
_EVERYWHERE: Final = content("call caller agent tool path ended")
_ENDS: Final[Mapping[str, str]] = {
    "caller_hangup": "The caller hung up.",
    "agent_hangup": "The agent ended the call.",
    "transferred": "The call was transferred to a person.",
    "voicemail": "A voicemail answered.",
    "inactivity": "The caller fell silent.",
    "error": "The call ended in an error.",
}


def analysed(function: Function, transcript: str) -> Answer:
    """Return the call of `function`: how it began and ended, the outcome whose words the end has, and values found."""
    lines = read_lines(transcript)
    fields = [spec for spec in function.parameters if spec.name not in {SUMMARY, OUTCOME}]
    arguments: dict[str, Json] = dict.fromkeys((spec.name for spec in function.parameters), None)
    arguments |= _values(fields, lines)
    for spec in function.parameters:
        if spec.name == SUMMARY:
            arguments[SUMMARY] = _summary(lines)
        elif spec.name == OUTCOME:
            arguments[OUTCOME] = _outcome(spec.enum, lines)
    return Answer(calls=(Call(function.name, arguments),))


def _summary(lines: Sequence[Line]) -> str:
    request = _request(lines)
    wanted = f"The caller said: “{request[:_QUOTED].rstrip('.')}”." if request else "The caller asked for nothing."
    paths = [line.text.removeprefix(_PATH) for line in _notes(lines, _PATH)]
    taken = f" Then: {', '.join(paths)}." if paths else ""
    return f"{wanted}{taken} {_end(lines)}".strip()


def _request(lines: Sequence[Line]) -> str:
    """Return the caller's first words that ask for something."""
    said = (line.text for line in lines if line.who == "caller")
    return next((text for text in said if content(text) and not is_farewell(text) and not affirmation(text)), "")


def _end(lines: Sequence[Line]) -> str:
    reason = next((line.text.removeprefix(_END) for line in _notes(lines, _END)), "")
    return _ENDS.get(reason, f"The call ended ({reason.replace('_', ' ')})." if reason else "")


def _outcome(options: Sequence[str], lines: Sequence[Line]) -> str | None:
    """Return the option that shares most of its words with what was done and with the last turns, if any does."""
    done = [line.text for line in lines if line.who == "note"]
    closing = [line.text for line in lines if line.who != "note"][-_CLOSING:]
    heard = content(" ".join([*done, *closing, _end(lines)]))
    scores = {option: _share(content(option.replace("_", " ")) - _EVERYWHERE, heard) for option in options}
    best = max(scores, key=lambda option: scores[option], default=None)
    return best if best is not None and scores[best] > 0 else None


def _share(words: frozenset[str], heard: frozenset[str]) -> float:
    return len(words & heard) / len(words) if words else 0.0


def _values(fields: Sequence[VariableSpec], lines: Sequence[Line]) -> dict[str, Json]:
    """Return what the caller's turns hold, each read as the answer to the agent's words before it."""
    found: dict[str, Json] = {}
    names = frozenset(spec.name for spec in fields)
    asked: VariableSpec | None = None
    for line in lines:
        if line.who == "agent":
            asked = _asked(fields, line.text)
        elif line.who == "caller":
            known = {name: str(value) for name, value in found.items()}
            heard = gather(fields, line.text, asked.name if asked else None, known, names)
            if asked is not None and asked.data_type == "string" and asked.name not in heard | found:
                heard |= _words(asked, line.text)
            found |= heard
            asked = None
    return found


def _asked(fields: Sequence[VariableSpec], text: str) -> VariableSpec | None:
    """Return the field that an agent's question is about; None where it is about none, or about several alike."""
    words = content(text) if "?" in text else frozenset()
    scores = [len(words & content(f"{spec.name.replace('_', ' ')} {spec.description}")) for spec in fields]
    best = max(scores, default=0)
    return fields[scores.index(best)] if best and scores.count(best) == 1 else None


def _words(spec: VariableSpec, text: str) -> dict[str, Json]:
    attempt = raw_attempt(spec, text)
    return {} if attempt is None else {spec.name: attempt}


def _notes(lines: Sequence[Line], beginning: str) -> list[Line]:
    return [line for line in lines if line.who == "note" and line.text.startswith(beginning)]
