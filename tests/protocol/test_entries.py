"""Lists of recipients and domains in settings: what an entry may look like, and what it finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.mutate import FOLDER, TESTS

from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import address_key, canonical_domain
from gatepost.protocol.domain_entries import (
    check_domain_entries,
    domain_entries,
    domain_entry,
    host_domains,
)
from gatepost.protocol.recipient_entry import RecipientEntries

KEYS = {
    "one recipient, whatever its case": ("Ann@Example.COM", "ann@example.com"),
    "a whole domain": ("@Example.com", "@example.com"),
    "a domain of another script": ("@bücher.example", "@xn--bcher-kva.example"),
}


@pytest.mark.parametrize("case", KEYS)
def test_an_entry_is_looked_up_by_its_key(case: str) -> None:
    entry, key = KEYS[case]
    assert address_key(entry) == key


@pytest.mark.parametrize("entry", ["", "@", "ann", "ann@", "@exa mple.com", "example.com", "x" * 400])
def test_what_is_no_recipient_is_refused_with_its_name(entry: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{entry[:320]!r} is no address: ")):
        address_key(entry)
    with pytest.raises(ValueError, match="is no address"):
        RecipientEntries((entry,))


def test_a_list_of_recipients_finds_addresses_and_whole_domains() -> None:
    entries = RecipientEntries(("Ann@example.com", "@all.example"))
    assert Address("ann", "example.com") in entries
    assert Address("anybody", "all.example") in entries
    assert Address("bob", "example.com") not in entries
    assert Address("ann", "sub.all.example") not in entries
    assert Address("ann", "example.com") not in RecipientEntries(())


DOMAINS = {
    "one domain": ("Example.COM", "example.com"),
    "those below one": ("*.Example.com", "*.example.com"),
    "another script": ("*.bücher.example", "*.xn--bcher-kva.example"),
}


@pytest.mark.parametrize("case", DOMAINS)
def test_a_domain_has_one_form(case: str) -> None:
    entry, form = DOMAINS[case]
    assert domain_entry(entry) == form


@pytest.mark.parametrize("entry", ["", "*.", "exa mple.com", "*", "*.*.example.com", "y" * 300])
def test_what_is_no_domain_is_refused_with_its_name(entry: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{entry[:255]!r} is no domain: ")):
        domain_entry(entry)
    with pytest.raises(ValueError, match="is no domain"):
        check_domain_entries(("example.com", entry))


def test_a_list_of_domains_finds_what_it_names_and_what_is_below() -> None:
    table = domain_entries(("example.com", "*.below.example"))
    assert table is not None
    found = [
        table.entry_for(name) for name in ("example.com", "a.example.com", "a.below.example", "below.example")
    ]
    assert found == [True, False, True, False]
    assert domain_entries(()) is None
    assert check_domain_entries(("example.com",)) == ("example.com",)


def test_domains_of_hosts_stand_for_what_is_below_them() -> None:
    assert host_domains(()) == ()
    assert host_domains(("X.example",)) == ("x.example",)
    assert host_domains(("Example.com", ".Below.example.", "bücher.example")) == (
        "example.com",
        "below.example",
        "xn--bcher-kva.example",
    )


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("*.example.com", "; the domain alone stands for every host below it"),
        ("exa mple.com", ""),
        ("x" * 300, ""),
    ],
)
def test_what_is_no_domain_of_hosts_is_refused_with_a_hint(entry: str, hint: str) -> None:
    with pytest.raises(PeerFault) as fault:
        canonical_domain(entry)
    said = f"{entry[:255]!r} is no domain: {fault.value.reason}{hint}"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        host_domains(("good.example", entry))


def test_every_module_of_protocol_has_tests_that_must_notice_mutants() -> None:
    assert {file.stem for file in FOLDER.glob("*.py")} - {"__init__"} == set(TESTS)
    named = {name for names in TESTS.values() for name in names}
    assert {file.stem for file in Path(__file__).parent.glob("test_*.py")} <= named
