"""Which return paths leave signed, and what is taken at those that are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.envelope import Recipient
from gatepost.protocol.domain_entries import domain_entries
from gatepost.standards.return_paths import ReturnPaths
from gatepost.standards.signed_paths import DAY_S, Srs, Tags

NOW = 1_800_000_000.0
KEY = b"a key of this gateway"
PATHS = ReturnPaths(
    accepted=AcceptedDomains({"gate.test": DomainType.AUTHORITATIVE, "far.test": DomainType.EXTERNAL_RELAY}),
    srs=Srs(keys=(KEY,), domain="gate.test", max_age_s=21 * DAY_S),
    tags=Tags(keys=(KEY,), max_age_s=7 * DAY_S),
    untagged=domain_entries(["lists.test"]),
)
BOB, STRANGER, FAR = Address("bob", "gate.test"), Address("ann", "client.test"), Address("x", "far.test")
OUT, IN, LIST = Address("eve", "out.test"), Address("joe", "gate.test"), Address("l", "lists.test")


LEAVING = [
    ("forwarded mail goes out with SRS", STRANGER, [OUT], "SRS0"),
    ("with a recipient of ours beside, too", STRANGER, [IN, OUT], "SRS0"),
    ("mail for us keeps its return path", STRANGER, [IN], ""),
    ("and for a domain we relay for", STRANGER, [FAR], ""),
    ("our own mail goes out with a tag", BOB, [OUT], "prvs"),
    ("not within", BOB, [IN], ""),
    ("not to a list that is told", BOB, [LIST], ""),
    ("mail of a domain we only relay for has none", FAR, [OUT], ""),
    ("a notice stays one", NULL_SENDER, [OUT], ""),
    ("postmaster is not tagged", Address("postmaster", "gate.test"), [OUT], ""),
    ("what has a tag gets no second", Address("prvs=0123abcdef=bob", "gate.test"), [OUT], ""),
    ("an address literal", Address("a", "[192.0.2.7]"), [OUT], ""),
]


@pytest.mark.parametrize(
    ("sender", "to", "start"), [case[1:] for case in LEAVING], ids=[c[0] for c in LEAVING]
)
def test_what_leaves_with_which_return_path(sender: Address, to: list[Address], start: str) -> None:
    path = PATHS.leaving(sender, to, NOW)
    assert path.local.partition("=")[0] == start if start else path == sender
    assert PATHS.leaving(sender, to, NOW) == path


def test_what_is_switched_off_is_not_done() -> None:
    assert replace(PATHS, srs=None).leaving(STRANGER, [OUT], NOW) == STRANGER
    assert replace(PATHS, tags=None).leaving(BOB, [OUT], NOW) == BOB


def test_a_good_tag_is_taken_off_before_anybody_looks() -> None:
    tagged = Recipient(address=PATHS.leaving(BOB, [OUT], NOW))
    arrived = PATHS.arriving(tagged, NOW)
    assert arrived == Recipient(address=BOB, orcpt=f"rfc822;{tagged.address}")
    assert not PATHS.wants_tag(arrived, NOW)


@pytest.mark.threat("L08")
def test_a_bad_tag_opens_nothing() -> None:
    forged = Recipient(address=Address("prvs=0123abcdef=bob", "gate.test"))
    assert PATHS.arriving(forged, NOW) == forged
    old = Recipient(address=PATHS.leaving(BOB, [OUT], NOW))
    assert PATHS.arriving(old, NOW + 30 * DAY_S) == old


@pytest.mark.threat("L08")
@pytest.mark.parametrize(
    "orcpt",
    ["", "rfc822;bob@gate.test", "rfc822;prvs=0123abcdef=bob@gate.test", "x;y", "rfc822;@", "rfc822;\x01@a"],
)
def test_whoever_claims_a_tag_must_have_it(orcpt: str) -> None:
    assert PATHS.wants_tag(Recipient(address=BOB, orcpt=orcpt), NOW)


@pytest.mark.threat("L08")
def test_the_tag_of_another_is_none() -> None:
    of_joe = PATHS.leaving(IN, [OUT], NOW)
    assert PATHS.wants_tag(Recipient(address=BOB, orcpt=f"rfc822;{of_joe}"), NOW)


@pytest.mark.parametrize("local", ["postmaster", "SRS0=AAAAAAAA=AA=a.test=b"])
def test_who_needs_no_tag(local: str) -> None:
    assert not PATHS.wants_tag(Recipient(address=Address(local, "gate.test")), NOW)
    assert not PATHS.wants_tag(Recipient(address=FAR), NOW)


@pytest.mark.threat("L14")
def test_only_notices_come_back_and_only_to_what_we_signed() -> None:
    path = PATHS.leaving(STRANGER, [OUT], NOW)
    assert PATHS.claims(path)
    assert PATHS.takes(path, NULL_SENDER, NOW)
    assert not PATHS.takes(path, STRANGER, NOW)
    assert replace(PATHS, only_notices=False).takes(path, STRANGER, NOW)
    assert not PATHS.takes(path, NULL_SENDER, NOW + 30 * DAY_S)
    forged = Address(path.local.replace("client", "victim"), path.domain)
    assert not PATHS.takes(forged, NULL_SENDER, NOW)
    assert PATHS.led_back(Recipient(address=path), NOW) == Recipient(address=STRANGER)
    assert PATHS.led_back(Recipient(address=forged), NOW) == Recipient(address=forged)
