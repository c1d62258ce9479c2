"""Dates with times: tomorrow at half past three, in two hours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar, Final

from typing_extensions import override

from runtime.variables.clock import Time, found_times, said_time
from runtime.variables.dates import Date, found_dates, said_date, speaks_of_birth
from runtime.variables.quantities import reckoned
from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.spoken import figures
from runtime.variables.text import base_language

__all__ = ["Moment"]

_ISO: Final = re.compile(
    r"\d{4}-\d\d-\d\d[t ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?(?:\s?z|\s?[+-]\d\d:?\d\d(?::?\d\d)?)?(?!\d)"
)
_SPAN: Final = re.compile(
    r"\bin\s+(?P<count>an?|half an|half a|\d{1,4}(?:\.\d{1,2})?)\s+(?P<unit>hour|minute)s?(?:\s+and\s+(?P<more>\d{1,2})\s+minutes?)?"
)
_DATE: Final = Date()
_TIME: Final = Time()


class Moment(DataType):
    """A date with its time, kept in the session's zone: `2026-05-03T15:30:00+02:00`."""

    name: ClassVar[str] = "datetime"
    hint: ClassVar[str] = "a date with its time in ISO 8601, or the words as heard (tomorrow at half past three)"
    bounded: ClassVar[bool] = False

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        if not isinstance(raw, str):
            return Rejected("not_a_datetime", "must be a date and a time given as text")
        figured = figures(raw, context.language)
        exact = _exact(figured, context)
        if exact:
            return (
                exact[0] if len(exact) == 1 else Rejected("ambiguous", "must be one date and time, got more than one")
            )
        dates = {each.value for each in found_dates(figured, context, birth=speaks_of_birth(spec))}
        times = _times(figured, context, spec)
        if not dates:
            day = _DATE.read(raw, spec, context)
            return (
                _incomplete(day, "day")
                if times or isinstance(day, Accepted)
                else Rejected("not_a_datetime", "must be a date and a time, such as tomorrow at half past three")
            )
        if len(dates) > 1 or len(times) > 1:
            return Rejected("ambiguous", "must be one date and one time, got more than one")
        value = dates.pop()
        if not isinstance(value, date):
            return Rejected("impossible", "is not a day that can be told from the words; ask for the date again")
        if not times:
            return Rejected("incomplete", "must have a time as well as the day")
        return _combined(value, times.pop(), context)

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        figured = figures(text, context.language)
        found = [result.value for result in _exact(figured, context) if isinstance(result, Accepted)]
        dates = [each.value for each in found_dates(figured, context) if isinstance(each.value, date)]
        times = _times(figured, context, spec, bare=False)
        if not found:
            pairs = (
                (_combined(day, clock, context) for day in dates for clock in times)
                if len(dates) * len(times) <= 16
                else ()
            )
            found = [result.value for result in pairs if isinstance(result, Accepted)]
        return list(dict.fromkeys(found))

    @override
    def partial(self, text: str, spec: VariableSpec, context: Context) -> bool:
        if isinstance(self.read(text, spec, context), Accepted):
            return False
        if _DATE.partial(text, spec, context) or _TIME.partial(text, spec, context):
            return True
        figured = figures(text, context.language)
        dates = found_dates(figured, context)
        return bool(dates) and not figured[dates[-1].end :].strip(" .,…")

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        return _DATE.suspects(text, spec, context) or _TIME.suspects(text, spec, context)

    @override
    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        day, clock = str(value)[:10], str(value)[11:16]
        joint = {"en": "at", "de": "um"}.get(base_language(language))
        return f"{said_date(day, language)} {joint} {said_time(clock, language)}" if joint else f"{day} {clock}"

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        return (*_DATE.words(spec), *_TIME.words(spec))


def _incomplete(day: Result, missing: str) -> Rejected:
    if isinstance(day, Rejected):
        return Rejected("incomplete", f"must have the {missing} as well as the time")
    return Rejected("incomplete", "must have a time as well as the day")


def _times(figured: str, context: Context, spec: VariableSpec, *, bare: bool = True) -> set[time | None]:
    """Return the times beside the dates; an hour without any sign of a time counts only where `bare` allows it."""
    rest = list(figured)
    for each in found_dates(figured, context, birth=speaks_of_birth(spec)):
        kept = re.search(r"(?:tonight|morning|afternoon|evening)$", figured[each.start : each.end])
        rest[each.start : each.end - (len(kept[0]) if kept else 0)] = " " * (
            each.end - each.start - (len(kept[0]) if kept else 0)
        )
    found = found_times(re.sub(r"(?<= )(morning|afternoon|evening)\b", r"in the \1", "".join(rest)))
    return {each.value for each in [each for each in found if each.sure] or (found if bare else [])}


def _exact(figured: str, context: Context) -> list[Result]:
    """Return what is written in ISO 8601, and what is counted from now."""
    written = [_from_iso(match[0], context) for match in _ISO.finditer(figured)]
    return written or [_from_now(match, context) for match in _SPAN.finditer(reckoned(figured, context.language))]


def _from_iso(text: str, context: Context) -> Result:
    try:
        value = datetime.fromisoformat(text.replace(" +", "+").replace(" z", "z").upper())
        aware = value if value.tzinfo else value.replace(tzinfo=context.now.tzinfo)
        return _kept(aware, context)
    except (ValueError, OverflowError):
        return Rejected("impossible", "is not a date and time in the calendar; ask for it again")


def _from_now(match: re.Match[str], context: Context) -> Result:
    count = {"a": 1.0, "an": 1.0}.get(match["count"]) or (
        0.5 if match["count"].startswith("half") else float(match["count"])
    )
    minutes = count * (60 if match["unit"] == "hour" else 1) + int(match["more"] or 0)
    try:
        return _kept((context.now.astimezone(UTC) + timedelta(minutes=minutes)).replace(second=0), context)
    except OverflowError:
        return Rejected("impossible", "is too far away")


def _combined(day: date, clock: time | None, context: Context) -> Result:
    if clock is None:
        return Rejected("impossible", "is not a time of the day; ask for the time again")
    try:
        return _kept(datetime.combine(day, clock, tzinfo=context.now.tzinfo), context)
    except OverflowError:
        return Rejected("impossible", "is too far away")


def _kept(value: datetime, context: Context) -> Result:
    """Return the moment in the session's zone; an hour that the clocks skip in spring is none."""
    local = value.astimezone(UTC).astimezone(context.now.tzinfo).replace(microsecond=0)
    if value.tzinfo is context.now.tzinfo and local.replace(tzinfo=None) != value.replace(tzinfo=None, microsecond=0):
        return Rejected("impossible", "is an hour that does not exist on that day, because the clocks change")
    return Accepted(local.isoformat())
