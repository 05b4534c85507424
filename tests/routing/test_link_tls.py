"""How safe the link to a next hop must be: the connector's word, or that of the most specific of its domains."""

from __future__ import annotations

from typing import Any

import pytest
from tests.delivery.fakes import address_of, settings_of

from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.link_tls import LinkMode, LinkTls
from gatepost.routing.link_tls import link_tls_of
from gatepost.routing.next_hop import NextHop, Router

PIN = "AB:" * 31 + "AB"
CONNECTOR: dict[str, Any] = {
    "tls": "opportunistic",
    "tls-minimum": "1.3",
    "ca-file": "/ca.pem",
    "tls-domains": {
        "bank.example": {"tls": "verified", "certificate-names": ["*.Bank.example"]},
        "*.bank.example": {"tls": "required"},
        "*.pins.bank.example": {"tls": "fingerprint", "fingerprints": [PIN]},
        "B\u00fccher.Example": {"tls": "required"},
        "old.example": {"tls": "none"},
    },
}


def hop_of(domain: str, connector: dict[str, Any] = CONNECTOR) -> NextHop:
    return Router(settings_of(connector), AcceptedDomains({})).next_hop_for(address_of(f"a@{domain}"))


@pytest.mark.parametrize(
    ("domain", "mode"),
    [
        ("elsewhere.example", LinkMode.OPPORTUNISTIC),
        ("bank.example", LinkMode.VERIFIED),
        ("mail.bank.example", LinkMode.REQUIRED),
        ("a.b.bank.example", LinkMode.REQUIRED),
        ("pins.bank.example", LinkMode.REQUIRED),
        ("a.pins.bank.example", LinkMode.FINGERPRINT),
        ("notbank.example", LinkMode.OPPORTUNISTIC),
        ("xn--bcher-kva.example", LinkMode.REQUIRED),
        ("old.example", LinkMode.NONE),
        ("[192.0.2.1]", LinkMode.OPPORTUNISTIC),
    ],
)
def test_the_most_specific_domain_decides(domain: str, mode: LinkMode) -> None:
    assert link_tls_of(hop_of(domain)).mode is mode


def test_the_rest_is_the_connectors() -> None:
    link = link_tls_of(hop_of("a.pins.bank.example"))
    assert link == LinkTls(
        mode=LinkMode.FINGERPRINT, minimum="1.3", ca_file="/ca.pem", fingerprints=frozenset({"ab" * 32})
    )


def test_names_are_compared_as_domains_are() -> None:
    assert link_tls_of(hop_of("bank.example")).names == ("*.bank.example",)


@pytest.mark.parametrize(
    ("shown", "wanted", "fits"),
    [
        ("mx.bank.example", "mx.bank.example", True),
        ("mx.bank.example", "bank.example", False),
        ("*.bank.example", "mx.bank.example", True),
        ("*.bank.example", "a.mx.bank.example", False),
        ("*.bank.example", "bank.example", False),
        ("mx.bank.example", "*.bank.example", True),
        ("a.mx.bank.example", "*.bank.example", True),
        ("*.bank.example", "*.bank.example", True),
        ("bank.example", "*.bank.example", False),
        ("mx.notbank.example", "*.bank.example", False),
        ("*.example", "bank.example", True),
        ("*.example", "*.bank.example", False),
    ],
)
def test_whose_certificate_it_is(shown: str, wanted: str, fits: bool) -> None:
    assert LinkTls(names=(wanted,)).names_fit(["other.example", shown]) is fits


def test_smart_hosts_have_one_link_for_all() -> None:
    hop = hop_of("elsewhere.example", {"tls": "required", "smart-hosts": ["[192.0.2.1]"]})
    assert link_tls_of(hop).mode is LinkMode.REQUIRED


@pytest.mark.parametrize("mode", LinkMode)
def test_a_proven_link_proves_and_keeps_a_pin(mode: LinkMode) -> None:
    proven = LinkTls(mode=mode).proven
    assert proven.proves_the_peer
    assert (proven.mode is LinkMode.FINGERPRINT) == (mode is LinkMode.FINGERPRINT)
