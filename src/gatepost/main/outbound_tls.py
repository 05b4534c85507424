"""Joins what looks up the TLS that domains publish: MTA-STS with its file, DANE with its proof of the resolver."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from gatepost.adapters.https import HttpsAsker
from gatepost.adapters.state_file import StateFile
from gatepost.config.settings import Settings
from gatepost.main.lasting import Lasting
from gatepost.main.places import state_directory, store_directory
from gatepost.main.report_post import report_post
from gatepost.main.tls_reports import ReportWorld, TlsReporter
from gatepost.main.world import NameServers
from gatepost.model.fault import WorldFault
from gatepost.model.https_url import parse_https_url
from gatepost.ports.https import HttpsClient, HttpsRequest
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import Resolver
from gatepost.ports.wire import Dialer
from gatepost.ports.world import Clock, Randomness
from gatepost.routing.addresses import may_be_dialled
from gatepost.routing.dane_records import DaneRecords, ResolverProof
from gatepost.routing.link_policies import LinkPolicies
from gatepost.routing.next_hop import Router
from gatepost.routing.sts_entries import FILE_LIMIT_BYTES, StsEntries
from gatepost.routing.sts_policies import StsOutside, StsPolicies
from gatepost.standards.mta_sts import POLICY_LIMIT_BYTES, policy_host

FIRST_WORKER: Final = 0


class OutboundTlsParts:
    """One worker's, for one configuration. policies: None when nothing that is published counts."""

    def __init__(
        self,
        *,
        policies: LinkPolicies | None = None,
        proof: ResolverProof | None = None,
        file: StateFile | None = None,
        clock: Clock | None = None,
        log: Log | None = None,
        reporter: TlsReporter | None = None,
    ) -> None:
        self.policies = policies
        self.reporter = reporter
        self._proof = proof
        self._file = file
        self._clock = clock
        self._log = log

    def start(self) -> None:
        """Read what was known before the restart, and see whether the resolver validates."""
        sts = self.policies.sts if self.policies is not None else None
        if sts is not None and self._file is not None and self._clock is not None:
            try:
                data = self._file.read()
                if data is not None:
                    sts.entries.restore(data, self._clock.now())
            except (WorldFault, ValueError) as fault:
                self._told("mta-sts-file-failed", str(fault))
        if self._proof is not None:
            self._proof.look()

    async def tick(self) -> None:
        """Once a minute: policies that grow old, the resolver's proof, the file, reports."""
        if self.reporter is not None:
            await self.reporter.tick()
        if self._proof is not None:
            self._proof.look()
        sts = self.policies.sts if self.policies is not None else None
        if sts is not None:
            sts.refresh()
            if sts.entries.has_news and self._file is not None and self._clock is not None:
                await asyncio.to_thread(self._write, sts.entries.stored(self._clock.now()))

    def stop(self) -> None:
        """Break off look-ups, and keep what is known."""
        self.keep()
        sts = self.policies.sts if self.policies is not None else None
        if sts is not None:
            sts.close()

    def keep(self) -> None:
        """Write what is known: another configuration goes on with it."""
        if self.reporter is not None:
            self.reporter.stop()
        sts = self.policies.sts if self.policies is not None else None
        if sts is not None and sts.entries.has_news and self._clock is not None:
            self._write(sts.entries.stored(self._clock.now()))

    def _write(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            self._file.write(data)
        except WorldFault as fault:
            self._told("mta-sts-file-failed", fault.reason)

    def _told(self, event: str, why: str) -> None:
        if self._log is not None:
            self._log.write("error", event, why=why)


def outbound_tls_parts(
    settings: Settings,
    resolver: NameServers,
    number: int,
    *,
    dialer: Dialer,
    clock: Clock,
    log: Log,
    counters: Counters,
    before: OutboundTlsParts | None = None,
    reporter: TlsReporter | None = None,
) -> OutboundTlsParts:
    """before: of the configuration in force, whose memory is kept. number: the worker's."""
    outbound = settings.outbound_tls
    sts: StsPolicies | None = None
    if outbound.mta_sts:
        known = before.policies.sts if before is not None and before.policies is not None else None
        entries = known.entries if known is not None else StsEntries(outbound.mta_sts_entries)
        https = HttpsAsker(
            resolver,
            dialer,
            ca_file=outbound.mta_sts_ca_file,
            is_public=partial(_may_be_asked, settings),
        )
        sts = StsPolicies(
            StsOutside(
                resolver=resolver,
                fetch=partial(fetch_policy, https, timeout_s=outbound.mta_sts_timeout_s),
                clock=clock,
                log=log,
                counters=counters,
            ),
            entries,
            longest_age_s=outbound.mta_sts_longest_age_s,
            timeout_s=settings.dns.timeout_s,
        )
    dane: DaneRecords | None = None
    proof: ResolverProof | None = None
    if outbound.dane != "off":
        dane = DaneRecords(resolver, timeout_s=settings.dns.timeout_s)
        proof = ResolverProof(
            resolver,
            outbound.dane_probe,
            clock=clock,
            timeout_s=settings.dns.timeout_s,
            log=log,
            counters=counters,
        )
    if sts is None and dane is None and not any(d.mx for d in outbound.domains.values()):
        return OutboundTlsParts(reporter=reporter)
    return OutboundTlsParts(
        policies=LinkPolicies(
            settings=outbound, clock=clock, sts=sts, dane=dane, proof=proof, with_trials=reporter is not None
        ),
        proof=proof,
        file=StateFile(store_directory(settings, number) / "mta-sts.json", limit_bytes=FILE_LIMIT_BYTES),
        clock=clock,
        log=log,
        reporter=reporter,
    )


async def fetch_policy(https: HttpsClient, domain: str, *, timeout_s: float, port: int = 443) -> bytes:
    """A domain's policy file (RFC 8461 §3.3). Raises WorldFault. port: another one is for tests only."""
    where = policy_host(domain) + (f":{port}" if port != 443 else "")
    try:
        url = parse_https_url(f"https://{where}/.well-known/mta-sts.txt")
    except ValueError as error:
        raise WorldFault(f"{where}: {error}") from error
    return await https.ask(
        HttpsRequest(
            url=url,
            answer_limit_bytes=POLICY_LIMIT_BYTES,
            timeout_s=timeout_s,
            accept="text/plain",
            accept_only=True,
            public_only=True,
        )
    )


def _may_be_asked(settings: Settings, address: str) -> bool:
    """As for mail servers: whoever chose the name must not choose a machine of ours."""
    anywhere = any(way.enabled and way.allow_loopback for way in settings.send_connectors.values())
    return anywhere or may_be_dialled(address)


def tls_reporter(
    settings: Settings, lasting: Lasting, resolver: Resolver, router: Router, randomness: Randomness
) -> TlsReporter | None:
    """Who counts for reports, and sends them; None when there are none."""
    reports = settings.outbound_tls.reports
    if not reports.sender:
        return None
    https = HttpsAsker(resolver, lasting.world.dialer, ca_file="", is_public=partial(_may_be_asked, settings))
    world = ReportWorld(
        resolver=resolver,
        https=https,
        clock=lasting.clock,
        log=lasting.log,
        counters=lasting.counters,
        post=report_post(settings, lasting, router, randomness, kind="tls"),
        hostname=settings.server.hostname,
        timeout_s=settings.dns.timeout_s,
    )
    directory = state_directory(settings) / "tls-results"
    return TlsReporter(reports, world, directory, lasting.number, sends=lasting.number == FIRST_WORKER)
