"""SRS and BATV with other programs: postsrsd as a forwarder before and behind us, tags as Exim makes them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.services.postsrsd import PostsrsdServer

from gatepost.model.address import Address
from gatepost.standards.signed_paths import DAY_S, PathProblem, Srs, Tags

SRS = Srs(keys=(b"a key of this gateway",), domain="gate.test", max_age_s=21 * DAY_S)


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostsrsdServer]:
    server = PostsrsdServer(tmp_path_factory.mktemp("postsrsd"), "peer.test")
    yield server
    server.stop()


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


SENDERS = ["ann@client.test", "a.b+c@sub.client.test", "x=y@client.test", "-dash@client.test"]


@pytest.mark.service("postsrsd")
@pytest.mark.threat("L14")
@pytest.mark.parametrize("sender", SENDERS)
def test_a_mail_the_peer_forwarded_first_goes_back_over_the_peer(peer: PostsrsdServer, sender: str) -> None:
    theirs = peer.forward(sender)
    assert theirs.startswith("SRS0=")
    # When we forward it on, and a notice comes back
    ours = SRS.forwarded(address(theirs), time.time())
    assert ours.local.startswith("SRS1=")
    back = SRS.original(ours, time.time())
    # Then it goes to the peer, which knows the sender
    assert isinstance(back, Address)
    assert back.domain == "peer.test"
    assert peer.reverse(str(back)) == sender


@pytest.mark.service("postsrsd")
@pytest.mark.parametrize("sender", SENDERS)
def test_a_mail_we_forwarded_first_comes_back_over_the_peer_to_us(peer: PostsrsdServer, sender: str) -> None:
    now = time.time()
    theirs = peer.forward(str(SRS.forwarded(address(sender), now)))
    assert theirs.startswith("SRS1=")
    assert theirs.endswith("@peer.test")
    ours = address(peer.reverse(theirs))
    assert ours.domain == "gate.test"
    assert SRS.original(ours, now) == address(sender)


@pytest.mark.service("postsrsd")
def test_the_peer_between_two_of_ours_is_left_out(peer: PostsrsdServer) -> None:
    now, other = (
        time.time(),
        Srs(keys=(b"a key of another gateway",), domain="far.test", max_age_s=21 * DAY_S),
    )
    theirs = peer.forward(str(SRS.forwarded(address("ann@client.test"), now)))
    last = other.forwarded(address(theirs), now)
    back = other.original(last, now)
    assert isinstance(back, Address)
    assert back.domain == "gate.test"  # SRS1 leads to the first forwarder at once
    assert SRS.original(back, now) == address("ann@client.test")


@pytest.mark.service("postsrsd")
def test_neither_takes_the_others_signature_for_its_own(peer: PostsrsdServer) -> None:
    now = time.time()
    foreign = address(peer.forward("ann@client.test"))
    assert isinstance(SRS.original(Address(foreign.local, "gate.test"), now), PathProblem)
    ours = SRS.forwarded(address("ann@client.test"), now)
    assert peer.reverse(f"{ours.local}@peer.test") == ""


EXIM_AT = 1_795_773_331.0
EXIM_SAID = [
    "prvs=1791c821dd=ann@gate.test",
    "prvs=1791bd00bb=bob.lee+x@gate.test",
    "prvs=1791c51e4a=sales@b.gate.test",
]
"""What `exim -be '${prvs{ADDRESS}{an old key of ours}{1}}'` (Exim 4.96) said at that time."""


@pytest.mark.parametrize("said", EXIM_SAID)
def test_tags_are_those_exim_makes(said: str) -> None:
    tags = Tags(keys=(b"an old key of ours",), max_age_s=7 * DAY_S)
    plain = address(said.rpartition("prvs=")[2].split("=", 1)[1])
    assert str(tags.tagged(plain, EXIM_AT)) == said
    assert tags.problem(address(said), EXIM_AT) is None
