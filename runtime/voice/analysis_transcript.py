"""A call's stored events as the text that a model reads once the call is over, and that text read again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from runtime.session.ports import EventRow

__all__ = ["Line", "anything_said", "lines_of", "read_lines", "shortened"]

Json = Any
Who = Literal["caller", "agent", "note"]

_TEXT: Final = 2000  # characters of one turn
_PREVIEW: Final = 300  # characters of one tool's result
_WRITTEN: Final = re.compile(r"(?P<who>Caller|Agent)(?: \([^()]*\))?: (?P<text>.*)|\[(?P<note>.*)\]")
# Nothing in a text may look like the delimiters that the transcript stands between.
_BRACKETS: Final = str.maketrans("<>", "‹›")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: who, what, and as whom (an agent's name; `keys` for what was keyed in)."""

    who: Who
    text: str
    name: str = ""

    def __str__(self) -> str:
        if self.who == "note":
            return f"[{self.text}]"
        name = f" ({self.name})" if self.name else ""
        return f"{self.who.capitalize()}{name}: {self.text}"


def anything_said(events: Sequence[EventRow]) -> bool:
    """Tell whether the caller said or keyed in anything at all."""
    return any(event.event_type == "user_turn" and _text(event.payload.get("text")) for event in events)


def lines_of(events: Sequence[EventRow]) -> list[Line]:
    """Return what was said and done, in order, from the payloads as they are stored: what is sensitive is masked there."""
    return [line for event in events for line in _lines(event.event_type, event.payload)]


def shortened(lines: Sequence[Line], most: int) -> str:
    """Return the lines as text of about `most` characters at most: the beginning and the end, without the middle."""
    written = [str(line) for line in lines]
    if sum(map(len, written)) + len(written) <= most:
        return "\n".join(written)
    head = _fitting(written, most // 2)
    rest = written[len(head) :]
    tail = _fitting(rest[::-1], most // 2)[::-1]
    return "\n".join([*head, f"[{len(rest) - len(tail)} lines are left out here]", *tail])


def read_lines(text: str) -> list[Line]:
    """Return the lines that `text` writes out; what is no line of a transcript is passed over."""
    found = (_WRITTEN.fullmatch(line.strip()) for line in text.splitlines())
    return [_read(match) for match in found if match is not None]


def _read(match: re.Match[str]) -> Line:
    if match["note"] is not None:
        return Line("note", match["note"])
    return Line("caller" if match["who"] == "Caller" else "agent", match["text"])


def _fitting(written: Sequence[str], most: int) -> list[str]:
    kept: list[str] = []
    for line in written:
        most -= len(line) + 1
        if most < 0:
            break
        kept.append(line)
    return kept


def _lines(event_type: str, payload: Mapping[str, Json]) -> Iterator[Line]:
    match event_type:
        case "user_turn":
            yield from _turn("caller", payload.get("text"), "keys" if payload.get("by") == "dtmf" else "")
        case "agent_turn":
            yield from _turn("agent", payload.get("spoken_text"), _text(payload.get("agent_name"), 80))
        case _:
            if note := _note(event_type, payload):
                yield Line("note", note)


def _turn(who: Who, text: Json, name: str) -> Iterator[Line]:
    if said := _text(text):
        yield Line(who, said, name.translate(str.maketrans("()", "[]")))


def _note(event_type: str, payload: Mapping[str, Json]) -> str:
    match event_type:
        case "path_taken":
            return f"path taken: {_text(payload.get('path_name'), 80)}"
        case "tool_succeeded":
            return f"tool {_text(payload.get('name'), 80)} succeeded: {_preview(payload)}"
        case "tool_failed":
            return f"tool {_text(payload.get('name'), 80)} failed: {_text(payload.get('error_code'), 80)}"
        case "transfer_succeeded" | "transfer_failed":
            return f"transfer to {_text(payload.get('to'), 80)} {event_type.removeprefix('transfer_')}"
        case "voicemail_detected":
            return "a voicemail answered"
        case "call_ended":
            return f"call ended: {_text(payload.get('reason'), 80)}"
        case _:
            return ""


def _preview(payload: Mapping[str, Json]) -> str:
    return _text(payload.get("result_preview"), _PREVIEW) or "nothing to tell"


def _text(value: Json, most: int = _TEXT) -> str:
    """Return a text on one line and of at most `most` characters; what is no text is none."""
    text = " ".join(value.split()).translate(_BRACKETS) if isinstance(value, str) else ""
    return text if len(text) <= most else text[: most - 1] + "…"
