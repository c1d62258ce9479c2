"""Dialled numbers as SIP brings them."""

import pytest

from worker.numbers import candidates


@pytest.mark.parametrize(
    ("dialled", "first"),
    [
        ("+15550100", "+15550100"),
        ("0015550100", "+15550100"),
        ("+49 30 / 123-456", "+4930123456"),
        ("sip:+15550100@sip.example.com", "+15550100"),
        ("SIPS:+15550100@[::1]:5061;transport=tls", "+15550100"),
        ("sip:15550100@10.0.0.1:5060", "+15550100"),
        ("sip:%2B15550100;npdi=yes@carrier.example;user=phone", "+15550100"),
        ('"Front desk" <sip:+15550100@example.com>;tag=1', "+15550100"),
        ("tel:+1-555-0100;phone-context=example.com", "+15550100"),
        ("15550100", "+15550100"),
    ],
)
def test_what_is_dialled_is_read(dialled: str, first: str) -> None:
    assert candidates(dialled)[0] == first


def test_a_trunks_zero_may_stand_behind_the_country_code() -> None:
    assert candidates("+49 (0)30 123456") == ("+49030123456", "+4930123456")


@pytest.mark.parametrize(
    "dialled",
    ["", "agent", "sip:agent@example.com", "sip:example.com", "030123456", "+", "*31#", "٤٩٣٠", "+1555010²", "1" * 500],
)
def test_what_is_no_number_means_none(dialled: str) -> None:
    assert candidates(dialled) == ()
