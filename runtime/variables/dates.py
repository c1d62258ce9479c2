"""Dates: the third of May, next Tuesday, in two weeks, 2026-05-03."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date, datetime, timedelta
from functools import lru_cache
from typing import ClassVar, Final, Literal, TypeAlias

from dateparser.data.languages_info import language_order
from dateparser.date import DateDataParser
from typing_extensions import override

from runtime.variables.calendar_words import MONTH_NAMES, MONTHS, PATTERNS, UNFINISHED, VAGUE, WEEKDAY_NAMES, WEEKDAYS
from runtime.variables.spec import Accepted, Context, DataType, Json, Rejected, Result, VariableSpec
from runtime.variables.spoken import NUMBER_WORDS, ORDINAL_WORDS, figures
from runtime.variables.text import base_language

__all__ = ["Date", "Found", "found_dates", "said_date", "speaks_of_birth", "warm_dates"]

_BIRTH: Final = re.compile(r"birth|\bborn\b|\bdob\b|geburt|naissance|nacimiento|nascita", re.IGNORECASE)
_DENIED: Final = re.compile(r"\bnot (?:on )?(?:the )?$")
_KNOWN: Final = frozenset(language_order)  # the library raises for any other, at its first use
_NAMED: Final = {"yesterday": -1, "tomorrow": 1}
_DAYS: Final = {"day": 1, "week": 7, "fortnight": 14}
# Words dateparser does not know before a date; it reads "dienstag" but not "am nächsten dienstag".
_FOREIGN_LEAD: Final = re.compile(r"^(?:(?:am|den|der|dem|nächsten|nächster|kommenden|le|el|il)\s+|l')+(?=\S)")


Day: TypeAlias = date | Literal["impossible", "mismatch", "ambiguous"]


@dataclass(frozen=True, slots=True)
class Found:
    """A date within the figures of a text, or why what stands there is none."""

    value: Day
    start: int
    end: int
    full: bool  # its year was said


def speaks_of_birth(spec: VariableSpec) -> bool:
    """Tell whether the variable is about a birth, so that a date without a year is the last such date."""
    return bool(_BIRTH.search(f"{spec.name.replace('_', ' ')} {spec.description}"))


def found_dates(figured: str, context: Context, *, birth: bool = False) -> list[Found]:
    """Return the dates in a text whose numbers are figures, in their order."""
    found: list[Found] = []
    taken = bytearray(len(figured))
    for name, pattern in PATTERNS.items():
        for match in pattern.finditer(figured):
            free = taken.find(1, match.start(), match.end()) < 0
            if free and not _DENIED.search(figured[max(0, match.start() - 12) : match.start()]):
                found.append(_found(name, match, context, birth))
                taken[match.start() : match.end()] = b"\1" * (match.end() - match.start())
    return sorted(found, key=lambda each: each.start)


def _found(name: str, match: re.Match[str], context: Context, birth: bool) -> Found:
    parts = {key: value for key, value in match.groupdict().items() if value}
    today = context.now.date()
    try:
        if name in {"numeric", "short", "spaced"}:
            value: Day = _numeric(parts, context, birth)
        elif "month" in parts or "month_number" in parts:
            value = _of_month(parts, today, birth)
        elif name == "weekday":
            value = _of_week(parts, today, birth)
        else:
            value = _relative(parts, today)
    except (ValueError, OverflowError):
        return Found("impossible", match.start(), match.end(), full=False)
    return Found(value, match.start(), match.end(), full="year" in parts)


def _numeric(parts: dict[str, str], context: Context, birth: bool) -> date | Literal["ambiguous"]:
    """Return 03.05.2026 as the third of May, 03/05/2026 as the region writes it."""
    first, second = int(parts["first"]), int(parts["second"])
    region = (context.region or "").upper() or ("US" if context.language.upper().endswith("US") else "")
    english = parts["mark"] != "." and not region and base_language(context.language) == "en"
    if english and first <= 12 and second <= 12 and first != second:
        return "ambiguous"
    month_first = parts["mark"] != "." and (region == "US" or (english and second > 12))
    day, month = (second, first) if month_first else (first, second)
    today = context.now.date()
    return (
        date(_year(parts["year"], today, birth), month, day) if "year" in parts else _nearest(month, day, today, birth)
    )


def _of_month(parts: dict[str, str], today: date, birth: bool) -> date | Literal["mismatch"]:
    month = MONTHS[parts["month"]] if "month" in parts else int(parts["month_number"])
    day = int(parts["day"])
    if "year" in parts:
        value = date(_year(parts["year"], today, birth), month, day)
    else:
        value = _nearest(month, day, today, birth)
    return "mismatch" if "weekday" in parts and value.weekday() != WEEKDAYS[parts["weekday"]] else value


def _year(said: str, today: date, birth: bool) -> int:
    """Return the year of `1985`, `19 85` or `85`; of two figures, what a birth or an appointment most likely means."""
    if said.endswith("year"):
        return today.year + {"this": 0, "next": 1, "last": -1}[said.split(maxsplit=1)[0]]
    figures_only = said.replace(" ", "").lstrip("'")
    year = int(figures_only)
    if len(figures_only) > 2:
        return year
    latest = today.year if birth else today.year + 29
    century = today.year // 100 * 100
    return century + year if century + year <= latest else century - 100 + year


def _nearest(month: int, day: int, today: date, birth: bool) -> date:
    """Return the next such day (today counts), or for a birth the last; raise ValueError where there is none."""
    years = (
        range(today.year, max(today.year - 9, MINYEAR - 1), -1)
        if birth
        else range(today.year, min(today.year + 9, MAXYEAR + 1))
    )
    for year in years:
        try:
            value = date(year, month, day)
        except ValueError:
            continue
        if value <= today if birth else value >= today:
            return value
    raise ValueError("no such day")


def _of_week(parts: dict[str, str], today: date, birth: bool) -> date:
    wanted = WEEKDAYS[parts["weekday"]]
    ahead = (wanted - today.weekday()) % 7
    if "day" in parts:
        return _weekday_the(int(parts["day"]), wanted, today)
    if parts.get("which") in {"last", "past"} or (birth and "which" not in parts):
        return today - timedelta((today.weekday() - wanted) % 7 or 7)
    week = parts.get("week", "").split()
    if week[:1] == ["next"]:
        return today + timedelta(7 - today.weekday() + wanted)
    if week[:1] == ["this"]:
        return today + timedelta(wanted - today.weekday())
    if week:
        return today + timedelta((ahead or 7) + 7)
    return today + timedelta(ahead if parts.get("which") == "this" else ahead or 7)


def _weekday_the(day: int, weekday: int, today: date) -> date:
    """Return the next day that is both: Tuesday the 5th."""
    for ahead in range(370):
        value = today + timedelta(ahead)
        if value.day == day and value.weekday() == weekday:
            return value
    raise ValueError("no such day")


def _relative(parts: dict[str, str], today: date) -> date:
    if "side" in parts:
        return today + timedelta(2 if parts["side"] == "after tomorrow" else -2)
    if "named" in parts:
        return today + timedelta(_NAMED.get(parts["named"], 0))
    count = int(parts["count"]) if parts.get("count", "a").isdigit() else 1
    if "anchor" in parts or "weekday" in parts:
        start = today + timedelta(_NAMED.get(parts.get("anchor", ""), 0))
        if "weekday" in parts:
            start = _of_week({"weekday": parts["weekday"]}, today, birth=False)
        return start + timedelta(7 * count)
    return today + timedelta(count * _DAYS[parts["unit"]] * (-1 if parts.get("way") == "ago" else 1))


@lru_cache(maxsize=8)
def _parser(language: str, today: date, past: bool, month_first: bool) -> DateDataParser:
    """Return the library's parser for one day: it keeps its settings for ever, so that a base per call would leak."""
    settings = {
        "RELATIVE_BASE": datetime(today.year, today.month, today.day),  # noqa: DTZ001 - the library wants it naive
        "PREFER_DATES_FROM": "past" if past else "future",
        "DATE_ORDER": "MDY" if month_first else "DMY",
    }
    languages = [each for each in dict.fromkeys([language, "en"]) if each in _KNOWN]
    return DateDataParser(languages=languages, settings=settings)


def warm_dates(language: str) -> None:
    """Have the library read its language data, which costs 0.1 s once; the day does not matter."""
    _parser(base_language(language), date(2026, 1, 1), past=False, month_first=False).get_date_data("3 may")


def _by_library(figured: str, context: Context, birth: bool) -> date | None:
    """Return what the library makes of a whole short text that it takes for one day."""
    if not 3 <= len(figured) <= 60 or not re.search(r"[^\W\d_]{3}", figured) or ":" in figured or VAGUE.search(figured):
        return None
    parser = _parser(base_language(context.language), context.now.date(), birth, context.region == "US")
    read = parser.get_date_data(_FOREIGN_LEAD.sub("", figured.strip(" .!?")))
    value = read.date_obj
    # "on the fifth" comes back as the first of a month: only a day that was meant as a day counts.
    midnight = value is not None and (value.hour, value.minute) == (0, 0)
    return value.date() if value is not None and midnight and read.period == "day" else None


class Date(DataType):
    """A day."""

    name: ClassVar[str] = "date"
    hint: ClassVar[str] = "a date as YYYY-MM-DD, or the words as heard (the third of May)"
    bounded: ClassVar[bool] = False

    @override
    def read(self, raw: object, spec: VariableSpec, context: Context) -> Result:
        if not isinstance(raw, str):
            return Rejected("not_a_date", "must be a date given as text, such as 2026-05-03")
        figured = figures(raw, context.language)
        birth = speaks_of_birth(spec)
        found = {each.value: None for each in found_dates(figured, context, birth=birth)}
        if not found and (value := _by_library(figured, context, birth)):
            found = {value: None}
        if len(found) > 1:
            return Rejected("ambiguous", "must be one date, got more than one")
        return _judged(next(iter(found), None), vague=bool(VAGUE.search(figured)))

    @override
    def find(self, text: str, spec: VariableSpec, context: Context) -> list[Json]:
        found = found_dates(figures(text, context.language), context, birth=speaks_of_birth(spec))
        ordered = sorted(found, key=lambda each: (not each.full, each.start - each.end))
        days = [each.value for each in ordered if isinstance(each.value, date)]
        if not found and isinstance(whole := self.read(text, spec, context), Accepted):
            return [whole.value]
        return list(dict.fromkeys(day.isoformat() for day in days))

    @override
    def partial(self, text: str, spec: VariableSpec, context: Context) -> bool:
        figured = figures(text, context.language)
        begun = UNFINISHED.search(figured)
        found = found_dates(figured, context, birth=speaks_of_birth(spec))
        # "third of May nineteen" is a date, but its year has only begun.
        year_begun = re.search(r"[^\d\s:],?\s+(?:of\s+)?(?:19|20)$", figured) is not None
        return begun is not None and (year_begun or not found or found[-1].end <= begun.start())

    @override
    def suspects(self, text: str, spec: VariableSpec, context: Context) -> bool:
        figured = figures(text, context.language)
        return bool(found_dates(figured, context) or VAGUE.search(figured) or re.search(r"\d", figured))

    @override
    def voiced(self, value: Json, spec: VariableSpec, language: str) -> str:
        return said_date(str(value), language, weekday=not speaks_of_birth(spec))

    @override
    def words(self, spec: VariableSpec) -> Iterable[str]:
        near = ("today", "tomorrow", "next", "this", "in", "week", "weeks", "days", "the", "of", "on", "day", "after")
        return (*MONTH_NAMES, *WEEKDAY_NAMES, *ORDINAL_WORDS, *NUMBER_WORDS, *near)


def _judged(value: date | str | None, *, vague: bool) -> Result:
    if isinstance(value, date):
        return Accepted(value.isoformat())
    if value == "impossible":
        return Rejected("impossible", "is not a day in the calendar; ask for the date again")
    if value == "mismatch":
        return Rejected("mismatch", "the weekday and the day of the month do not belong together; ask which is meant")
    if value == "ambiguous":
        return Rejected("ambiguous", "the day and the month could be either way round; ask which month is meant")
    if vague:
        return Rejected("incomplete", "must be one day, with its month and its day of the month")
    return Rejected("not_a_date", "must be a date, such as 2026-05-03 or the third of May")


_GERMAN_MONTHS: Final = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
_GERMAN_DAYS: Final = "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag"


def said_date(value: str, language: str, *, weekday: bool = True) -> str:
    """Return a kept date as it is said: `Sunday, the 3rd of May 2026`."""
    day = date.fromisoformat(value)
    code = base_language(language)
    if code == "de":
        said = f"{day.day}. {_GERMAN_MONTHS.split()[day.month - 1]} {day.year}"
        return f"{_GERMAN_DAYS.split()[day.weekday()]}, der {said}" if weekday else said
    if code != "en":
        return value
    ending = "th" if day.day in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    said = f"the {day.day}{ending} of {MONTH_NAMES[day.month - 1].title()} {day.year}"
    return f"{WEEKDAY_NAMES[day.weekday()].title()}, {said}" if weekday else said
