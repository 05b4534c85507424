"""Each fact: what is found out from what, and the promise that it can be recorded and read back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.fakes import HEAD, OWN_IP, Mailboxes, Names, session, site, to, view

from gatepost.facts.account_addresses import AccountAddresses
from gatepost.facts.arc import ArcResult
from gatepost.facts.author import Author
from gatepost.facts.bounce_tags import BounceTags
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.dkim_replays import DkimReplays, SignatureUse
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.dns_listings import DnsListings, ListedBy
from gatepost.facts.domain_listings import AuthorListings, DomainListings, ListedDomain
from gatepost.facts.greylisting import GreylistState
from gatepost.facts.helo import Helo, HeloAddresses, HeloForm
from gatepost.facts.ip_lists import IpListing
from gatepost.facts.message_form import MessageForm, read_message_form
from gatepost.facts.rate_limits import ContentRates, MailRates, RecipientRates, Used
from gatepost.facts.received_trace import ReceivedTrace, read_received_trace
from gatepost.facts.recipient_domain import RecipientDomain, find_recipient_domain
from gatepost.facts.recipient_status import Listing, RecipientStatus, find_recipient_status
from gatepost.facts.reverse_dns import ReverseDns, find_reverse_dns
from gatepost.facts.sender_domain import Mailable, SenderDomain
from gatepost.facts.sender_id import SenderIdResult
from gatepost.facts.sender_reputation import Reputation
from gatepost.facts.sender_status import SenderStatus
from gatepost.facts.spf import SpfResult
from gatepost.model.accepted_domains import DomainType
from gatepost.model.content import BodyForm
from gatepost.model.envelope import BodyType
from gatepost.model.fault import WorldFault
from gatepost.model.known import Unknown
from gatepost.model.proof import ProvenBy, ReturnPathProof
from gatepost.model.verdict import Stage
from gatepost.policy.dossier import OpaqueFact, decode_fact, encode_fact
from gatepost.policy.order import FACTS

CLIENT = "192.0.2.7"


# Reverse DNS


@dataclass(frozen=True)
class Reverse:
    name: str
    given: Names
    names: tuple[str, ...] = ()
    confirmed: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()


def pointing(*names: str, **more: Any) -> Names:
    return Names(pointers={CLIENT: names}, **more)


REVERSE = [
    Reverse("no name", pointing()),
    Reverse(
        "a name that leads back", pointing("a.test", hosts={"a.test": [CLIENT]}), ("a.test",), ("a.test",)
    ),
    Reverse("a name that leads elsewhere", pointing("a.test", hosts={"a.test": ["192.0.2.8"]}), ("a.test",)),
    Reverse("a name that leads nowhere", pointing("a.test"), ("a.test",)),
    Reverse(
        "one of two",
        pointing("a.test", "b.test", hosts={"b.test": ["192.0.2.8", CLIENT]}),
        ("a.test", "b.test"),
        ("b.test",),
    ),
    Reverse(
        "the forward zone is silent",
        pointing("a.test", silent=frozenset({"a.test"})),
        ("a.test",),
        (),
        ("a.test",),
    ),
    Reverse("a name that cannot be asked", pointing("a.test", odd=frozenset({"a.test"})), ("a.test",)),
    Reverse("names that are none", pointing("<b>.test", "a\r\nb.test", "x" * 300, "a..test", "")),
]


@pytest.mark.threat("M08")
@pytest.mark.parametrize("case", REVERSE, ids=lambda c: c.name)
def test_reverse_dns(case: Reverse) -> None:
    found = asyncio.run(find_reverse_dns(view(Stage.CONNECT), case.given, timeout_s=1))
    assert (found.names, found.confirmed, found.unanswered) == (case.names, case.confirmed, case.unanswered)


@pytest.mark.threat("M08")
def test_a_thousand_names_cost_ten_questions() -> None:
    names = pointing(*(f"h{n}.test" for n in range(1000)))
    found = asyncio.run(find_reverse_dns(view(Stage.CONNECT), names, timeout_s=1))
    assert len(found.names) == 10
    assert len(names.asked) == 11


@pytest.mark.threat("M02")
def test_a_silent_reverse_zone_is_not_the_same_as_no_name() -> None:
    with pytest.raises(WorldFault):
        asyncio.run(find_reverse_dns(view(Stage.CONNECT), pointing(silent=frozenset({CLIENT})), timeout_s=1))


def test_ipv6_addresses_are_compared_as_addresses() -> None:
    client = "2001:db8::7"
    names = Names(pointers={client: ["a.test"]}, hosts={"a.test": ["2001:0db8:0:0::7"]})
    mail = view(Stage.CONNECT, who=session(client_ip=client))
    assert asyncio.run(find_reverse_dns(mail, names, timeout_s=1)).confirmed == ("a.test",)


@pytest.mark.parametrize(
    ("told", "found"), [("mail.there.test", ("mail.there.test",)), ("", ()), ("not a name", ())]
)
def test_a_name_that_a_trusted_peer_told_is_not_looked_up(told: str, found: tuple[str, ...]) -> None:
    names = pointing("other.test", hosts={"other.test": [CLIENT]})
    mail = view(Stage.CONNECT, who=session(client_name=told))
    fact = asyncio.run(find_reverse_dns(mail, names, timeout_s=1))
    assert (fact.address, fact.names, fact.confirmed) == (CLIENT, found, found)
    assert names.asked == []


# Recipients

DOMAIN = [
    ("ours", "x@gate.test", "gate.test", DomainType.AUTHORITATIVE, False),
    ("a relay domain", "x@relay.test", "relay.test", DomainType.INTERNAL_RELAY, False),
    ("below a wildcard", "x@a.b.branch.test", "*.branch.test", DomainType.AUTHORITATIVE, False),
    ("not ours", "x@foreign.test", "", None, False),
    ("a name that ends like ours", "x@notgate.test", "", None, False),
    ("our own address", f"x@[{OWN_IP}]", "", None, True),
    ("another address", "x@[203.0.113.9]", "", None, False),
    ("an odd literal", "x@[what]", "", None, False),
]


@pytest.mark.parametrize(
    ("name", "recipient", "entry", "kind", "own"), DOMAIN, ids=[row[0] for row in DOMAIN]
)
def test_recipient_domain(name: str, recipient: str, entry: str, kind: DomainType | None, own: bool) -> None:
    found = find_recipient_domain(view(Stage.RCPT, recipient=recipient), site())
    assert (found.entry, found.type, found.own_literal) == (entry, kind, own)


STATUS = [
    ("listed", "bob@gate.test", Listing.LISTED, 1),
    ("not listed", "nobody@gate.test", Listing.NOT_LISTED, 1),
    ("a relay domain is not looked up", "bob@relay.test", Listing.NOT_ASKED, 0),
    ("nor is a foreign one", "bob@foreign.test", Listing.NOT_ASKED, 0),
    ("our own address is", f"bob@[{OWN_IP}]", Listing.NOT_LISTED, 1),
]


@pytest.mark.threat("F27")
@pytest.mark.parametrize(("name", "recipient", "listing", "asked"), STATUS, ids=[row[0] for row in STATUS])
def test_recipient_status(name: str, recipient: str, listing: Listing, asked: int) -> None:
    mailboxes = Mailboxes()
    found = find_recipient_status(view(Stage.RCPT, recipient=recipient), site(), mailboxes)
    assert isinstance(found, RecipientStatus)
    assert (found.listing, len(mailboxes.asked)) == (listing, asked)


@pytest.mark.threat("F29")
def test_a_directory_that_is_down_is_no_answer() -> None:
    with pytest.raises(WorldFault):
        find_recipient_status(view(Stage.RCPT, recipient="bob@gate.test"), site(), Mailboxes(is_down=True))


# Trace

OURS = frozenset({"mx.gate.test"})
BY_US = b"Received: from x by mx.gate.test with ESMTP id 1; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
TRACES = [
    ("no fields", b"\r\n", 0, 0),
    ("one of others", HEAD, 1, 0),
    ("ours", BY_US + HEAD, 2, 1),
    ("ours, folded and shouted", b"RECEIVED: from x\r\n\tBY MX.Gate.Test; x\r\n\r\n", 1, 1),
    ("ours, final dot", b"Received: by mx.gate.test. id 1\r\n\r\n", 1, 1),
    ("our name in a comment", b"Received: from x (helo by mx.gate.test) by other.test\r\n\r\n", 1, 0),
    ("our name in a nested comment", b"Received: from x (a (b) by mx.gate.test) by o.test\r\n\r\n", 1, 0),
    ("a name that begins like ours", b"Received: from x by mx.gate.test.evil.test\r\n\r\n", 1, 0),
    ("our name in another field", b"Subject: by mx.gate.test\r\nReceived: from x by o.test\r\n\r\n", 1, 0),
    ("a hundred and one", BY_US * 101 + b"\r\n", 101, 101),
    ("no end", b"Received: from x by mx.gate.test", 1, 1),
    ("an open comment", b"Received: from x (((( by mx.gate.test\r\n\r\n", 1, 0),
]


@pytest.mark.threat("L01", "L03")
@pytest.mark.parametrize(("name", "head", "received", "own"), TRACES, ids=[row[0] for row in TRACES])
def test_received_trace(name: str, head: bytes, received: int, own: int) -> None:
    trace = read_received_trace(head, OURS)
    assert (trace.received, trace.own) == (received, own)


def test_delivered_to_is_kept_without_brackets_and_bounded() -> None:
    head = b"Delivered-To: <Bob@Gate.test>\r\n" * 150 + b"\r\n"
    assert read_received_trace(head, OURS).delivered_to == ("bob@gate.test",) * 100


# Form


def form_of(head: bytes = HEAD, **more: Any) -> MessageForm:
    return read_message_form(view(Stage.END_OF_DATA, head=head, **more), 1000)


@pytest.mark.threat("A20", "A21")
def test_what_is_odd_about_a_header_section() -> None:
    assert form_of().header_defects == ()
    assert form_of(HEAD.replace(b"hello", b"he\x0bllo")).header_defects == ("other-line-end",)
    assert form_of(HEAD.replace(b"\r\nTo", b"\rTo")).header_defects == ("bare-cr",)
    assert form_of(b"From: a\r\n  \r\nTo: b\r\n\r\n").header_defects == ("blank-line",)
    assert form_of(b"From: a\r\nTo: b\r\n").header_defects == ("no-end",)


def test_a_message_of_headers_alone_needs_no_end() -> None:
    mail = view(Stage.END_OF_DATA, head=b"From: a\r\n")
    alone = type(mail)(
        stage=mail.stage, session=mail.session, now=0, head=mail.head, size_bytes=len(mail.head)
    )
    assert read_message_form(alone, 1000).header_defects == ()


@pytest.mark.threat("K04")
def test_turned_writing_is_named_by_its_field() -> None:
    head = b"From: a@a.test\r\nSubject: =?utf-8?q?invoice_=E2=80=AEfdp.exe?=\r\n\r\n"
    assert read_message_form(view(Stage.END_OF_DATA, head=head), 1000).turned_fields == ("subject",)
    head = "From: \u202dann <a@a.test>\r\nSubject: plain\r\n\r\n".encode()
    assert read_message_form(view(Stage.END_OF_DATA, head=head), 1000).turned_fields == ("from",)


def test_repeated_fields_by_name() -> None:
    form = form_of(b"From: a\r\nFROM: b\r\nSubject: c\r\nReceived: d\r\nReceived: e\r\n\r\n")
    assert (form.from_fields, form.repeated_fields) == (2, ("from",))


def test_more_fields_than_the_limit() -> None:
    assert "too-many-fields" in form_of(b"X: y\r\n" * 1001 + b"\r\n").header_defects
    assert form_of(b"X: y\r\n" * 999 + b"\r\n").header_defects == ()


EIGHT_BIT = [
    ("declared", BodyType.EIGHT_BIT_MIME, False, False),
    ("binary", BodyType.BINARY_MIME, False, False),
    ("not declared", BodyType.SEVEN_BIT, False, True),
    ("international mail", BodyType.SEVEN_BIT, True, False),
]


@pytest.mark.threat("A26")
@pytest.mark.parametrize(("name", "body", "utf8", "undeclared"), EIGHT_BIT, ids=[r[0] for r in EIGHT_BIT])
def test_eight_bit(name: str, body: BodyType, utf8: bool, undeclared: bool) -> None:
    form = form_of(form=BodyForm(has_8bit=True), body=body, smtputf8=utf8)
    assert form.eight_bit_undeclared is undeclared


@pytest.mark.threat("A25")
def test_nul_and_long_lines_and_bare_newlines() -> None:
    form = form_of(form=BodyForm(has_nul=True, bare_newlines=True, longest_line_bytes=2000))
    assert (form.nul_in_body, form.bare_newlines, form.longest_line_bytes) == (True, True, 2000)
    assert form_of(HEAD.replace(b"hello", b"he\0llo")).nul_in_head
    assert form_of(HEAD.replace(b"hello", "hé".encode())).eight_bit_head_undeclared


@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([b"From: a", b"\r\n", b"\r", b" ", b"\0", b":"])).map(b"".join)
)
def test_any_bytes_have_a_form_and_a_trace(head: bytes) -> None:
    form, trace = form_of(head), read_received_trace(head, OURS)
    assert trace.own <= trace.received
    assert decode_fact("message-form", encode_fact(form), TYPES) == form


# Recorded, read back, equal

TYPES = {kind.name: kind for kind in FACTS}
RECORDED: list[Any] = [
    ReverseDns(address=CLIENT, names=("a.test", "b.test"), confirmed=("a.test",), unanswered=("b.test",)),
    ReverseDns(address="2001:db8::7"),
    Helo(helo="a.test", address=CLIENT, form=HeloForm.NAME, is_own=True),
    HeloAddresses(helo="a.test", address=CLIENT, resolves=True),
    Helo(helo="[192.0.2.1]", address=CLIENT, form=HeloForm.WRONG_LITERAL),
    RecipientDomain(recipient=to('a"b@gate.test').address, entry="gate.test", type=DomainType.AUTHORITATIVE),
    RecipientDomain(recipient=to(f"böb@[{OWN_IP}]").address, own_literal=True),
    RecipientStatus(
        recipient=to("bob@gate.test").address, listing=Listing.LISTED, type=DomainType.INTERNAL_RELAY
    ),
    RecipientStatus(recipient=to("postmaster").address, listing=Listing.NOT_ASKED),
    SenderDomain(domain="a.test", mailable=Mailable.NOT_PUBLIC, hosts=("mx.a.test",)),
    SenderStatus(sender=to("bob@gate.test").address, is_ours=True, listing=Listing.NOT_LISTED),
    ReceivedTrace(received=4, own=1, delivered_to=("bob@gate.test",)),
    MessageForm(header_defects=("bare-cr",), repeated_fields=("to",), nul_in_head=True, longest_line_bytes=9),
    MessageForm(),
    MailRates(used=(Used(limit="a", key="a x@y.test", count=3.5),)),
    RecipientRates(recipient=to("bob@gate.test").address),
    ContentRates(),
    GreylistState(
        recipient=to("bob@gate.test").address,
        key="192.0.2.0/24 a.test b@c.test",
        network="192.0.2.0/24",
        first_at=5.5,
        passes=3,
    ),
    Reputation(
        address=CLIENT, level=7, judged_by=CLIENT, weight=20.5, reasons=("+7.5 spam",), names=("a.test",)
    ),
    IpListing(address=CLIENT, blocked_by="192.0.2.0/24", blocked_source="ann", blocked_by_machine=True),
    DnsListings(
        address=CLIENT,
        listed=(ListedBy(provider="a", zone="bl.test", codes=("127.0.0.2",), text="why", weight=2.5),),
        unanswered=("b: no answer",),
    ),
    DomainListings(
        asked=("a.test", "b.test"),
        listed=(
            ListedDomain(provider="a", zone="dbl.test", domain="a.test", codes=("127.0.1.2",), weight=0.5),
        ),
        unanswered=("b: no answer",),
    ),
    AuthorListings(asked=("a.test",)),
    Author(
        addresses=(to("ann@a.test").address,),
        domains=("a.test",),
        display_names=("Ann",),
        problem="2 From fields",
    ),
    Author(problem="no From field"),
    DmarcResult(
        result="fail", from_domain="a.test", policy="reject", published=("none", "r"), rua=(("a@b.test", 5),)
    ),
    SpfResult(
        result="fail",
        domain="a.test",
        identity="mailfrom",
        ip=CLIENT,
        term="-all",
        record_domain="b.test",
        path=("a.test", "b.test"),
        explanation="no\x1b",
        helo_result="pass",
        helo_domain="mx.a.test",
    ),
    ReturnPathProof(by=ProvenBy.DKIM, detail="a.test"),
    AccountAddresses(user="ann", keys=frozenset({"ann@gate.test"})),
    SenderIdResult(result="fail", reason="no-pra", ip=CLIENT, problem="no field names one"),
    BounceTags(untagged=(to("bob@gate.test").address,), led_back=()),
    SpfResult(result="none", domain="", identity="helo", ip=CLIENT),
    DkimResults(
        signatures=(DkimSignature(result="pass", domain="a.test", signed_fields=("from",), key_bits=2048),),
        left_out=2,
    ),
    DkimResults(),
    DkimReplays(uses=(SignatureUse(key="a.test s1 abc", recipients=2.5),)),
    ArcResult(result="pass", sealers=("b.test", "a.test"), trusted_by="b.test", payload="b.test; spf=pass"),
]


@pytest.mark.parametrize("fact", RECORDED, ids=lambda f: type(f).__name__)
def test_a_fact_reads_back_as_it_was_recorded(fact: Any) -> None:
    read = decode_fact(fact.name, encode_fact(fact), TYPES)
    assert read == fact
    assert type(read) is type(fact)


def test_every_fact_is_tried_above() -> None:
    assert {type(fact) for fact in RECORDED} == set(FACTS)


def test_an_unknown_fact_reads_back_as_unknown() -> None:
    unknown = Unknown("reverse-dns", "no name server answers")
    assert decode_fact("unknown", encode_fact(unknown), TYPES) == unknown


def test_a_fact_that_is_not_installed_keeps_its_values() -> None:
    raw = encode_fact(RECORDED[0])
    read = decode_fact("reverse-dns", raw, {})
    assert isinstance(read, OpaqueFact)
    assert isinstance(read.values, dict)
    assert read.values["address"] == CLIENT


def test_a_fact_of_another_form_keeps_its_values() -> None:
    read = decode_fact("reverse-dns", encode_fact({"address": 7}), TYPES)
    assert read == OpaqueFact(name="reverse-dns", values={"address": 7})


def test_what_is_no_fact_is_refused() -> None:
    with pytest.raises(ValueError):
        decode_fact("reverse-dns", b"\xc1", TYPES)
