"""Return paths we sign: there and back, forged, old, folded, forwarded twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.address import Address
from gatepost.standards.signed_paths import DAY_S, PathProblem, Srs, Tags, read_keys

NOW = 1_800_000_000.0
OLD, NEW = b"an old key of ours", b"a new key of ours!"
SRS = Srs(keys=(OLD,), domain="bounces.gate.test", max_age_s=21 * DAY_S)
TAGS = Tags(keys=(OLD,), max_age_s=7 * DAY_S)
ANN, BOB = Address("Ann", "client.test"), Address("bob", "gate.test")


def test_a_forwarded_return_path_leads_back() -> None:
    path = SRS.forwarded(ANN, NOW)
    assert path.local.startswith("SRS0=")
    assert path.local.endswith("=client.test=Ann")
    assert SRS.claims(path)
    assert SRS.original(path, NOW) == ANN
    assert SRS.original(Address(path.local.lower(), path.domain), NOW) == Address("ann", "client.test")
    assert SRS.forwarded(ANN, NOW + 60) == path  # the same at every attempt of a day's mail


@pytest.mark.parametrize(
    ("days", "good"), [(0, True), (21, True), (22, False), (-1, True), (-2, False), (500, False)]
)
def test_how_long_it_does(days: int, good: bool) -> None:
    path = SRS.forwarded(ANN, NOW)
    assert SRS.original(path, NOW + days * DAY_S) == (ANN if good else PathProblem.EXPIRED)


@pytest.mark.parametrize(
    ("made", "wanted", "good"), [(8, 8, True), (12, 8, True), (8, 12, False), (6, 6, True)]
)
def test_a_hash_shorter_than_wanted_is_not_believed(made: int, wanted: int, good: bool) -> None:
    path = replace(SRS, hash_chars=made).forwarded(ANN, NOW)
    assert path.local.index("=", 5) - 5 == made
    assert replace(SRS, hash_chars=wanted).original(path, NOW) == (ANN if good else PathProblem.FORGED)


@pytest.mark.threat("L14")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s.replace("client.test", "evil.test"), PathProblem.FORGED),
        (lambda s: s[:-1] + "x", PathProblem.FORGED),
        (lambda s: "SRS0=AAAAAAAA=AA=a.test=x", PathProblem.FORGED),
        (lambda s: "SRS0=AAAA=AA=a.test=x", PathProblem.MALFORMED),
        (lambda s: "SRS1=AAAAAAAA=a.test==x", PathProblem.FORGED),
        (lambda s: "SRS0=", PathProblem.MALFORMED),
        (lambda s: "SRS0=ABCDEFG\u212a=AA=a.test=x", PathProblem.MALFORMED),
        (lambda s: "SRS0=ABCDEFGH=A\u212a=a.test=x", PathProblem.MALFORMED),
        (lambda s: "SRS1=ABCDEFG\u017f=a.test==x", PathProblem.MALFORMED),
    ],
)
def test_no_open_bounce_relay(change: object, problem: PathProblem) -> None:
    local = change(SRS.forwarded(ANN, NOW).local)  # type: ignore[operator]  # a function of the table
    assert SRS.original(Address(local, SRS.domain), NOW) is problem


def test_mail_that_was_forwarded_before_leads_back_to_the_first_forwarder() -> None:
    first = Srs(keys=(b"the key of another",), domain="first.test", max_age_s=21 * DAY_S)
    second = Srs(keys=(b"the key of a third",), domain="second.test", max_age_s=21 * DAY_S)
    path = first.forwarded(Address("a", "b.test"), NOW)
    for again in (SRS.forwarded(path, NOW), SRS.forwarded(second.forwarded(path, NOW), NOW)):
        assert again.local.startswith("SRS1=")
        assert SRS.original(again, NOW) == path


def test_a_path_that_would_be_too_long_stays() -> None:
    long = Address("a" * 60, "client.test")
    assert SRS.forwarded(long, NOW) == long
    assert TAGS.tagged(long, NOW) == long


def test_a_new_key_signs_and_the_old_one_is_still_believed() -> None:
    srs, tags = (
        Srs(keys=(NEW, OLD), domain=SRS.domain, max_age_s=SRS.max_age_s),
        Tags(keys=(NEW, OLD), max_age_s=7 * DAY_S),
    )
    assert srs.original(SRS.forwarded(ANN, NOW), NOW) == ANN
    assert SRS.original(srs.forwarded(ANN, NOW), NOW) is PathProblem.FORGED
    assert tags.problem(TAGS.tagged(BOB, NOW), NOW) is None
    assert TAGS.problem(tags.tagged(BOB, NOW), NOW) is PathProblem.FORGED


def test_a_tag_and_the_mailbox_behind_it() -> None:
    path = TAGS.tagged(BOB, NOW)
    assert path.local.startswith("prvs=")
    assert TAGS.untagged(path) == BOB
    assert TAGS.untagged(BOB) is None
    assert TAGS.problem(path, NOW) is None
    assert TAGS.problem(Address(path.local.upper(), path.domain), NOW) is None
    assert TAGS.problem(BOB, NOW) is PathProblem.MALFORMED
    assert TAGS.problem(Address(path.local, "other.test"), NOW) is PathProblem.FORGED
    assert TAGS.problem(path, NOW + 7 * DAY_S) is None
    assert TAGS.problem(path, NOW + 8 * DAY_S) is PathProblem.EXPIRED
    eve = Address(path.local.replace("=bob", "=eve"), path.domain)
    assert TAGS.problem(eve, NOW) is PathProblem.FORGED


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 keys"),
        ("# none\n\n", "0 keys"),
        ("short\n", "less than 16"),
        ("0123456789abcdef\n" * 11, "11 keys"),
    ],
)
def test_files_of_keys_that_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_keys(text)


def test_a_file_of_keys() -> None:
    assert read_keys("# since May\n0123456789abcdef\n\nanother key, longer\n") == (
        b"0123456789abcdef",
        b"another key, longer",
    )


LOCALS = st.text(
    st.characters(min_codepoint=33, max_codepoint=300, exclude_categories=("Cc", "Cs")),
    min_size=1,
    max_size=40,
)


@given(LOCALS)
def test_any_local_part_there_and_back(local: str) -> None:
    sender = Address(local, "a.test")
    path = SRS.forwarded(sender, NOW)
    assert path == sender or SRS.original(path, NOW) == sender
    tagged = TAGS.tagged(sender, NOW)
    assert tagged == sender or TAGS.problem(tagged, NOW) is None


@pytest.mark.threat("L14")
@given(LOCALS, st.sampled_from(["SRS0=", "SRS1=", "prvs=", "SRS0=AAAAAAAA=AA=", "SRS1=AAAAAAAA=a.test=="]))
def test_nothing_unsigned_is_believed(local: str, start: str) -> None:
    address = Address(start + local, SRS.domain)
    assert isinstance(SRS.original(address, NOW), PathProblem)
    assert TAGS.problem(address, NOW) is not None


@pytest.mark.threat("K06")
@pytest.mark.threat("L14")
def test_letters_that_fold_to_ascii_make_no_signed_address() -> None:
    # Given letters that are k and s to a reader who folds case by Unicode: the Kelvin sign, the long s
    assert not SRS.claims(Address("\u017fRS0=ABCDEFGH=AA=a.test=x", SRS.domain))
    assert TAGS.problem(Address("prv\u017f=0123abcdef=bob", "gate.test"), NOW) is PathProblem.MALFORMED
