"""Records from answers: what the SPF wizard asked and printed, and the rest of what a domain publishes."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import dns.rdata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.control.dns_survey import MailHost, Survey
from gatepost.control.dns_wizard import (
    Answers,
    Record,
    dnscmd_lines,
    plan,
    quoted,
    spf_of,
    strings_of,
    zone_line,
)
from gatepost.protocol.addresses import parse_mailbox
from gatepost.standards.dmarc_record import parse_record

D = "example.com"


def test_the_keys_we_sign_with_are_published_too() -> None:
    found = Survey(domain=D, dkim={"s1": "v=DKIM1; p=AAAA", "s2": "k=rsa; p=OLD"})
    wanted = (("s1", "v=DKIM1; p=AAAA"), ("s2", "v=DKIM1; k=rsa; p=" + "B" * 400), ("s3", "v=DKIM1; p=C"))
    there, other, new = plan(found, Answers(dkim=wanted), today="20261127").records[1:]
    assert there.is_there
    assert (other.name, other.replaces) == (f"s2._domainkey.{D}", ("k=rsa; p=OLD",))
    assert zone_line(other).count('"') == 6  # strings of at most 255 octets
    assert new.replaces == ()


SPF = [
    ("mail servers only", {}, "v=spf1 mx -all"),
    ("no mail at all", {"sends": False}, "v=spf1 -all"),
    ("an address only", {"mx_sends": False, "addresses": ("10.10.0.20",)}, "v=spf1 ip4:10.10.0.20 -all"),
    ("its own address", {"mx_sends": False, "a_sends": True}, "v=spf1 a -all"),
    (
        "more mail servers",
        {"mx_of": ("host1.example", "host2.example")},
        "v=spf1 mx mx:host1.example mx:host2.example -all",
    ),
    (
        "everything, softly",
        {
            "a_sends": True,
            "addresses": ("192.0.2.7/24", "2001:db8::/32", "2001:DB8::1"),
            "hosts": ("Out.example.com.",),
            "providers": ("spf.provider.example",),
            "others": "softfail",
        },
        "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ip6:2001:db8::1 a mx a:out.example.com "
        "include:spf.provider.example ~all",
    ),
    (
        "IPv4 mapped into IPv6",
        {"mx_sends": False, "addresses": ("::ffff:192.0.2.7", "::ffff:198.51.100.0/120", "::/0")},
        "v=spf1 ip4:192.0.2.7 ip4:198.51.100.0/24 ip6:::/0 -all",
    ),
    (
        "names beyond ASCII",
        {"mx_sends": False, "hosts": ("Außen.bücher.example",), "providers": ("xn--bcher-kva.example.",)},
        "v=spf1 a:xn--auen-wna.xn--bcher-kva.example include:xn--bcher-kva.example -all",
    ),
    (
        "the same twice",
        {"addresses": ("192.0.2.1", "192.0.2.1"), "others": "neutral"},
        "v=spf1 ip4:192.0.2.1 mx ?all",
    ),
]


@pytest.mark.parametrize(("answers", "record"), [s[1:] for s in SPF], ids=[s[0] for s in SPF])
def test_spf(answers: dict[str, Any], record: str) -> None:
    assert spf_of(Answers(**answers)) == record


def found(**fields: Any) -> Survey:
    hosts = [MailHost(name="mx.example.com", preference=10, addresses=("192.0.2.1",))]
    return Survey(**{"domain": D, "zone": D, "hosts": hosts, **fields})


def test_every_record() -> None:
    answers = Answers(
        dmarc="reject",
        dmarc_to="d@example.com",
        sts="enforce",
        tls_reports_to="t@example.com",
        tlsa=(("mx.example.com", "3 1 1 " + "ab" * 32),),
    )
    made = plan(found(spf=("v=spf1 a ~all",)), answers, today="20261127")
    assert [zone_line(record) for record in made.records] == [
        'example.com. 3600 IN TXT "v=spf1 mx -all"',
        '_dmarc.example.com. 3600 IN TXT "v=DMARC1; p=reject; rua=mailto:d@example.com"',
        '_mta-sts.example.com. 3600 IN TXT "v=STSv1; id=20261127"',
        '_smtp._tls.example.com. 3600 IN TXT "v=TLSRPTv1; rua=mailto:t@example.com"',
        "_25._tcp.mx.example.com. 3600 IN TLSA 3 1 1 " + "ab" * 32,
    ]
    assert made.policy_file == "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmax_age: 604800\r\n"
    assert dnscmd_lines(made.records[0], D) == [
        'dnscmd . /RecordDelete example.com @ TXT "v=spf1 a ~all" /f',
        'dnscmd . /RecordAdd example.com @ 3600 TXT "v=spf1 mx -all"',
    ]
    assert dnscmd_lines(made.records[1], D)[0].startswith("dnscmd . /RecordAdd example.com _dmarc 3600 TXT ")


def test_what_is_published_already_stays() -> None:
    made = plan(found(spf=("v=spf1 mx -all",)), Answers(), today="20261127")
    assert made.records[0].is_there
    assert dnscmd_lines(made.records[0], D) == []


def test_a_domain_that_sends_and_takes_nothing() -> None:
    made = plan(found(), Answers(sends=False, receives=False), today="20261127")
    assert [(r.kind, r.data) for r in made.records] == [
        ("TXT", "v=spf1 -all"),
        ("MX", "0 ."),
        ("TXT", "v=DMARC1; p=reject"),
    ]


SAID: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("nobody sends", {"mx_sends": False}, {}, "nobody was named"),
    ("no mail, and senders", {"sends": False, "addresses": ("192.0.2.1",)}, {}, "they are left out"),
    ("mx without MX", {}, {"hosts": []}, "has no MX record"),
    ("a without address", {"a_sends": True}, {}, "it has none"),
    ("TLSA without DNSSEC", {"tlsa": (("mx.example.com", "3 1 1 00"),)}, {}, "signed by DNSSEC"),
    ("DMARC without reports", {"dmarc": "reject"}, {}, "without an address for reports"),
    ("MTA-STS for nothing", {"receives": False, "sts": "enforce"}, {}, "it takes none"),
    ("no mail in, and MX", {"receives": False}, {}, "replaced by a null MX"),
]


@pytest.mark.parametrize(("answers", "survey", "said"), [s[1:] for s in SAID], ids=[s[0] for s in SAID])
def test_contradictions_are_explained(answers: dict[str, Any], survey: dict[str, Any], said: str) -> None:
    problems = plan(found(**survey), Answers(**answers), today="20261127").problems
    assert any(said in problem for problem in problems)


REFUSED = [
    ({"addresses": ("192.0.2.300",)}, "not an IP address"),
    ({"addresses": ("fe80::1%eth0",)}, "has a zone"),
    ({"hosts": ("nodot",)}, "not a host"),
    ({"hosts": ("-a.example",)}, "not a host"),
    ({"hosts": ("a..example",)}, "not a host"),
    ({"hosts": ("192.0.2.7",)}, "not a host"),
    ({"hosts": ("[192.0.2.7]",)}, "not a host"),
    ({"providers": ("a." * 127 + "b",)}, "not a host"),
    ({"providers": ("a b.example",)}, "not a host"),
    ({"dmarc": "none", "dmarc_to": "a,b@example.com"}, "not a mail address"),
    ({"tls_reports_to": "nobody"}, "not a mail address"),
]


@pytest.mark.threat("K07")
@pytest.mark.parametrize(
    ("mailbox", "written"),
    [
        ("ann@example.com", "ann@example.com"),
        ("a.b+c=d@example.com", "a.b+c=d@example.com"),
        ("50%off@example.com", "50%25off@example.com"),
        ("what?#&@example.com", "what%3F%23%26@example.com"),
        ("jörg@bücher.example", "j%C3%B6rg@xn--bcher-kva.example"),
    ],
)
def test_an_address_for_reports_is_written_as_in_a_uri_and_read_back(mailbox: str, written: str) -> None:
    made = plan(Survey(domain=D), Answers(dmarc="none", dmarc_to=mailbox), today="20261127").records
    (record,) = [one.data for one in made if one.name == f"_dmarc.{D}"]
    assert record == f"v=DMARC1; p=none; rua=mailto:{written}"
    (read,) = parse_record(record.encode()).rua
    assert parse_mailbox(unquote(read.mailbox)) == parse_mailbox(mailbox)


@pytest.mark.parametrize(("answers", "why"), REFUSED)
def test_an_answer_nobody_can_use(answers: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        plan(found(), Answers(**answers), today="20261127")


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=900))
def test_texts_are_cut_and_quoted_so_that_others_read_the_same(text: str) -> None:
    strings = strings_of(text)
    assert "".join(strings) == text
    assert all(len(one) <= 255 for one in strings)
    read = dns.rdata.from_text("IN", "TXT", quoted(text))
    assert b"".join(read.strings).decode() == text  # type: ignore[attr-defined]


def test_dnscmd_and_tlsa() -> None:
    record = Record(name=f"_25._tcp.mx.{D}", kind="TLSA", data="3 1 1 00", why="")
    assert dnscmd_lines(record, D)[0].startswith("rem ")
