"""Times of day: half past three, quarter to five p m, 15:30."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time
from typing import ClassVar, Final

from typing_extensions import override

from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.spoken import NUMBER_WORDS, figures
from runtime.variables.text import base_language

__all__ = ["FoundTime", "Time", "found_times", "said_time"]

_HALF: Final = r"(?P<amount>half|quarter|\d{1,2})(?:\s+minutes?)?\s+(?P<side>past|after|to|before|till)\s+(?P<hour>\d{1,2}|noon|midday|midnight)"
_COUNTED: Final = r"\s+(?:hours?|minutes?|days?|weeks?|months?|years?|percent|euros?|dollars?|pounds?|people)\b"
_PATTERNS: Final = {
    "sided": re.compile(rf"(?<!from\s)(?<!between\s)\b(?:an?\s+)?{_HALF}(?![\d:.])"),
    "half": re.compile(r"\bhalf\s+(?P<hour>\d{1,2})(?![\d:.])"),
    "iso": re.compile(r"(?<![\d:.])(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::[0-5]\d)?(?![\d:])"),
    "written": re.compile(
        r"(?<![\d:.])(?P<hour>\d{1,2})(?::|\s?h\s?|\s?uhr\s|\s?heures?\s|\.(?=\d\d\s*(?:[ap]\.?\s?m|uhr)))(?P<minute>\d\d)(?![\d:])"
    ),
    "word": re.compile(r"\b(?P<word>noon|midday|midnight|mittags?|mitternacht|midi|minuit)\b"),
    "spaced": re.compile(r"(?<![\d:.,$€£-])(?P<hour>\d{1,2})\s(?P<minute>[0-5]\d)(?![\d:.,%])"),
    "hour": re.compile(rf"(?<![\d:.,$€£-])(?P<hour>\d{{1,2}})(?![\d:,%]|\.\d|st\b|nd\b|rd\b|th\b|{_COUNTED})"),
    "hundred": re.compile(r"(?<![\d:.,$€£-])(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)(?![\d:.,%])"),
}
_NEAR: Final = 60  # characters around a time in which the part of the day may stand
_BARE: Final = frozenset({"spaced", "hour", "hundred", "half"})  # a time only beside a sign of one, or when asked for
_WORDS: Final = {**dict.fromkeys(("midnight", "mitternacht", "minuit"), 0)}
_AFTER: Final = re.compile(
    r"\s*(?:o'?\s?clock\b\s*)?(?:sharp\s*)?,?\s*(?:(?P<am>a\.?\s?m\b|in the morning)|(?P<pm>p\.?\s?m\b|in the (?:afternoon|evening)|in the day)"
    r"|(?P<night>at night|tonight)|(?P<uhr>uhr\b|heures?\b|h\b))"
)
_CLOCK_WORD: Final = re.compile(r"\s*o'?\s?clock\b")
_BEFORE: Final = re.compile(
    r"(?:\b(?:at|around|about|by|before|after|until|till|um|gegen|à|alle|a las)|@)\s+(?:exactly |about |around )?$"
)
_NO_UNIT: Final = re.compile(
    r"\s+(?:[a-z]{2,}(?<!clock)s|percent|euro|dollar|pound|minute|hour|day|week|month|year|street|avenue)\b"
)
_MORNING: Final = re.compile(r"\b(?:this|tomorrow|today|\w+day|in the|yesterday) ?morning\b")
_EVENING: Final = re.compile(
    r"\b(?:(?:this|tomorrow|today|\w+day|in the|yesterday) ?(?:afternoon|evening|night)|tonight)\b"
)


@dataclass(frozen=True, slots=True)
class FoundTime:
    """A time within the figures of a text; `value` is None where it cannot be (25:70). `sure`: a sign of a time stands by."""

    value: time | None
    start: int
    end: int
    sure: bool


def found_times(figured: str) -> list[FoundTime]:
    """Return the times in a text whose numbers are figures, in their order.

    An hour from 1 to 12 without a part of the day is taken as one of the working day: 7 to 11 in the morning, 12 to 6
    in the afternoon; `03:30`, with its zero, is kept as it is written. The read-back says which was understood.
    """
    found: list[FoundTime] = []
    taken = bytearray(len(figured))
    for name, pattern in _PATTERNS.items():
        for match in pattern.finditer(figured):
            if taken.find(1, match.start(), match.end()) < 0:
                found.append(_found(name, match, figured))
                taken[match.start() : match.end()] = b"\1" * (match.end() - match.start())
    return sorted(found, key=lambda each: each.start)


def _found(name: str, match: re.Match[str], figured: str) -> FoundTime:
    after = _AFTER.match(figured, match.end())
    clock_word = _CLOCK_WORD.match(figured, match.end())
    end = after.end() if after else clock_word.end() if clock_word else match.end()
    led = bool(_BEFORE.search(figured[max(0, match.start() - 24) : match.start()])) and not _NO_UNIT.match(figured, end)
    sure = name not in _BARE or after is not None or clock_word is not None or led
    hour, minute = _hands(match)
    named = after is not None and (after["am"] or after["pm"]) and name != "word"
    if named or name not in {"iso", "hundred", "word"}:
        hour = _in_day(hour, _part_of_day(figured[max(0, match.start() - _NEAR) : end + _NEAR], after))
    if minute < 0:
        hour, minute = hour - 1, minute + 60
    value = time(hour % 24, minute) if hour <= 24 and minute < 60 else None
    return FoundTime(value, match.start(), end, sure)


def _hands(match: re.Match[str]) -> tuple[int, int]:
    """Return hour and minute; the minute is negative before the hour (quarter to five is 5, -15)."""
    parts = match.groupdict()
    if "word" in parts:
        return _WORDS.get(parts["word"], 12), 0
    hour = int(parts["hour"]) if parts["hour"].isdigit() else _WORDS.get(parts["hour"], 12)
    if "minute" in parts:
        return hour, int(parts["minute"])
    if "amount" in parts:
        minute = {"half": 30, "quarter": 15}.get(parts["amount"]) or int(parts["amount"])
        return hour, -minute if parts["side"] in {"to", "before", "till"} else minute
    return hour, 30 if match.re is _PATTERNS["half"] else 0


def _part_of_day(near: str, after: re.Match[str] | None) -> str:
    if after is not None:
        said = next((name for name in ("am", "pm", "night") if after[name]), "")
        if said:
            return said
    if _EVENING.search(near):
        return "night" if re.search(r"night\b", near) else "pm"
    return "am" if _MORNING.search(near) else ""


def _in_day(hour: int, part: str) -> int:
    """Return the hour on a clock of 24 hours."""
    if not 1 <= hour <= 12:
        return hour
    if part == "am":
        return hour % 12
    if part == "pm":
        return hour % 12 + 12
    if part == "night":
        return hour % 12 + 12 if 5 < hour < 12 else hour % 12
    return hour + 12 if hour < 7 else hour


class Time(DataType):
    """A time of day, to the minute."""

    name: ClassVar[str] = "time"
    hint: ClassVar[str] = "a time as HH:MM, or the words as heard (half past three in the afternoon)"
    bounded: ClassVar[bool] = False

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        if not isinstance(raw, str):
            return Rejected("not_a_time", "must be a time given as text, such as 15:30")
        figured = _dotted(figures(raw, context.language))
        found = found_times(figured)
        values = {each.value for each in [each for each in found if each.sure] or found}
        if len(values) > 1:
            return Rejected("ambiguous", "must be one time, got more than one")
        if not values:
            why = "must be a time, such as 15:30 or half past three"
            return Rejected("incomplete" if _MORNING.search(figured) or _EVENING.search(figured) else "not_a_time", why)
        value = values.pop()
        if value is None:
            return Rejected("impossible", "is not a time of the day; ask for the time again")
        return Accepted(value.strftime("%H:%M"))

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        found = [each for each in found_times(figures(text, context.language)) if each.sure and each.value is not None]
        ordered = sorted(found, key=lambda each: each.start - each.end)
        return list(dict.fromkeys(each.value.strftime("%H:%M") for each in ordered if each.value is not None))

    @override
    def partial(self, text: str, spec: VariableSpec, context: Context) -> bool:
        figured = figures(text, context.language)
        return bool(
            re.search(r"\b(?:half|quarter|\d{1,2})\s+(?:past|to)[\s.,…]*$|\b(?:at|quarter|half)[\s.,…]*$", figured)
        )

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        return bool(re.search(r"\d|\b(?:noon|midday|midnight)\b", figures(text, context.language)))

    @override
    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        return said_time(str(value), language)

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        parts = ("half", "quarter", "past", "to", "noon", "midnight", "o'clock", "morning", "afternoon", "evening")
        return (*NUMBER_WORDS, *parts, "in", "the", "at", "a", "m", "p")


def _dotted(figured: str) -> str:
    """Return `15.30`, where nothing else was given, as `15:30`."""
    return re.sub(r"^(\d{1,2})\.(\d\d)$", r"\1:\2", figured.strip())


def said_time(value: str, language: str) -> str:
    """Return a kept time as it is said: `3:30 pm`."""
    hour, minute = int(value[:2]), int(value[3:5])
    code = base_language(language)
    if code == "de":
        return f"{hour} Uhr {minute}" if minute else f"{hour} Uhr"
    if code != "en":
        return value
    if not minute and hour % 12 == 0:
        return "noon" if hour else "midnight"
    minutes = f":{minute:02}" if minute else ""
    return f"{(hour - 1) % 12 + 1}{minutes} {'am' if hour < 12 else 'pm'}"
