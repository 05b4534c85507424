"""DANE with real names: a zone signed by Knot, Unbound that validates it, our own resolver, a real STARTTLS server."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests import certificates
from tests.delivery.fakes import ListLog, NoCounters, mail_to, parcel_of, settings_of, yard
from tests.delivery.test_dane_out import of_leaf
from tests.fakes import FakeClock
from tests.services.validating import ValidatingDns

from gatepost.adapters.dns import DnsResolver
from gatepost.config.dns_settings import Dns
from gatepost.delivery.courier import NoHost
from gatepost.delivery.outcome import Fate
from gatepost.lab.sink import Behaviour, Sink
from gatepost.routing.dane_records import DaneRecords, ResolverProof
from gatepost.routing.link_policies import LinkPolicies

pytestmark = [pytest.mark.slow, pytest.mark.service("unbound", "knotd")]
LEAF = certificates.leaf("mail.good.example", by="stranger")
OTHER = certificates.leaf("mail.good.example", by="another stranger")


@contextmanager
def names(port: int) -> Iterator[ValidatingDns]:
    mail = "mail A 127.0.0.1\n"
    right, wrong = of_leaf(LEAF), of_leaf(OTHER)
    record = f"_{port}._tcp.mail TLSA 3 0 1 "
    served = ValidatingDns(
        {
            "good.example": mail + record + right.data.hex(),
            "wrong.example": mail + record + wrong.data.hex(),
            "plain.example": mail,
            "unsigned.example": mail + record + wrong.data.hex(),
            "spoiled.example": mail + record + right.data.hex(),
        },
        signed=("good.example", "wrong.example", "plain.example"),
        spoiled=("spoiled.example",),
    )
    try:
        served.start()
        yield served
    finally:
        served.stop()


DOMAINS = ("good.example", "wrong.example", "plain.example", "unsigned.example", "spoiled.example")


async def delivered(dns_port: int, port: int, probe: str) -> dict[str, str]:
    """What becomes of a mail to each domain."""
    return {domain: await _delivered(dns_port, port, probe, f"ann@{domain}") for domain in DOMAINS}


async def by_smart_host(dns_port: int, port: int, probe: str) -> dict[str, str]:
    """What becomes of a mail that goes to mail.DOMAIN as a smart host, whoever it is for."""
    return {
        domain: await _delivered(dns_port, port, probe, "ann@b.example", smart_host=f"mail.{domain}")
        for domain in DOMAINS
    }


async def _delivered(dns_port: int, port: int, probe: str, recipient: str, *, smart_host: str = "") -> str:
    resolver = DnsResolver(Dns.model_validate({"servers": (f"127.0.0.1:{dns_port}",)}))
    settings = settings_of(
        {
            "tls": "opportunistic",
            "port": port,
            "allow-loopback": True,
            "smart-hosts": [f"[{smart_host}]"] if smart_host else [],
        },
        **{"outbound-tls": {"dane-probe": probe}},
    )
    clock, log = FakeClock(time.time()), ListLog()
    proof = ResolverProof(resolver, probe, clock=clock, timeout_s=10.0, log=log, counters=NoCounters())
    policies = LinkPolicies(
        settings=settings.outbound_tls,
        clock=clock,
        sts=None,
        dane=DaneRecords(resolver, timeout_s=10.0),
        proof=proof,
    )
    made = yard(settings, resolver=resolver, monotonic=time.monotonic, policies=policies)  # type: ignore[arg-type]
    hop = "out:smart" if smart_host else f"out:smtp:{recipient.partition('@')[2]}"
    parcel = parcel_of(mail_to(recipient, next_hop=hop))
    try:
        done, line = await made.attempts.make(parcel, made.router.by_key(hop), None)
        assert done.outcomes[0].fate is Fate.DELIVERED
        found = "proven" if line and line.connection.peer_is_proven else "delivered"
        if line is not None:
            line.connection.close()
    except NoHost as fault:
        found = fault.reason.partition(" ")[0] if "DANE" not in fault.reason else "DANE"
    resolver.close()
    return found


@pytest.mark.threat("D22", "D25", "M11")
def test_what_a_validating_resolver_proves_counts() -> None:
    async def scene() -> tuple[dict[str, str], ...]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        LEAF.configure_cert(context)
        sink = Sink(Behaviour(tls=context))
        await sink.start()
        try:
            with names(sink.port) as served:
                proven = await delivered(served.port, sink.port, "plain.example")
                smart = await by_smart_host(served.port, sink.port, "plain.example")
                # A resolver that is not shown to validate: nothing it says of DNSSEC counts
                return proven, smart, await delivered(served.port, sink.port, "unsigned.example")
        finally:
            await sink.stop()

    proven, smart, unproven = asyncio.run(scene())
    assert proven == {
        "good.example": "proven",
        "wrong.example": "DANE",
        "plain.example": "delivered",
        "unsigned.example": "delivered",
        "spoiled.example": "451",
    }
    assert unproven["wrong.example"] == "delivered"
    assert smart == proven | {"spoiled.example": "451"}
