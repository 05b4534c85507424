"""What domains publish about TLS, for tests: a zone in memory, a server of MTA-STS policies, the parts that look."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trustme
from tests import certificates
from tests.delivery.fakes import (
    FakeResolver,
    ListLog,
    NoCounters,
    Yard,
    mail_to,
    parcel_of,
    settings_of,
    yard,
)
from tests.fakes import FakeClock

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.https import HttpsAsker
from gatepost.adapters.tls import client_pump
from gatepost.config.settings import Settings
from gatepost.delivery.outcome import Attempt
from gatepost.lab.sink import Behaviour, Sink
from gatepost.main.outbound_tls import fetch_policy
from gatepost.model.fault import WorldFault
from gatepost.ports.resolver import LookedUp, Mx, RecordType, Tlsa
from gatepost.routing.dane_records import DaneRecords, ResolverProof
from gatepost.routing.link_policies import LinkPolicies, PublishedPolicy
from gatepost.routing.sts_entries import StsEntries
from gatepost.routing.sts_policies import StsOutside, StsPolicies

DOMAIN = "b.example"
MX = "mx.b.example"
ENFORCE = b"version: STSv1\r\nmode: enforce\r\nmx: mx.b.example\r\nmax_age: 86400\r\n"
TESTING = ENFORCE.replace(b"enforce", b"testing")


def http(body: bytes, kind: str = "text/plain; charset=utf-8", status: str = "200 OK", *fields: str) -> bytes:
    """A whole answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields]
    return "".join(f"{line}\r\n" for line in head).encode() + b"\r\n" + body


class Zone(FakeResolver):
    """ports.resolver.Resolver and Lookup in memory. `secure`: names whose answers are authentic."""

    def __init__(self) -> None:
        super().__init__()
        self.texts_of: dict[str, tuple[bytes, ...]] = {}
        self.tlsa_of: dict[str, tuple[Tlsa, ...]] = {}
        self.alias_of: dict[str, str] = {}
        self.secure: set[str] = {"org"}
        self.asked: list[str] = []

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        self.asked.append(f"TXT {name}")
        if name in self.unknown:
            raise WorldFault("the name server does not answer")
        return self.texts_of.get(name, ())

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        self.asked.append(f"{kind.name} {name}")
        if name in self.unknown:
            raise WorldFault("the name server does not answer")
        end, secure = name, name in self.secure
        while kind is not RecordType.CNAME and end in self.alias_of:
            end = self.alias_of[end]
            secure = secure and end in self.secure
        found: dict[RecordType, tuple[Any, ...]] = {
            RecordType.A: tuple(a for a in self.addresses_of.get(end, ()) if ":" not in a),
            RecordType.AAAA: tuple(a for a in self.addresses_of.get(end, ()) if ":" in a),
            RecordType.MX: self.exchangers_of.get(end, ()),
            RecordType.TLSA: self.tlsa_of.get(end, ()),
            RecordType.CNAME: (self.alias_of[name],) if name in self.alias_of else (),
        }
        return LookedUp(records=found.get(kind, ()), is_secure=secure)


@dataclass
class PolicyServer:
    """A real HTTPS server that answers every question with `body`, or with what `answers` makes of it."""

    certificate: trustme.LeafCert
    body: bytes = ENFORCE
    answers: Callable[[], bytes] | None = None
    asked: list[str] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None
    _talks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.configure_cert(context)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None, "not started"
        self._server.close()
        for task in self._talks:
            task.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "served by nobody"
        self._talks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(self.answers() if self.answers is not None else http(self.body))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        finally:
            self._talks.discard(task)
            writer.transport.abort()


@dataclass
class Noted:
    """delivery.courier.Results: keeps what was noted."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    """What was published, and the result."""

    def note(
        self,
        *,
        domain: str,
        published: PublishedPolicy,
        result: str,
        host: str,
        ip: str,
        local_ip: str,
        why: str,
    ) -> None:
        assert (domain, host, ip) == (DOMAIN, MX, "127.0.0.1")
        self.lines.append((published.kind, result))


@dataclass
class Scene:
    """b.example with one mail server on loopback, and everything that looks at what it publishes."""

    zone: Zone
    sink: Sink
    server: PolicyServer
    clock: FakeClock
    log: ListLog
    sts: StsPolicies
    noted: Noted
    yard: Yard
    proof: ResolverProof

    async def pass_probe(self) -> None:
        """An hour, and the probe at its end."""
        self.clock.advance(3601)
        self.proof.look()
        for _ in range(10):
            await asyncio.sleep(0)

    async def deliver(self, **mail: Any) -> Attempt:
        """One mail over a connection of its own. Raises NoHost."""
        hop = f"out:smtp:{DOMAIN}"
        parcel = parcel_of(mail_to(f"ann@{DOMAIN}", next_hop=hop, **mail))
        done, line = await self.yard.attempts.make(parcel, self.yard.router.by_key(hop), None)
        if line is not None:
            line.connection.close()
        return done


def sts_of(
    zone: Zone, clock: FakeClock, log: ListLog, fetch: Any, entries: StsEntries | None = None
) -> StsPolicies:
    outside = StsOutside(resolver=zone, fetch=fetch, clock=clock, log=log, counters=NoCounters())
    return StsPolicies(
        outside, StsEntries(100) if entries is None else entries, longest_age_s=31_557_600.0, timeout_s=1.0
    )


def play(
    tmp_path: Path,
    script: Callable[[Scene], Any],
    *,
    mail_certificate: trustme.LeafCert | None = None,
    policy_certificate: trustme.LeafCert | None = None,
    starttls: bool = True,
    connector: dict[str, Any] | None = None,
    outbound: dict[str, Any] | None = None,
) -> Any:
    """Set the scene, run the script, clear the stage."""

    async def run() -> Any:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (mail_certificate or certificates.leaf(MX)).configure_cert(context)
        sink = Sink(Behaviour(tls=context if starttls else None))
        server = PolicyServer(policy_certificate or certificates.leaf(f"mta-sts.{DOMAIN}"))
        await sink.start()
        await server.start()
        try:
            return await script(_scene(tmp_path, sink, server, connector or {}, outbound or {}))
        finally:
            await sink.stop()
            await server.stop()

    return asyncio.run(run())


def _scene(
    tmp_path: Path, sink: Sink, server: PolicyServer, connector: dict[str, Any], outbound: dict[str, Any]
) -> Scene:
    ca_file = certificates.ca_file(tmp_path / "ca.pem")
    settings: Settings = settings_of(
        {
            "tls": "opportunistic",
            "port": sink.port,
            "allow-loopback": True,
            "ca-file": ca_file,
            "command-timeout": "20s",
            **connector,
        },
        **{"outbound-tls": outbound},
    )
    zone, clock, log, noted = Zone(), FakeClock(), ListLog(), Noted()
    zone.exchangers_of[DOMAIN] = (Mx(10, MX),)
    zone.addresses_of |= {MX: ("127.0.0.1",), f"mta-sts.{DOMAIN}": ("127.0.0.1",)}
    https = HttpsAsker(zone, LoopDialer(client_pump), ca_file=ca_file)
    sts = sts_of(zone, clock, log, partial(fetch_policy, https, timeout_s=20.0, port=server.port))
    wanted = settings.outbound_tls
    proof = ResolverProof(zone, wanted.dane_probe, clock=clock, timeout_s=1.0, log=log, counters=NoCounters())
    policies = LinkPolicies(
        settings=wanted,
        clock=clock,
        sts=sts if wanted.mta_sts else None,
        dane=DaneRecords(zone, timeout_s=1.0) if wanted.dane != "off" else None,
        proof=proof,
        with_trials=True,
    )
    made = yard(settings, resolver=zone, monotonic=time.monotonic, policies=policies, results=noted)
    log.lines = made.log.lines
    return Scene(
        zone=zone,
        sink=sink,
        server=server,
        clock=clock,
        log=log,
        sts=sts,
        noted=noted,
        yard=made,
        proof=proof,
    )
