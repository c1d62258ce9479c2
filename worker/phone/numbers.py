"""Numbers and addresses of SIP: read from headers that anybody may have written, and made for calls of ours."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from runtime.errors import UsageFault

__all__ = ["cleaned", "host_of", "target_uri", "user_of"]

_MAX_USER: Final = 64
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffd]+")
_ADDRESS: Final = re.compile(
    r"(?:sips?:(?:(?P<user>[^@]*)@)?(?P<host>\[[0-9a-fA-F:.]+\]|[^;?>:\s,]+)|tel:(?P<number>[^;?>\s,]+))", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"\+?[0-9*#]{1,32}")
_HOST: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?(?:;transport=(?:udp|tcp))?")
_URI: Final = re.compile(
    r"sips?:(?:[A-Za-z0-9_.!~*'()%&=+$,/#-]{1,128}@)?(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?(?:;[A-Za-z0-9=._-]{1,64}){0,4}",
    re.IGNORECASE,
)


def cleaned(text: str, limit: int = 256) -> str:
    """Return text from the network as one printable line of at most `limit` characters."""
    return _UNPRINTABLE.sub(" ", text[: 4 * limit]).strip()[:limit]


def user_of(header: str) -> str | None:
    """Return who a From, To or P-Asserted-Identity names, without the host: a number as a rule; None where nobody is.

    A name before the address is no evidence of anything and is not read.
    """
    found = _address(header)
    if found is None:
        return None
    user = unquote(found["number"] or found["user"] or "", errors="replace").partition(";")[0].partition(":")[0]
    user = cleaned(user, _MAX_USER).replace(" ", "")
    return None if not user or user.casefold() in {"anonymous", "unknown", "restricted"} else user


def host_of(header: str) -> str | None:
    """Return the host of a SIP address, without its port."""
    found = _address(header)
    host = found["host"] if found else None
    return host if host and _HOST.fullmatch(host) else None


def target_uri(to: str, via: str | None) -> str:
    """Return the SIP URI for `to`: a number at `via` (host or host:port), or a `sip:` URI as it is.

    Raises UsageFault where it is neither, or where a number has no `via`. What a URI could smuggle into the request
    (headers behind `?`, brackets, spaces, line ends) is refused.
    """
    if _URI.fullmatch(to):
        return to
    number = re.sub(r"[\s().-]", "", to)
    if not _NUMBER.fullmatch(number):
        raise UsageFault(
            f"{cleaned(to, 80)!r} is no telephone number and no SIP address.",
            remedy="Write +15550100 or sip:someone@host.",
        )
    if via is None or not _HOST.fullmatch(via):
        raise UsageFault(
            f"There is no SIP server through which {number} could be reached.",
            remedy="Name one as HOST or HOST:PORT, or call sip:NUMBER@HOST.",
        )
    return f"sip:{number}@{via}"


def _address(header: str) -> re.Match[str] | None:
    text = cleaned(header, 1024)
    bracket = re.search(r"<([^<>]*)>\s*(?:[;,]|$)", text)
    return _ADDRESS.match((bracket[1] if bracket else text).strip())
