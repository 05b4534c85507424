"""Which door a client gets, and what it may do there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gatepost.config.schema import frozen
from gatepost.config.settings import ReceiveConnector
from gatepost.intake.door import Door, choose_door
from gatepost.model.session import ClientKind, Rights, Session, TlsInfo

TLS = TlsInfo(version="TLSv1.3", cipher="TLS_AES_128_GCM_SHA256", bits=128)


def door(name: str = "internet", **settings: Any) -> Door:
    table = {"listen": ["127.0.0.1:25"], **{key.replace("_", "-"): value for key, value in settings.items()}}
    return Door(name, ReceiveConnector.model_validate(frozen(table)), hostname="mx.test", tls=None)


def session(**changes: Any) -> Session:
    known: dict[str, Any] = {
        "session_id": "0" * 16,
        "connector": "internet",
        "client_ip": "192.0.2.1",
        "client_port": 1,
        "local_ip": "127.0.0.1",
        "local_port": 25,
        "started_at": 0.0,
    }
    return Session(**{**known, **changes})


WIDE = door("wide")
OFFICE = door("office", remote_ranges=["10.0.0.0/8"])
PRINTER = door("printer", remote_ranges=["10.0.0.9"])


@pytest.mark.parametrize(
    ("client_ip", "chosen"),
    [("192.0.2.1", WIDE), ("10.1.1.1", OFFICE), ("10.0.0.9", PRINTER), ("2001:db8::1", WIDE)],
)
def test_the_most_specific_remote_range_wins(client_ip: str, chosen: Door) -> None:
    assert choose_door([WIDE, OFFICE, PRINTER], client_ip) is chosen


def test_a_client_nobody_serves_gets_no_door() -> None:
    assert choose_door([OFFICE, PRINTER], "192.0.2.1") is None


def test_a_fresh_door_gives_no_right_to_relay() -> None:
    assert Rights.RELAY not in WIDE.grant("127.0.0.1").rights


def test_a_named_range_has_its_own_rights() -> None:
    relay = door(ranges={"app": {"addresses": ["10.0.0.5"], "rights": ["submit", "relay"]}})
    assert relay.grant("10.0.0.5").kind is ClientKind.NAMED
    assert relay.grant("10.0.0.5").rights == Rights.SUBMIT | Rights.RELAY
    assert relay.grant("10.0.0.6").kind is ClientKind.ANONYMOUS


def test_of_nested_named_ranges_the_most_specific_counts() -> None:
    nested = door(
        ranges={
            "all": {"addresses": ["10.0.0.0/8"], "rights": ["submit", "relay"]},
            "guests": {"addresses": ["10.9.0.0/16"], "rights": ["submit"]},
        }
    )
    assert nested.grant("10.9.1.1").rights == Rights.SUBMIT


@pytest.mark.threat("E01")
def test_auth_is_offered_under_tls_only() -> None:
    submission = door(auth=True)
    plain, encrypted = session(), session(tls=TLS)
    assert submission.offer(plain, submission.grant("192.0.2.1")).auth == ()
    assert submission.offer(encrypted, submission.grant("192.0.2.1")).auth == (
        "SCRAM-SHA-256",
        "PLAIN",
        "LOGIN",
    )
    bindable = session(tls=replace(TLS, server_end_point=b"x"))
    assert submission.offer(bindable, submission.grant("192.0.2.1")).auth[0] == "SCRAM-SHA-256-PLUS"


@pytest.mark.threat("E02")
def test_auth_is_off_by_default() -> None:
    assert WIDE.offer(session(tls=TLS), WIDE.grant("192.0.2.1")).auth == ()


@pytest.mark.threat("A17")
def test_bare_newlines_are_tolerated_for_named_clients_only() -> None:
    legacy = door(ranges={"scanner": {"addresses": ["10.0.0.7"], "bare-newlines": "normalize"}})
    assert legacy.offer(session(), legacy.grant("10.0.0.7")).normalize_newlines
    assert not legacy.offer(session(), legacy.grant("10.0.0.8")).normalize_newlines
    assert not legacy.offer(session(), legacy.grant("10.0.0.8", user="ann")).normalize_newlines


@pytest.mark.threat("A17")
@pytest.mark.parametrize(
    ("profile", "more", "tolerated"),
    [
        ("internet", {}, False),
        ("internet", {"authenticated-bare-newlines": "normalize"}, True),
        ("submission", {}, True),
        ("submissions", {}, True),
        ("submission", {"authenticated-bare-newlines": "refuse"}, False),
    ],
)
def test_bare_newlines_of_who_has_logged_in(profile: str, more: dict[str, str], tolerated: bool) -> None:
    made = door(profile=profile, **more)
    assert made.offer(session(), made.grant("192.0.2.1", user="ann")).normalize_newlines is tolerated
    # Nobody else's are
    assert not made.offer(session(), made.grant("192.0.2.1")).normalize_newlines
