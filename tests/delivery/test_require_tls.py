"""REQUIRETLS: only over TLS, to a host that announces it and has shown a certificate for its name (RFC 8689)."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trustme
from tests.delivery.fakes import by_mx, mail_to, parcel_of, to_port, yard
from tests.delivery.scripted import scripted

from gatepost.adapters.dialer import ClientPumps, LoopDialer
from gatepost.adapters.tls import client_pump
from gatepost.delivery.courier import Line
from gatepost.delivery.outcome import Attempt, Fate
from gatepost.lab.sink import EXTENSIONS, Behaviour, Sink

AUTHORITY = trustme.CA()
WITH, WITHOUT = (*EXTENSIONS, "REQUIRETLS"), EXTENSIONS


def certificate(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    return made


@pytest.fixture
def trusting_pump(tmp_path: Path) -> ClientPumps:
    """As adapters.tls.client_pump on a machine that trusts AUTHORITY."""
    trusted = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(trusted)
    return lambda server_name, link: client_pump(server_name, replace(link, ca_file=str(trusted)))


@dataclass(frozen=True)
class Case:
    name: str
    behaviour: Behaviour
    fate: Fate
    reply: str
    tls: str = "opportunistic"
    connections: int = 1


GOOD = Behaviour(tls=certificate(AUTHORITY), extensions=WITH)
CASES = [
    Case("verified on a connection of its own", GOOD, Fate.DELIVERED, "250 ", connections=2),
    Case("the connector verifies anyway", GOOD, Fate.DELIVERED, "250 ", tls="verified"),
    Case("the connector knows no TLS", GOOD, Fate.DELIVERED, "250 ", tls="none", connections=2),
    Case(
        "a certificate nobody vouches for",
        replace(GOOD, tls=certificate(trustme.CA())),
        Fate.DEFERRED,
        "450 4.7.10 ",
        connections=2,
    ),
    Case("TLS without the extension", replace(GOOD, extensions=WITHOUT), Fate.FAILED, "554 5.7.30 "),
    Case("no TLS", Behaviour(extensions=WITH), Fate.FAILED, "554 5.7.30 "),
]


@pytest.mark.threat("D22")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_require_tls(case: Case, trusting_pump: ClientPumps) -> None:
    async def run() -> tuple[Attempt, Attempt, Sink]:
        sink = Sink(case.behaviour)
        await sink.start()
        made = yard(
            to_port(sink.port, tls=case.tls), dialer=LoopDialer(trusting_pump), monotonic=time.monotonic
        )
        hop = made.router.by_key("out:smart")
        line: Line | None = None
        asked, line = await made.attempts.make(
            parcel_of(replace(mail_to("b@b.example", mail_id=1), require_tls=True)), hop, line
        )
        connections = sink.connections
        # An ordinary mail follows on whatever connection there is now
        plain, line = await made.attempts.make(parcel_of(mail_to("c@b.example", mail_id=2)), hop, line)
        assert sink.connections == connections == case.connections
        made.attempts.courier.parked.close_all()
        if line is not None:
            line.connection.close()
        await sink.stop()
        return asked, plain, sink

    asked, plain, sink = asyncio.run(run())
    assert [(o.fate, o.reply[: len(case.reply)]) for o in asked.outcomes] == [(case.fate, case.reply)]
    assert [o.fate for o in plain.outcomes] == [Fate.DELIVERED]
    with_promise = [mail for mail in sink.mails if "REQUIRETLS" in mail.mail_parameters]
    assert [mail.recipients for mail in with_promise] == [("b@b.example",)] * (case.fate is Fate.DELIVERED)
    assert all(mail.tls for mail in with_promise)


@pytest.mark.threat("D22")
def test_connections_kept_open_without_a_certificate_are_not_for_such_mail(
    trusting_pump: ClientPumps,
) -> None:
    async def run() -> None:
        sink = Sink(GOOD)
        await sink.start()
        made = yard(
            to_port(sink.port, tls="opportunistic"),
            dialer=LoopDialer(trusting_pump),
            monotonic=time.monotonic,
        )
        courier, hop = made.attempts.courier, made.router.by_key("out:smart")
        # Given two connections that nobody verified, kept for the next mail
        first, second = await courier.line_to(hop), await courier.line_to(hop)
        courier.park(first)
        courier.park(second)
        # When a mail with REQUIRETLS comes
        mail = replace(mail_to("b@b.example"), require_tls=True)
        attempt, line = await made.attempts.make(parcel_of(mail), hop, None)
        # Then it has one of its own, and both are there for others
        assert [o.fate for o in attempt.outcomes] == [Fate.DELIVERED]
        assert (sink.connections, len(courier.parked)) == (3, 2)
        courier.parked.close_all()
        if line is not None:
            line.connection.close()
        await sink.stop()

    asyncio.run(run())


def test_a_second_connection_that_leads_back_to_us_leaves_the_first_to_others() -> None:
    async def run() -> None:
        ours = "> 220 gate.example\n<?"
        async with scripted("> 220 x\n<\n> 250-x\n> 250 STARTTLS\n<?", ours) as server:
            made = by_mx(server.port, time.monotonic, tls="none")
            mail = replace(mail_to("b@b.example", next_hop=""), require_tls=True)
            hop = made.router.by_key("out:smtp:b.example")
            attempt, line = await made.attempts.make(parcel_of(mail), hop, None)
            assert [o.reply[:9] for o in attempt.outcomes] == ["554 5.4.6"]
            assert (line, len(made.attempts.courier.parked)) == (None, 1)
            made.attempts.courier.parked.close_all()

    asyncio.run(run())
