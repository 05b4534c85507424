"""Ranges of addresses: what is held, what is the most specific, what is refused."""

from __future__ import annotations

import pytest

from gatepost.model.ip_ranges import IpRange, IpRanges, plain_ip


@pytest.mark.parametrize(
    ("text", "address", "held"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.0/24", "192.0.2.255", True),
        ("192.0.2.0/24", "192.0.3.0", False),
        ("192.0.2.10-192.0.2.20", "192.0.2.20", True),
        ("192.0.2.10-192.0.2.20", "192.0.2.21", False),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("::/0", "192.0.2.1", False),
    ],
)
def test_what_a_range_holds(text: str, address: str, held: bool) -> None:
    assert (address in IpRanges([text])) is held


@pytest.mark.threat("F37")
@pytest.mark.parametrize(
    "text", ["192.0.2.1/24", "192.0.2.9-192.0.2.1", "192.0.2.1-2001:db8::1", "example.com", ""]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        IpRange.parse(text)


@pytest.mark.threat("F36")
@pytest.mark.parametrize(
    ("text", "address", "held"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.0/120", "192.0.2.77", True),
        ("::ffff:192.0.2.0/120", "192.0.3.1", False),
        ("::ffff:0:0/96", "203.0.113.9", True),
        ("::ffff:192.0.2.1-::ffff:192.0.2.9", "192.0.2.9", True),
    ],
)
def test_mapped_addresses_in_a_setting_mean_those_they_map(text: str, address: str, held: bool) -> None:
    assert (address in IpRanges([text])) is held


def test_the_most_specific_range_wins() -> None:
    ranges = IpRanges(["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16"])
    assert ranges.most_specific("10.1.2.3") == IpRange.parse("10.1.0.0/16")
    assert ranges.most_specific("10.2.2.3") == IpRange.parse("10.0.0.0/8")


@pytest.mark.threat("F36")
@pytest.mark.parametrize(
    ("given", "plain"),
    [("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("2001:DB8::1", "2001:db8::1")],
)
def test_one_spelling_for_one_client(given: str, plain: str) -> None:
    assert plain_ip(given) == plain
