"""Months and weekdays as they are said, and the patterns of dates in figures."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MONTHS", "MONTH_NAMES", "PATTERNS", "UNFINISHED", "VAGUE", "WEEKDAYS", "WEEKDAY_NAMES"]

MONTH_NAMES: Final = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november"),
    "december",
)
WEEKDAY_NAMES: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKDAYS: Final = {name: at for at, name in enumerate(WEEKDAY_NAMES)} | {"tues": 1, "weds": 2, "thurs": 3}

_OTHERS: Final = (
    "januar januari janvier enero gennaio jan jänner",
    "februar février febrero febbraio feb",
    "märz mars marzo mar",
    "avril abril aprile apr",
    "mai mayo maggio",
    "juni juin junio giugno jun",
    "juli juillet julio luglio jul",
    "août agosto aug",
    "septembre septiembre settembre sep sept",
    "oktober octobre octubre ottobre oct okt",
    "novembre noviembre nov",
    "dezember décembre diciembre dicembre dec dez",
)
MONTHS: Final = {name: at for at, name in enumerate(MONTH_NAMES, 1)} | {
    name: at for at, names in enumerate(_OTHERS, 1) for name in names.split()
}


def _one_of(names: dict[str, int]) -> str:
    return "|".join(sorted(names, key=len, reverse=True))


_CLOCK: Final = r"\s*(?:\d|:|[ap]\.?\s?m\b|o'|uhr\b|in the (?:morning|afternoon|evening)|h\b)"
_YEAR: Final = rf"(?P<year>\d{{4}}|(?:18|19|20)\s\d\d|(?:this|next|last) year\b|'?\d\d(?!{_CLOCK}))(?!\d)"
_DAY: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|e|º|ª|\.(?=\s))?"
_MONTH: Final = rf"(?P<month>{_one_of(MONTHS)})\b\.?"
_WEEKDAY: Final = rf"(?P<weekday>{_one_of(WEEKDAYS)})"
_LEAD: Final = rf"(?:\b{_WEEKDAY},?\s+)?(?:on\s+)?(?:the\s+)?"
_FROM_NOW: Final = r"(?:\s+(?:from now|from today|time|hence))?"

PATTERNS: Final = {
    name: re.compile(pattern)
    for name, pattern in {
        "iso": r"(?<!\d)(?P<year>\d{4})[-/](?P<month_number>\d{1,2})[-/](?P<day>\d{1,2})(?!\d)",
        "numeric": r"(?<![\d.])(?P<first>\d{1,2})(?P<mark>[./-])\s?(?P<second>\d{1,2})(?P=mark)\s?(?P<year>\d{4}|\d\d)(?![\d:])",
        "short": r"^\D{0,12}(?P<first>\d{1,2})(?P<mark>[./])\s?(?P<second>\d{1,2})\.?$",
        "spaced": r"^\D{0,30}(?P<first>\d{1,2})(?P<mark>\s)(?P<second>\d{1,2})\s(?P<year>\d{4}|(?:19|20)\s\d\d|\d\d)\D?$",
        "day_month": rf"{_LEAD}(?<!\d)(?<!\d\s){_DAY}\s+(?:of\s+|de\s+|di\s+)?{_MONTH}(?:,?\s+(?:of\s+|in\s+|de\s+|del\s+)?{_YEAR})?",
        "month_day": rf"{_LEAD}\b{_MONTH}\s+(?:the\s+)?(?!(?:19|20)\s\d\d(?!\d)){_DAY}(?!\d|:)(?:,?\s+(?:of\s+|in\s+)?{_YEAR})?",
        "day_of_month": rf"{_LEAD}\b{_DAY}\s+of the (?P<month_number>\d{{1,2}})(?:st|nd|rd|th)(?:,?\s+{_YEAR})?",
        "around": r"\b(?:the )?day (?P<side>after tomorrow|before yesterday)\b",
        "after_weekday": rf"\b(?:a|1|(?P<count>\d{{1,2}})) weeks? (?:from|on|after) (?:(?P<anchor>today|tomorrow)|(?:next |this )?{_WEEKDAY})\b",
        "named": r"\b(?P<named>today|tonight|tomorrow|yesterday|this (?:morning|afternoon|evening))\b",
        "in_days": rf"\b(?:in|within)\s+(?P<count>an?|\d{{1,4}})\s+(?P<unit>day|week|fortnight)s?\b('?{_FROM_NOW})",
        "days_on": r"\b(?P<count>an?|\d{1,4})\s+(?P<unit>day|week|fortnight)s?'?\s+(?P<way>from now|from today|time|hence|ago)\b",
        "weekday": rf"(?:\b(?P<which>next|this|coming|last|past)\s+)?\b{_WEEKDAY}\b(?P<week>\s+(?:next|this|in a) week|\s+week\b)?"
        r"(?:,?\s+the\s+(?P<day>\d{1,2})(?:st|nd|rd|th))?",
    }.items()
}
"""The patterns of dates, in the order in which they win over each other."""

UNFINISHED: Final = re.compile(
    rf"(?:\b(?:the|on|this|next|coming)\s+(?:\d{{1,2}}(?:st|nd|rd|th))(?:\s+of(?:\s+the)?)?|\b\d{{1,2}}(?:st|nd|rd|th)(?:\s+of(?:\s+the)?)?"
    rf"|\b\d{{1,2}}\s+of|\b(?:in|of|on|it's|is)\s+(?:{_one_of(MONTHS)})|(?:{_one_of(MONTHS)})\s+the|(?:{_one_of(MONTHS)}),?\s+(?:19|20)"
    rf"|^(?:{_one_of(MONTHS)})|\b(?:next|coming)|\bin\s+(?:an?|\d{{1,2}}))[\s.,…]*(?:\b(?:um|uh|er|erm)\b[\s.,…]*)*$"
)
"""A text that ends within a date."""

VAGUE: Final = re.compile(
    rf"\b(?:{_one_of(MONTHS)})\b|\b\d{{1,2}}(?:st|nd|rd|th)\b|\b(?:week|month|year|weekend|soon|later|spring|summer|autumn|winter)s?\b"
    r"|^\D*(?:19|20)\d\d\D*$"
)
"""Words of a date that name no day."""
