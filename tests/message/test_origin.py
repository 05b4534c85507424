"""Where a mail came from is read from the Received fields of our own relays, and from nobody else's."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.message.origin import Hop, MailOrigin, origin_behind, read_hop
from gatepost.model.ip_ranges import IpRanges

CLIENT = "192.0.2.7"
RELAYS = IpRanges(("10.0.0.0/8", "198.51.100.7", "2001:db8:1::/48"))


@dataclass(frozen=True)
class Form:
    name: str
    field: str
    address: str = CLIENT
    helo: str = "client.test"


FORMS = [
    Form("Postfix", "from client.test (rdns.test [192.0.2.7]) by mx (Postfix) with ESMTP id 4; Mon"),
    Form(
        "Postfix with TLS",
        "from client.test (rdns.test [192.0.2.7])\t(using TLSv1.3 with cipher X (256/256 bits))\t(No client "
        "certificate requested)\tby mx (Postfix) with ESMTPS id 4; Mon",
    ),
    Form("Postfix, IPv6", "from client.test (unknown [IPv6:2001:db8::7]) by mx with ESMTP", "2001:db8::7"),
    Form("Postfix, a lying literal", "from [9.9.9.9] (unknown [192.0.2.7]) by mx", helo="[9.9.9.9]"),
    Form("Exim", "from rdns.test ([192.0.2.7] helo=client.test) by mx with esmtps (Exim 4.96)"),
    Form("Exim, without a name", "from [192.0.2.7] (helo=client.test) by mx with smtp"),
    Form("Exim, with ports", "from [192.0.2.7] (port=4025 helo=client.test) by mx with smtp"),
    Form("Exim, a lying literal", "from [192.0.2.7]:4025 (helo=[9.9.9.9]) by mx", helo="[9.9.9.9]"),
    Form("Exim, IPv6", "from rdns.test ([2001:db8::7]:4025 helo=client.test) by mx", "2001:db8::7"),
    Form("sendmail", "from client.test (rdns.test [192.0.2.7]) by mx (8.17.1/8.17.1) with ESMTP id 4"),
    Form("sendmail, ident and doubt", "from client.test (root@rdns.test [192.0.2.7] (may be forged)) by mx (8.17)"),
    Form("Exchange", "from client.test (192.0.2.7) by EX.ours.test (10.0.0.1) with Microsoft SMTP Server id 15.1"),
    Form("Exchange, IPv6", "from client.test (2001:db8::7) by EX (2001:db8:1::1) with Microsoft SMTP", "2001:db8::7"),
    Form("qmail", "from unknown (HELO client.test) (192.0.2.7) by 0 with SMTP; 1 Jan 2026"),
    Form("qmail with a user", "from rdns.test (HELO client.test) (user@192.0.2.7) by 0 with SMTP"),
    Form("qmail, a lying literal", "from unknown (HELO [9.9.9.9]) (192.0.2.7) by 0", helo="[9.9.9.9]"),
    Form("Gmail", "from client.test (rdns.test. [192.0.2.7]) by mx.google.com with ESMTPS id 4"),
    Form("Gatepost", "from client.test ([192.0.2.7]) by mx with ESMTPS (TLSv1.3) id 4"),
    Form("Gatepost, an odd name", "[192.0.2.7]", "", ""),
    Form("IPv4 mapped into IPv6", "from client.test (x [::ffff:192.0.2.7]) by mx"),
    Form("a client that calls itself by", "from by (unknown [192.0.2.7]) by mx (Postfix)", helo="by"),
    Form("no address", "from client.test by mx with LMTP", ""),
    Form("no address that is one", "from client.test ([999.0.2.7]) by mx", ""),
    Form("addresses behind by do not count", "from client.test by mx ([192.0.2.9])", ""),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_forms_of_received(form: Form) -> None:
    hop = read_hop(form.field.encode())
    assert hop == (Hop(form.address, form.helo) if form.helo else None)


PROVIDER = b"from provider.test (provider.test [198.51.100.7]) by in.ours.test (Postfix) with ESMTP"
INSIDE = b"from localhost (localhost [127.0.0.1]) by in.ours.test (Postfix) with ESMTP"
OUTSIDE = b"from client.test (rdns.test [203.0.113.9]) by provider.test (Postfix) with ESMTP"
FORGED = b"from good.test (good.test [192.0.2.99]) by client.test with ESMTP"
ORIGIN = MailOrigin("203.0.113.9", "client.test")


@dataclass(frozen=True)
class Case:
    name: str
    received: list[bytes]
    then: MailOrigin | None


CASES = [
    Case("the example of Exchange's documentation", [PROVIDER, OUTSIDE, FORGED], ORIGIN),
    Case("directly", [OUTSIDE, FORGED], ORIGIN),
    Case("through a filter on the relay itself", [INSIDE, PROVIDER, OUTSIDE], ORIGIN),
    Case("steps inside of a host", [b"by 10.2.3.4 with SMTP id a; x", b"(qmail 7); x", OUTSIDE], ORIGIN),
    Case("handed on by localhost", [b"from localhost by in.ours.test with LMTP", OUTSIDE], ORIGIN),
    Case("written by a host of ours", [b"from ann (ann.ours.test [10.1.1.1]) by in.ours.test"], None),
    Case("no field at all", [], None),
    Case("our relay does not say from whom", [b"from client.test by in.ours.test with SMTP", FORGED], None),
    Case("behind a hundred hops nobody looks", [INSIDE] * 100 + [OUTSIDE], None),
]  # fmt: skip


@pytest.mark.threat("Q08", "Q09")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_origin_is_the_first_host_that_is_not_ours(case: Case) -> None:
    assert origin_behind(case.received, RELAYS) == case.then


@pytest.mark.threat("Q08")
@given(st.text(alphabet="from by()[]helo=HELO 192.0.2.7:abIPv6\t@", max_size=200) | st.text(max_size=100))
def test_any_text_is_a_hop_or_none(text: str) -> None:
    for value in (text, f"from {text}", f"from x ({text}) by y"):
        hop = read_hop(value.encode("utf-8", "replace"))
        assert hop is None or len(hop.helo) <= 255


def test_a_field_is_read_in_linear_time() -> None:
    for evil in (b"from " + b"(" * 100_000, b"from " + b"[" * 100_000, b"from x (" + b"helo=" * 20_000):
        read_hop(evil)
