"""Numbers and SIP addresses as people, carriers and models write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.numbers import e164, may_dial, sip_address, telephone_address, user_part


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("+4930123456", "+4930123456"),
        (" 0049 (30) 123-456 ", "+4930123456"),
        ("+15550100", "+15550100"),
        ("sip:anna@192.0.2.7:5070", "sip:anna@192.0.2.7:5070"),
        ("<sip:anna@example.com>", "sip:anna@example.com"),
        ("sips:anna@[2001:db8::1]", "sips:anna@[2001:db8::1]"),
        ("anna", None),
        ("", None),
        ("+1", None),
        ("4930", None),
        ("sip:anna@exa mple.com", None),
        ("sip:anna@example.com\r\nVia: x", None),
        ("sip:anna@example.com>;tag=1", None),
    ],
)
def test_what_a_telephone_can_be_told_to_call(written: str, address: str | None) -> None:
    assert telephone_address(written) == address


def test_what_a_carrier_dials_is_the_user_of_an_address() -> None:
    assert user_part('"Anna" <sip:+4930123456@carrier.example;user=phone>') == "+4930123456"
    assert user_part("tel:+4930123456;ext=1") == "+4930123456"
    assert user_part("sip:%2B4930123456@carrier.example") == "+4930123456"
    assert user_part("sip:192.0.2.7") == ""


@pytest.mark.parametrize(
    ("address", "prefixes", "allowed"),
    [
        ("+4930123456", (), True),
        ("+4930123456", ("+49", "+1"), True),
        ("+33142685300", ("+49",), False),
        ("sip:+33142685300@carrier.example", ("+49",), False),
        ("sip:anna@example.com", ("+49",), True),
        ("sip:001900555@carrier.example", ("+49",), False),
        ("sip:+1900@carrier.example", ("+49",), False),
        ("sip:+4930123456@carrier.example", ("+49",), True),
        ("sip:004930123456@carrier.example", ("+49",), True),
        ("SIP:+19005550100@carrier.example", ("+49",), False),
        ("sip:%2B19005550100@carrier.example", ("+49",), False),
        ("sip:1-900-555-0100@carrier.example", ("+49",), False),
        ("sip:19005550100,@carrier.example", ("+49",), False),
        ("19005550100", ("+49",), False),
        ("4930123456", ("+49",), False),
        ("*31#19005550100", ("+49",), False),
        ("*31#+4930123456", ("+49",), False),
        ("911", ("+91",), False),
        ("tel:+4930123456", ("+49",), True),
        ("sip:192.0.2.7", ("+49",), True),
    ],
)
def test_who_may_be_dialled(address: str, prefixes: tuple[str, ...], allowed: bool) -> None:
    assert may_dial(address, prefixes) is allowed


@given(st.text(max_size=80))
def test_nothing_that_is_written_breaks_it(text: str) -> None:
    for address in (telephone_address(text), e164(text), sip_address(text)):
        assert address is None or not set(address) & set("\r\n <>")
