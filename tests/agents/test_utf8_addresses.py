"""One address beyond ASCII in all its forms: lists, settings and searches treat them the same (threats K07)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import session, site, view

from gatepost.adapters.store_filters import matches, sender_text
from gatepost.agents.sender_filter import SenderFilter
from gatepost.facts.author import read_author
from gatepost.model.verdict import Stage
from gatepost.protocol.address_patterns import AddressPatterns
from gatepost.protocol.addresses import a_labels_of, address_key, parse_mailbox, searched_address
from gatepost.protocol.domain_entries import domain_entries

KEPT = "jörg@xn--bcher-kva.example"
FORMS = (
    "jörg@bücher.example",
    "jörg@BÜCHER.Example",
    "jörg@bu\u0308cher.example",
    "jörg@xn--bcher-kva.example",
    "jörg@XN--BCHER-KVA.EXAMPLE.",
    "jörg@bücher\u3002example",
    "jörg@bücher\uff0eexample",
    '"jörg"@bücher.example',
)
DOMAIN_FORMS = tuple(form.rpartition("@")[2] for form in FORMS)
OTHERS = ("jorg@bücher.example", "jörg@bucher.example", "jo\u0308rg@bücher.example", "JÖRG@bücher.example")


@pytest.mark.threat("K07")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_one_address(form: str) -> None:
    assert str(parse_mailbox(form)) == KEPT
    # Given a list with one form, then every other form is in it
    for other in FORMS:
        assert AddressPatterns([form]).match(parse_mailbox(other)) == form
        assert address_key(form) == address_key(other)
    assert not any(AddressPatterns([form]).match(parse_mailbox(other)) for other in OTHERS)


@pytest.mark.threat("K07")
@pytest.mark.parametrize("domain", DOMAIN_FORMS)
def test_every_form_is_one_domain(domain: str) -> None:
    address, below = parse_mailbox(KEPT), parse_mailbox("jörg@mail.xn--bcher-kva.example")
    for entry in (f"@{domain}", f"@.{domain}", f"*@{domain}", f"j*@{domain}"):
        assert AddressPatterns([entry]).match(address) == entry
    for entry in (f"@.{domain}", f"@*.{domain}", f"j*g@*.{domain}", f"*@ma*.{domain}"):
        assert AddressPatterns([entry]).match(below) == entry
    table = domain_entries([domain, f"*.{domain}"])
    assert table is not None
    assert table.entry_for(address.domain)
    assert table.entry_for(below.domain)


@pytest.mark.threat("K07")
@pytest.mark.parametrize("form", FORMS)
def test_a_rule_with_one_form_meets_every_form_on_the_wire_and_in_the_header(form: str) -> None:
    agent = SenderFilter(settings(SenderFilter, {"blocked-senders": [form]}), site())
    for other in FORMS:
        head = f"From: <{other}>\r\n\r\n".encode()
        given: dict[str, Any] = {"who": session(), "head": head}
        of_path = view(Stage.MAIL, sender=str(parse_mailbox(other)), **given)
        assert said(ask(agent, of_path)) == "554 5.1.0"
        of_author = view(Stage.END_OF_HEADERS, sender="x@a.test", **given)
        assert said(ask(agent, of_author, read_author(head))) == "554 5.1.0"


@pytest.mark.threat("K07")
@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [
        *((form, True) for form in FORMS[:-1]),
        *((f"*@{domain}", True) for domain in DOMAIN_FORMS),
        ("*@*.example", True),
        ("j*@bü*.example", False),  # nobody can tell which A-labels that means
        ("*@buecher.example", False),
        ("<>", False),
    ],
)
def test_a_search_finds_every_form(pattern: str, is_found: bool) -> None:
    assert matches(KEPT, sender_text(pattern)) is is_found


def test_what_is_no_domain_is_sought_as_it_is() -> None:
    for text in ("", "@", "*", "ü", "jörg", "a@" + "ü" * 300, "a@xn--\u0627", "a@\u200d.example", "a@ü..b"):
        assert isinstance(searched_address(text), str)
    assert searched_address("jörg") == "xn--jrg-sna"


LABELS = [
    ("ASCII stays", "*.Example", "*.Example"),
    ("letters beyond it", "bücher.example", "xn--bcher-kva.example"),
    ("their case", "BÜCHER.Example", "xn--bcher-kva.Example"),
    ("a star stays, and its label", "bü*.bücher.example", "bü*.xn--bcher-kva.example"),
    ("no label", "ü_‍.example", "ü_‍.example"),
    ("a symbol that stands in no name", "☃,.bücher", "☃,.xn--bcher-kva"),
    ("a label of 63 letters", "ü" * 63, "ü" * 63),
    ("one of more than 63", "x" * 63 + "ü", "x" * 63 + "ü"),
    (
        "what is beyond a domain's length",
        "ü." * 127 + "ü" + ".bücher",
        "xn--tda." * 127 + "xn--tda" + ".bücher",
    ),
]


@pytest.mark.parametrize(("name", "text", "then"), LABELS, ids=[row[0] for row in LABELS])
def test_labels_beyond_ascii(name: str, text: str, then: str) -> None:
    assert a_labels_of(text) == then


SEARCHES = [
    ("the last at counts", '"a@b"@bücher.example', '"a@b"@xn--bcher-kva.example'),
    ("a dot at the end of the domain", "jörg@bücher.example.", "jörg@xn--bcher-kva.example"),
    ("one dot", "a@example..", "a@example."),
    ("of a domain only", "example.", "example."),
]


@pytest.mark.parametrize(("name", "text", "then"), SEARCHES, ids=[row[0] for row in SEARCHES])
def test_what_is_searched(name: str, text: str, then: str) -> None:
    assert searched_address(text) == then


def test_a_label_of_which_only_a_part_is_known_is_refused_in_a_list() -> None:
    with pytest.raises(ValueError, match="none of"):
        AddressPatterns(["info@bü*.example"])
