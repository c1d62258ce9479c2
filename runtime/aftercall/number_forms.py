"""How people and machines write one telephone number, as a pattern that Python and Postgres read alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import phonenumbers

__all__ = ["MASK", "NumberForms"]

MASK = "•••"

Json = Any

# Up to three of these may stand between two digits. JSON in a log file may spell the rarer ones as escapes. The hyphen comes
# last and nothing is escaped within the brackets, which both dialects understand alike.
_BETWEEN = "(?:[ \t(),./\u00a0\u2009\u202f\u2010-\u2014-]|\\\\+u(?:00a0|2009|202f|201[0-4])){0,3}"
_BEFORE = "(?<![0-9])(?<![0-9][.,])"
_AFTER = "(?![0-9])"
# Shorter ones are not taken for a number without its country code.
_FEWEST_DIGITS = 7


@dataclass(frozen=True)
class NumberForms:
    """The forms of `number` (E.164): `+491701234567`, `00491701234567`, `491701234567`, `+49 (0)170 1234567`, `0170 / 123 45 67`.

    Between digits may stand blanks, hyphens, dots, commas, slashes and parentheses, at most three. Digits that are a part
    of a longer row of digits are none of it, nor is a national form that follows another country's code. Where a country
    writes its numbers without a leading zero (North America, Spain) the bare national number counts too. Numbers in words,
    and keys that were pressed one by one, are not found.
    """

    number: str

    @cached_property
    def pattern(self) -> str:
        """For Python's `re` and for Postgres's `~`, without groups."""
        return "|".join(f"{before}{form}{_AFTER}" for before, form in self._forms())

    @cached_property
    def rough(self) -> str:
        """A quicker pattern that whatever holds the number matches, and little else."""
        return _spaced(phonenumbers.national_significant_number(phonenumbers.parse(self.number)))

    @cached_property
    def _found(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def within(self, text: str) -> bool:
        return self._found.search(text) is not None

    def masked(self, value: Json, *, mask: str = MASK) -> Json:
        """Return JSON with `mask` in the place of the number, in keys and in numbers too."""
        match value:
            case str():
                return self._found.sub(mask, value)
            case bool() | None:
                return value
            case int() | float():
                return mask if self.within(str(value)) else value
            case list():
                return [self.masked(item, mask=mask) for item in value]
            case dict():
                return {self._found.sub(mask, key): self.masked(item, mask=mask) for key, item in value.items()}
            case _:
                return value

    def covered(self, line: bytes) -> bytes:
        """Return a line of text with the number covered byte by byte: as long as before, so that it can be put in its place."""
        text = line.decode("utf-8", "surrogateescape")
        if not self.within(text):
            return line
        return self._found.sub(_as_long, text).encode("utf-8", "surrogateescape")

    def _forms(self) -> Iterator[tuple[str, str]]:
        parsed = phonenumbers.parse(self.number)
        country, national = str(parsed.country_code), phonenumbers.national_significant_number(parsed)
        zero = f"(?:{_BETWEEN}[(]?0)?" if not national.startswith("0") else ""
        yield _BEFORE, f"(?:[+]|00|011)?{_BETWEEN}{_spaced(country)}{zero}{_BETWEEN}{_spaced(national)}"
        trunk = _trunk_prefix(int(country))
        if trunk and trunk != country:
            national = trunk + national
        if len(national) >= _FEWEST_DIGITS:
            yield _BEFORE + _NO_OTHER_COUNTRY, f"[(]?{_spaced(national)}"


# Both dialects want them of a fixed width.
_NO_OTHER_COUNTRY = "".join(
    f"(?<![+]{'[0-9]' * digits}{'[ ()./-]' * between})" for digits in (1, 2, 3) for between in (1, 2)
)


def _spaced(digits: str) -> str:
    return _BETWEEN.join(digits)


def _trunk_prefix(country_code: int) -> str:
    region = phonenumbers.region_code_for_country_code(country_code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    return (metadata.national_prefix if metadata else None) or ""


def _as_long(hit: re.Match[str]) -> str:
    size = len(hit[0].encode("utf-8", "surrogateescape"))
    mask = MASK if len(MASK.encode()) <= size else "*" * min(3, size)
    return mask + "*" * (size - len(mask.encode()))
