"""Telephone numbers and SIP addresses as they are written, dialled and allowed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

import phonenumbers

__all__ = ["e164", "may_dial", "sip_address", "telephone_address", "user_part"]

_SIP = re.compile(
    r"sips?:(?:[^@\s<>;?\"]{1,128}@)?(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?(?:;transport=(?:udp|tcp|tls))?"
)


def e164(text: str, region: str | None = None) -> str | None:
    """Return the number as E.164 (`+4930123456`), or None where it is none; `region` helps numbers without a country."""
    written = re.sub(r"^00(?=[1-9])", "+", re.sub(r"[\s()./-]", "", text))
    try:
        parsed = phonenumbers.parse(written, region)
    except phonenumbers.NumberParseException:
        return None
    # `possible`, not `valid`: carriers hand out ranges before the tables know them, and +1555… is everybody's example.
    if not phonenumbers.is_possible_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def sip_address(text: str) -> str | None:
    """Return the SIP address (`sip:anna@example.com`), or None where it is none."""
    written = text.strip().strip("<>")
    return written if _SIP.fullmatch(written) else None


def telephone_address(text: str) -> str | None:
    """Return what a telephone can be told to call: a number as E.164 or a SIP address; None where it is neither."""
    return e164(text.strip()) or sip_address(text)


def may_dial(address: str, prefixes: Sequence[str]) -> bool:
    """Whether an organization that may dial only numbers with these prefixes may call it; no prefixes allow every number.

    Whatever a carrier could take for a number has to be written with its country code and to match. A name without any
    digit (`sip:anna@example.com`) costs nobody a call through a carrier, and is allowed.
    """
    if not prefixes:
        return True
    user = user_part(address)
    if not any(map(str.isdigit, user)):
        return True
    return (e164(user) or "").startswith(tuple(prefixes)) and user.startswith(("+", "00"))


def user_part(address: str) -> str:
    """Return what of an address a carrier dials, as it is written; empty where a SIP address names a host alone."""
    bracketed = re.search(r"<([^<>]*)>", address)
    text = unquote(bracketed[1] if bracketed else address).strip().strip("<>")
    scheme, colon, rest = text.partition(":")
    if colon and scheme.casefold() in {"sip", "sips", "tel"}:
        text = rest if "@" in rest or scheme.casefold() == "tel" else ""
    return re.split(r"[@;]", text, maxsplit=1)[0]
