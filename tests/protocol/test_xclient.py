"""XCLIENT as the engine reads it: for peers it is offered to, strictly, and with nothing left of what was before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.talk import BANNER, ENVELOPE, HELLO, OFFER, REFUSED, Talk

from gatepost.model.fault import PeerFault
from gatepost.protocol.events import Auth, XClient
from gatepost.protocol.smtp_states import State
from gatepost.protocol.xclient import ATTRIBUTES, read_xclient

TRUSTING = replace(OFFER, xclient=ATTRIBUTES, auth=("PLAIN",))
YES = {XClient: BANNER}


@dataclass(frozen=True)
class Good:
    argument: str
    then: XClient


GOOD = [
    Good("ADDR=192.0.2.7", XClient(ip="192.0.2.7")),
    Good("addr=192.0.2.7 Port=4711", XClient(ip="192.0.2.7", port=4711)),
    Good("ADDR=IPV6:2001:DB8::7", XClient(ip="2001:db8::7")),
    Good("ADDR=ipv6:::ffff:192.0.2.7", XClient(ip="192.0.2.7")),
    Good("NAME=Mail.Example.COM PROTO=esmtp", XClient(name="mail.example.com", esmtp=True)),
    Good("PROTO=SMTP HELO=[192.0.2.7]", XClient(esmtp=False, helo="[192.0.2.7]")),
    Good("HELO=odd+20+2B+20name", XClient(helo="odd + name")),
    Good("LOGIN=ann+40ours.example", XClient(login="ann@ours.example")),
    Good("LOGIN=ann@ours.example", XClient(login="ann@ours.example")),
    Good("HELO=x LOGIN=" + "a" * 255, XClient(helo="x", login="a" * 255)),
    Good("PORT=1 DESTPORT=65535", XClient(port=1, server_port=65535)),
    Good("DESTADDR=198.51.100.25 DESTPORT=25", XClient(server_ip="198.51.100.25", server_port=25)),
    Good("NAME=[UNAVAILABLE] PORT=[UNAVAILABLE]", XClient(name="", port=0)),
    Good("NAME=[TEMPUNAVAIL] ADDR=192.0.2.7", XClient(ip="192.0.2.7")),
    Good("HELO=[unavailable] LOGIN=[UNAVAILABLE]", XClient(helo="", login="")),
    Good("DESTADDR=[UNAVAILABLE] DESTPORT=[TEMPUNAVAIL]", XClient()),
]


@pytest.mark.parametrize("case", GOOD, ids=lambda c: c.argument)
def test_what_a_peer_says_of_its_client(case: Good) -> None:
    talk = Talk(offer=TRUSTING, answers=YES)
    assert talk.codes(f"XCLIENT {case.argument}\r\n".encode()) == ["220"]
    assert talk.events == [case.then]


BAD = [
    "",
    "ADDR",
    "ADDR=",
    "ADDR=192.0.2",
    "ADDR=192.0.2.256",
    "ADDR=192.0.2.07",
    "ADDR=2001:db8::7",
    "ADDR=IPV6:192.0.2.7",
    "ADDR=IPV6:fe80::7%eth0",
    "ADDR=0.0.0.0",
    "ADDR=255.255.255.255",
    "ADDR=IPV6:ff02::1",
    "ADDR=mail.example.com",
    "ADDR=[UNAVAILABLE]",
    "ADDR=[TEMPUNAVAIL]",
    "ADDR=192.0.2.7 ADDR=192.0.2.8",
    "ADDR=192.0.2.7  PORT=1",
    "NAME=",
    "NAME=<script>",
    "NAME=a+0D+0AMAIL",
    "NAME=a b",
    "PORT=0",
    "PORT=65536",
    "PORT=-1",
    "PORT=x",
    "PROTO=LMTP",
    "PROTO=[UNAVAILABLE]",
    "HELO=",
    "HELO=a+0D+0Ab",
    "HELO=a+00",
    "HELO=a+2",
    "HELO=a+zz",
    "HELO=a=b",
    "HELO=" + "a" * 256,
    "LOGIN=",
    "LOGIN=a+0Ab",
    "REVERSE_NAME=a.example",
    "FOO=bar",
    "=",
]


@pytest.mark.threat("Q07")
@pytest.mark.parametrize("argument", BAD)
def test_what_is_not_said_right_changes_nothing(argument: str) -> None:
    talk = Talk(offer=TRUSTING, answers=YES)
    talk.say(HELLO)
    assert talk.codes(f"XCLIENT {argument}\r\n".encode()) == ["501 5.5.4"]
    assert talk.is_in(State.READY)
    assert not any(isinstance(event, XClient) for event in talk.events)


@pytest.mark.threat("Q06", "B31")
def test_nobody_else_is_asked_or_heard() -> None:
    talk = Talk()
    assert "XCLIENT" not in talk.say(HELLO)
    for argument in (case.argument for case in GOOD):
        assert talk.codes(f"XCLIENT {argument}\r\n".encode()) == ["550 5.7.0"]
    assert talk.is_in(State.READY)


def test_it_is_announced_with_what_may_be_said() -> None:
    assert f"250-XCLIENT {' '.join(ATTRIBUTES)}\r\n" in Talk(offer=TRUSTING).say(HELLO)
    assert "250-XCLIENT ADDR\r\n" in Talk(offer=replace(OFFER, xclient=("ADDR",))).say(HELLO)


def test_what_was_not_announced_may_not_be_said() -> None:
    talk = Talk(offer=replace(OFFER, xclient=("ADDR",)), answers=YES)
    assert talk.codes(b"XCLIENT ADDR=192.0.2.7 LOGIN=ann\r\n") == ["501 5.5.4"]


@pytest.mark.threat("Q07")
def test_in_a_transaction_it_is_out_of_sequence() -> None:
    talk = Talk(offer=TRUSTING, answers=YES)
    talk.say(HELLO)
    talk.say(ENVELOPE)
    assert talk.codes(b"XCLIENT ADDR=192.0.2.7\r\n") == ["503 5.5.1"]
    assert talk.is_in(State.RCPT)


@pytest.mark.threat("Q07")
def test_afterwards_the_client_has_said_nothing_yet() -> None:
    # Given a peer that is authenticated and may pipeline
    talk = Talk(offer=TRUSTING, answers=YES)
    talk.say(HELLO)
    talk.say(b"AUTH PLAIN AGEAYg==\r\n")
    assert talk.codes(b"XCLIENT ADDR=192.0.2.7\r\n") == ["220"]
    # Then it has to greet again, alone, and may authenticate again
    assert talk.codes(b"MAIL FROM:<>\r\n") == ["503 5.5.1"]
    assert "AUTH PLAIN" in talk.say(HELLO)
    talk.answers = {Auth: REFUSED}
    assert talk.codes(b"AUTH PLAIN AGEAYg==\r\n") == ["550 5.7.1"]


@pytest.mark.threat("C03", "Q07")
def test_whoever_does_not_wait_for_the_new_greeting_is_closed() -> None:
    talk = Talk(offer=TRUSTING, answers=YES)
    talk.say(HELLO)
    assert talk.codes(b"XCLIENT ADDR=192.0.2.7\r\n" + HELLO) == ["554 5.5.0"]
    assert talk.closed


def test_a_client_we_do_not_want_leaves_things_as_they_were() -> None:
    talk = Talk(offer=TRUSTING, answers={XClient: REFUSED})
    talk.say(HELLO)
    assert talk.codes(b"XCLIENT ADDR=192.0.2.7\r\n") == ["550 5.7.1"]
    assert talk.is_in(State.READY)


WORDS = st.sampled_from([*(w for c in GOOD for w in c.argument.split()), *BAD])


@given(st.lists(st.one_of(WORDS, st.text(max_size=12)), max_size=5).map(" ".join))
def test_any_argument_is_read_or_refused(argument: str) -> None:
    try:
        found = read_xclient(argument, TRUSTING)
    except PeerFault as fault:
        said, texts = fault.reply.code, [fault.reason]
    else:
        said, texts = 501, [found.name or "", found.helo or "", found.login or ""]
    assert said == 501
    assert all(text.isprintable() for text in texts)
