"""Who calls whom, read from headers that anybody may have written."""

from __future__ import annotations

import pytest

from runtime.errors import UsageFault
from worker.phone.numbers import cleaned, host_of, target_uri, user_of


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("<sip:+15550100@127.0.0.1:5060;transport=udp>", "+15550100"),
        ('"+1666" <sip:+15550100@host>;tag=1', "+15550100"),
        ('"a<sip:evil@x>" <sip:+15550100@host>;tag=1', "+15550100"),
        ("sip:alice@example.com", "alice"),
        ("<sips:%2B49301234;phone-context=x@host>", "+49301234"),
        ("<tel:+49-30-1234;phone-context=+49>", "+49-30-1234"),
        ("<sip:bob:secret@host>", "bob"),
        ("<sip:anonymous@anonymous.invalid>", None),
        ("<sip:host>", None),
        ("", None),
        ("nonsense", None),
        ("<sip:" + "9" * 5000 + "@host>", None),
        ("<sip:" + "9" * 500 + "@host>", "9" * 64),
        ("<sip:a\r\nVia: evil@host>", "aVia"),
        ("<sip:\udcff\x00b@host>", "b"),
        ("<sip:%0D%0A%FFx@host>", "x"),
    ],
)
def test_user_of(header: str, user: str | None) -> None:
    assert user_of(header) == user


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("<sip:a@10.0.0.1:5070>;tag=1", "10.0.0.1"),
        ("<sip:a@[::1]:5060>", "[::1]"),
        ("<tel:+1>", None),
        ("<sip:a@b c>", "b"),
    ],
)
def test_host_of(header: str, host: str | None) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    ("to", "via", "uri"),
    [
        ("+15550100", "sip.acme.example", "sip:+15550100@sip.acme.example"),
        ("+1 (555) 01-00", "10.0.0.1:5070", "sip:+15550100@10.0.0.1:5070"),
        ("sip:desk@10.0.0.2:5080;transport=tcp", None, "sip:desk@10.0.0.2:5080;transport=tcp"),
    ],
)
def test_target_uri(to: str, via: str | None, uri: str) -> None:
    assert target_uri(to, via) == uri


@pytest.mark.parametrize(
    "to",
    [
        "",
        "me",
        "sip:a@b?Replaces=1",
        "sip:a@b>",
        "sip:a@b\r\nX: y",
        "sip:a b@c",
        "<sip:a@b>",
        "javascript:1",
        "+1" * 40,
    ],
)
def test_what_is_no_target_is_refused(to: str) -> None:
    with pytest.raises(UsageFault, match="no telephone number"):
        target_uri(to, "host")


def test_a_number_needs_a_server() -> None:
    with pytest.raises(UsageFault, match="no SIP server"):
        target_uri("+15550100", None)


def test_cleaned_is_one_bounded_line() -> None:
    assert cleaned("a\r\nb\x1b[31m\u2028c\ud800" + "x" * 999, 12) == "a b [31m cxx"[:12].replace("cxx", "c x")
