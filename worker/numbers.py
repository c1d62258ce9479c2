"""Dialled numbers as SIP brings them."""

from __future__ import annotations

import re

from runtime.numbers import e164, user_part

__all__ = ["candidates"]

_LONGEST = 200
_SEPARATORS = re.compile(r"[\s().\-/]")
_DIALLED = re.compile(r"\+?[1-9][0-9]{1,14}")


def candidates(dialled: str) -> tuple[str, ...]:
    """Return the E.164 numbers that a dialled address may mean, as it is written first; none where it is no number.

    Takes `+49 30 123`, `0049…`, `tel:` and `sip:` URIs, and the bare user part of one (a carrier's digits without a plus).
    """
    text = _SEPARATORS.sub("", user_part(dialled[:_LONGEST]))
    if text.startswith("00"):
        text = f"+{text[2:]}"
    if not _DIALLED.fullmatch(text):
        return ()
    written = f"+{text.removeprefix('+')}"
    # Some write the trunk's zero behind the country code: +49 (0)30 is +4930.
    return tuple(dict.fromkeys((written, e164(written) or written)))
