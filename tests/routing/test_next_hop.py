"""Which connector carries a recipient, and what the key in the queue means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.fakes import mail_to

from gatepost.config.schema import frozen
from gatepost.config.settings import Settings
from gatepost.model.accepted_domains import DomainType
from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.fault import WorldFault
from gatepost.model.queued import MailState
from gatepost.routing.accepted import accepted_domains, canonical_domain
from gatepost.routing.connectors import AddressSpace, parse_address_space
from gatepost.routing.next_hop import UNREACHABLE_KEY, HopKind, NextHop, Router
from gatepost.routing.smart_hosts import SmartHost, parse_smart_host


def settings(connectors: dict[str, Any], accepted: dict[str, str] | None = None) -> Settings:
    domains = accepted if accepted is not None else {"ours.example": "authoritative"}
    return Settings.model_validate(
        {
            "server": {"hostname": "mx.ours.example"},
            "accepted-domains": {name: {"type": kind} for name, kind in domains.items()},
            "send-connectors": connectors,
        }
    )


def spaces(*texts: str, **more: Any) -> dict[str, Any]:
    return {"address-spaces": texts, **more}


def router(connectors: dict[str, Any], accepted: dict[str, str] | None = None) -> Router:
    built = settings(connectors, accepted)
    return Router(built, accepted_domains(built))


def chosen(connectors: dict[str, Any], domain: str) -> str:
    return router(connectors).next_hop_for(Address("bob", domain)).connector


def limited(*texts: str, size: str) -> dict[str, Any]:
    return {"address-spaces": texts, "message-size": size}


SMALL, LARGE = 1000, 20_000_000
BY_SIZE = {
    "all": spaces("*;2"),
    "small": limited("*", size="10MiB"),
    "partner": limited("a.example", size="1MiB"),
}
SIZES = [
    ("a small mail by the most specific", BY_SIZE, SMALL, "partner"),
    ("a larger one by the next that takes it", BY_SIZE, 5_000_000, "small"),
    ("a large one by the cheapest that takes it", BY_SIZE, LARGE, "all"),
    ("exactly the limit", {"x": limited("*", size="1000B"), "y": spaces("*;2")}, 1000, "x"),
    ("one past it", {"x": limited("*", size="1000B"), "y": spaces("*;2")}, 1001, "y"),
    ("too large for all", {"x": limited("*", size="1KiB"), "y": limited("*;2", size="2KiB")}, LARGE, "x"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("connectors", "size_bytes", "name"), [c[1:] for c in SIZES], ids=[c[0] for c in SIZES]
)
def test_a_connector_that_is_too_small_is_passed_over(
    connectors: dict[str, Any], size_bytes: int, name: str
) -> None:
    address = Address("bob", "a.example")
    assert router(connectors).next_hop_for(address, size_bytes=size_bytes).connector == name


@pytest.mark.parametrize(
    ("source", "enabled", "name"),
    [
        ("SMTP:partners", True, "line"),
        ("SMTP:internet", True, "all"),
        ("SMTP:partners", False, "all"),
        ("DSN", True, "all"),
    ],
    ids=["of that door", "of another door", "when it is disabled", "a notice of ours"],
)
def test_mail_of_a_door_may_have_a_way_of_its_own(source: str, enabled: bool, name: str) -> None:
    built = Settings.model_validate(
        frozen(
            {
                "server": {"hostname": "mx.ours.example"},
                "receive-connectors": {
                    "internet": {"listen": ["127.0.0.1:25"]},
                    "partners": {"listen": ["127.0.0.1:26"], "send-connector": "line"},
                },
                "send-connectors": {
                    "all": spaces("*"),
                    "line": {
                        "address-spaces": ["x.example"],
                        "smart-hosts": ["[192.0.2.1]"],
                        "enabled": enabled,
                    },
                },
            }
        )
    )
    routed = Router(built, accepted_domains(built))
    assert routed.next_hop_for(Address("bob", "a.example"), source=source).connector == name


ALL = {"all": spaces("*")}
CHOICES = [
    ("the only one", ALL, "a.example", "all"),
    ("none", {"x": spaces("x.example")}, "a.example", ""),
    ("none at all", {}, "a.example", ""),
    (
        "exact beats wildcard",
        {"all": spaces("*"), "x": spaces("*.example"), "y": spaces("a.example")},
        "a.example",
        "y",
    ),
    ("even at a higher cost", {"all": spaces("*;1"), "y": spaces("a.example;100")}, "a.example", "y"),
    ("longest wildcard", {"x": spaces("*.example"), "y": spaces("*.a.example")}, "b.a.example", "y"),
    ("deep below a wildcard", {"x": spaces("*.example")}, "c.b.a.example", "x"),
    (
        "a wildcard is not the name itself",
        {"x": spaces("*.a.example"), "all": spaces("*")},
        "a.example",
        "all",
    ),
    ("a wildcard ends at a dot", {"x": spaces("*.a.example"), "all": spaces("*")}, "ba.example", "all"),
    ("accepted domains beat all", {"all": spaces("*"), "x": spaces("--")}, "ours.example", "x"),
    ("others are not accepted", {"all": spaces("*"), "x": spaces("--")}, "a.example", "all"),
    ("a wildcard beats accepted", {"x": spaces("--"), "y": spaces("*.example")}, "ours.example", "y"),
    ("lower cost", {"a": spaces("*;2"), "b": spaces("*;1")}, "a.example", "b"),
    ("no cost is 1", {"a": spaces("*;2"), "b": spaces("*")}, "a.example", "b"),
    ("first name of equals", {"b": spaces("*"), "a": spaces("*")}, "a.example", "a"),
    ("disabled is not there", {"a": spaces("*", enabled=False), "b": spaces("*;9")}, "a.example", "b"),
    ("suspended is chosen", {"a": spaces("*", suspended=True), "b": spaces("*;9")}, "a.example", "a"),
    ("a literal goes by all", {"all": spaces("*"), "x": spaces("--")}, "[192.0.2.1]", "all"),
    ("a literal is below no wildcard", {"x": spaces("*.1]")}, "[192.0.2.1]", ""),
    ("case and IDN of the setting", {"x": spaces("BÜCHER.Example.")}, "xn--bcher-kva.example", "x"),
]


@pytest.mark.parametrize(
    ("connectors", "domain", "name"), [c[1:] for c in CHOICES], ids=[c[0] for c in CHOICES]
)
def test_the_most_specific_cheapest_first_connector_wins(
    connectors: dict[str, Any], domain: str, name: str
) -> None:
    assert chosen(connectors, domain) == name


KEYS = [
    ("DNS routing: one a domain", spaces("*"), "internet:smtp:a.example", HopKind.DNS, "a.example"),
    ("LMTP by DNS", spaces("*", delivery="lmtp"), "internet:lmtp:a.example", HopKind.DNS, "a.example"),
    (
        "smart hosts: one for all",
        spaces("*", **{"smart-hosts": ("[192.0.2.1]",)}),
        "internet:smart",
        HopKind.SMART_HOST,
        "",
    ),
    ("maildir", spaces("*", delivery="maildir", maildir="/m"), "internet:maildir", HopKind.MAILDIR, ""),
]


@pytest.mark.parametrize(
    ("connector", "key", "kind", "domain"), [k[1:] for k in KEYS], ids=[k[0] for k in KEYS]
)
def test_keys_are_stable_and_lead_back(
    connector: dict[str, Any], key: str, kind: HopKind, domain: str
) -> None:
    # Given a connector, when a recipient is routed
    hop = router({"internet": connector}).next_hop_for(Address("bob", "a.example"))
    # Then the key is this, and after a restart it means the same
    assert (hop.key, hop.kind, hop.domain, hop.connector) == (key, kind, domain, "internet")
    assert router({"internet": connector}).by_key(key) == hop
    assert hop.first_state is MailState.READY
    assert hop.settings.enabled


GONE = [
    ("the connector has gone", {}, "internet:smtp:a.example"),
    ("it is disabled", {"internet": spaces("*", enabled=False)}, "internet:smtp:a.example"),
    (
        "it has smart hosts now",
        {"internet": spaces("*", **{"smart-hosts": ("[192.0.2.1]",)})},
        "internet:smtp:a.example",
    ),
    ("it has none now", {"internet": spaces("*")}, "internet:smart"),
    ("it speaks LMTP now", {"internet": spaces("*", delivery="lmtp")}, "internet:smtp:a.example"),
    (
        "it is a maildir now",
        {"internet": spaces("*", delivery="maildir", maildir="/m")},
        "internet:smtp:a.example",
    ),
    ("it was unreachable", ALL, UNREACHABLE_KEY),
    ("rubbish", ALL, "all"),
    ("no domain", ALL, "all:smtp:"),
    ("nothing", ALL, ""),
]


@pytest.mark.parametrize(("connectors", "key"), [g[1:] for g in GONE], ids=[g[0] for g in GONE])
def test_a_key_without_a_way_is_unreachable(connectors: dict[str, Any], key: str) -> None:
    hop = router(connectors).by_key(key)
    assert (hop.kind, hop.key) == (HopKind.UNREACHABLE, key)
    assert hop.first_state is MailState.UNREACHABLE
    with pytest.raises(ValueError, match="no send connector"):
        _ = hop.settings


@given(
    name=st.text("a:%3A25-", min_size=1, max_size=8),
    domain=st.sampled_from(["a.example", "[IPv6:2001:db8::1]"]),
)
def test_any_connector_name_and_literal_lead_back(name: str, domain: str) -> None:
    routed = router({name: spaces("*")})
    hop = routed.next_hop_for(Address("bob", domain))
    assert hop.connector == name
    assert routed.by_key(hop.key) == hop


def test_postmaster_without_a_domain_is_ours() -> None:
    hop = router({"all": spaces("*"), "in": spaces("--")}).next_hop_for(Address("postmaster", ""))
    assert (hop.connector, hop.domain) == ("in", "ours.example")


@pytest.mark.threat("L04")
def test_the_null_sender_leads_nowhere() -> None:
    assert router(ALL, accepted={}).next_hop_for(NULL_SENDER).kind is HopKind.UNREACHABLE


def test_a_next_hop_cannot_be_built_half() -> None:
    with pytest.raises(ValueError, match="send connector"):
        NextHop(key="x", kind=HopKind.DNS)


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("example.com", AddressSpace("example.com")),
        ("*.Example.com ; 10", AddressSpace("*.example.com", 10)),
        ("*;100", AddressSpace("*", 100)),
        ("--", AddressSpace("--")),
    ],
)
def test_address_spaces(text: str, space: AddressSpace) -> None:
    assert parse_address_space(text) == space


@pytest.mark.parametrize(
    "text", ["", ";1", "a;0", "a;101", "a;-1", "a;x", "a;", "a;1;2", "*.", "a" * 256, "a;²"]
)
def test_what_is_no_address_space(text: str) -> None:
    with pytest.raises(ValueError, match=r"cost|domain"):
        parse_address_space(text)


@pytest.mark.parametrize(
    ("text", "smart_host"),
    [
        ("[192.0.2.10]", SmartHost("192.0.2.10", is_literal=True)),
        ("[192.0.2.10]:2525", SmartHost("192.0.2.10", 2525, is_literal=True)),
        ("192.0.2.10", SmartHost("192.0.2.10", is_literal=True)),
        ("[2001:db8::1]:25", SmartHost("2001:db8::1", 25, is_literal=True)),
        ("[IPv6:2001:DB8::1]", SmartHost("2001:db8::1", is_literal=True)),
        ("mail.Example.com.", SmartHost("mail.example.com", by_mx=True)),
        ("mail.example.com:2525", SmartHost("mail.example.com", 2525, by_mx=True)),
        ("[mail.example.com]:24", SmartHost("mail.example.com", 24)),
        ("localhost", SmartHost("localhost", by_mx=True)),
        ("unix:/run/dovecot/lmtp", SmartHost("unix:/run/dovecot/lmtp", path="/run/dovecot/lmtp")),
    ],
)
def test_smart_hosts_are_written(text: str, smart_host: SmartHost) -> None:
    assert parse_smart_host(text) == smart_host


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a b",
        "[a",
        "a]",
        "a:0",
        "a:65536",
        "a:x",
        "[a]b",
        "2001:db8::1",
        "-a.example",
        "a..b",
        "a;b",
        "[a]:",
        "unix:run/lmtp",
        "unix:",
        "unix:/" + "x" * 107,
        "unix:/a\0b",
    ],
)
def test_what_is_no_smart_host(text: str) -> None:
    with pytest.raises(ValueError, match=r"smart host|port|host name|domain|Unix socket"):
        parse_smart_host(text)


def test_accepted_domains_are_canonical() -> None:
    domains = accepted_domains(
        settings({}, {"Ours.Example.": "authoritative", "*.BÜCHER.example": "external-relay"})
    )
    assert domains.type_of("ours.example") is DomainType.AUTHORITATIVE
    assert domains.type_of("a.xn--bcher-kva.example") is DomainType.EXTERNAL_RELAY


@pytest.mark.threat("H26")
@pytest.mark.parametrize("text", ["", ".", "ü" * 60_000, "a" * 256, "ä..b", "xn--ü"])
def test_what_is_no_domain(text: str) -> None:
    with pytest.raises(ValueError, match="not a domain"):
        canonical_domain(text)


def test_somebody_may_choose_the_connector_of_a_mail_in_the_queue() -> None:
    mail = mail_to("bob@b.example", next_hop="x:smtp:b.example")
    (bob,) = mail.recipients
    line = spaces("x.example", **{"smart-hosts": ("[192.0.2.1]",)})
    routed = router({"all": spaces("*"), "line": line, "old": spaces("*", enabled=False)})
    assert routed.key_for(mail, bob) == "all:smtp:b.example"
    assert routed.key_for(mail, bob, "line") == "line:smart"
    assert routed.by_key("line:smart").connector == "line"
    for nobody in ("none", "old"):
        with pytest.raises(WorldFault, match="no enabled send connector"):
            routed.key_for(mail, bob, nobody)
