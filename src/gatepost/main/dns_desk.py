"""The DNS for the administrator and for the monitor of own domains: looking, publishing, remembering."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.dns import DnsResolver, server_address
from gatepost.adapters.dns_update import Change, Signing, TsigKey, ZoneServer, parse_key
from gatepost.adapters.https import HttpsAsker
from gatepost.adapters.state_file import StateFile
from gatepost.adapters.tls import client_pump
from gatepost.config.files import secret_problem
from gatepost.config.settings import Settings
from gatepost.control.dns_history import FILE_LIMIT_BYTES, DnsHistory, restored, stored
from gatepost.control.dns_survey import Survey, Surveyor
from gatepost.control.dns_wizard import KEYS_BELOW, Plan, Record, quoted
from gatepost.main.outbound_tls import fetch_policy
from gatepost.main.places import state_directory
from gatepost.main.world import NameServers
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Counters, Log
from gatepost.ports.wire import Dialer
from gatepost.ports.world import Clock
from gatepost.routing.addresses import may_be_dialled

T = TypeVar("T")
KEY_LIMIT_BYTES: Final = 64 * 1024
DOMAINS_LIMIT: Final = 1000
"""Most domains the monitor looks at."""


def own_domains(settings: Settings) -> tuple[str, ...]:
    """Authoritative accepted domains that are whole names, and those of the setting."""
    accepted = [
        name.lower().rstrip(".")
        for name, domain in settings.accepted_domains.items()
        if domain.type == "authoritative" and not name.startswith("*.")
    ]
    others = [name.lower().rstrip(".") for name in settings.dns_monitor.domains]
    return tuple(dict.fromkeys((*accepted, *others)))[:DOMAINS_LIMIT]


def surveyor_of(
    settings: Settings,
    resolver: NameServers,
    selectors: Sequence[str],
    addresses: Sequence[str],
    *,
    dialer: Dialer,
) -> Surveyor:
    """With what the settings say of our own addresses and keys besides."""
    monitor = settings.dns_monitor
    https = HttpsAsker(resolver, dialer, ca_file="", is_public=may_be_dialled)
    return Surveyor(
        resolver=resolver,
        lookup=resolver,
        timeout_s=settings.dns.timeout_s,
        fetch=partial(fetch_policy, https, timeout_s=settings.outbound_tls.mta_sts_timeout_s),
        ours=tuple(dict.fromkeys((*monitor.addresses, *addresses))),
        selectors=tuple(dict.fromkeys((*monitor.dkim_selectors, *selectors))),
        signed_with={
            name.lower().rstrip("."): tuple(domain.selectors)
            for name, domain in settings.dkim_signing.domains.items()
        },
    )


def history_file(settings: Settings, domain: str) -> StateFile:
    """Where the monitor keeps what it saw. domain: a name of our settings, or one an administrator typed."""
    name = domain.replace("/", "_").replace("\0", "_")
    return StateFile(
        Path(state_directory(settings) / "dns-history" / f"{name}.json"), limit_bytes=FILE_LIMIT_BYTES
    )


class DnsAtHand:
    """Keeps the promise of cli.world.DnsDesk: a resolver for each question, made and closed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def survey(self, domain: str, *, selectors: Sequence[str], addresses: Sequence[str]) -> Survey:
        """Look now."""
        return self._asked(lambda resolver: self._surveyor(resolver, selectors, addresses).survey(domain))

    def spf_lookups(self, domain: str, record: str) -> tuple[int, list[str]]:
        """Of a record that may not be published yet."""

        async def counted(resolver: DnsResolver) -> tuple[int, list[str]]:
            found = Survey(domain=domain)
            count = await self._surveyor(resolver, (), ()).spf_lookups(found, domain, record)
            return count, [*found.problems, *found.unknown]

        return self._asked(counted)

    def publish(self, plan: Plan, *, zone: str, server: str, key_file: str, kerberos: str = "") -> list[str]:
        """By RFC 2136. server: an address, with or without a port. key_file: mode 0600, as tsig-keygen writes it.

        kerberos: instead of a key the server's name, for which we have a ticket or may get one.
        """
        try:
            where = server_address(server)
        except ValueError as error:
            raise WorldFault(f"{server}: {error}") from error
        if kerberos:
            from gatepost.adapters.gss_tsig import gss_signing

            signing = gss_signing(where.host, where.port, kerberos)
        else:
            signing = Signing.by_key(_key_in(key_file))
        return ZoneServer(where.host, where.port, signing).apply(zone, [_change(r) for r in plan.records])

    def history(self, domain: str) -> DnsHistory | None:
        """As the monitor wrote it."""
        return read_history(history_file(self._settings, domain))

    def _surveyor(
        self, resolver: DnsResolver, selectors: Sequence[str], addresses: Sequence[str]
    ) -> Surveyor:
        return surveyor_of(self._settings, resolver, selectors, addresses, dialer=LoopDialer(client_pump))

    def _asked(self, ask: Callable[[DnsResolver], Awaitable[T]]) -> T:
        async def run() -> T:
            resolver = DnsResolver(self._settings.dns)
            try:
                return await ask(resolver)
            finally:
                resolver.close()

        return asyncio.run(run())


def _key_in(path: str) -> TsigKey:
    """Raises WorldFault."""
    if problem := secret_problem(path):
        raise WorldFault(f"{path} {problem}")
    data = StateFile(Path(path), limit_bytes=KEY_LIMIT_BYTES).read()
    if data is None:
        raise WorldFault(f"there is no file {path}")
    try:
        return parse_key(data.decode("utf-8", "replace"))
    except ValueError as error:
        raise WorldFault(f"{path} {error}") from error


def _change(record: Record) -> Change:
    version = record.data.partition(" ")[0].rstrip(";") if record.kind == "TXT" else ""
    return Change(
        name=record.name,
        kind=record.kind,
        data=quoted(record.data) if record.kind == "TXT" else record.data,
        ttl_s=record.ttl_s,
        takes_place_of="*" if record.kind == "MX" or KEYS_BELOW in record.name else version,
    )


def read_history(file: StateFile) -> DnsHistory | None:
    """Raises WorldFault."""
    data = file.read()
    if data is None:
        return None
    try:
        return restored(data)
    except ValueError as error:
        raise WorldFault(f"{file.path} cannot be read: {error}") from error


class DnsMonitorDuty:
    """Looks at one own domain after the other, each once in its interval."""

    def __init__(
        self,
        settings: Settings,
        resolver: NameServers,
        *,
        dialer: Dialer,
        clock: Clock,
        log: Log,
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._surveyor = surveyor_of(settings, resolver, (), (), dialer=dialer)
        self._clock = clock
        self._log = log
        self._counters = counters
        self._domains = own_domains(settings) if settings.dns_monitor.enabled else ()
        self._seen_at: dict[str, float] = {}

    async def tick(self) -> None:
        """Once a minute: at most one domain, the one that waits longest."""
        now = self._clock.now()
        for domain in self._domains:
            if domain not in self._seen_at:
                self._seen_at[domain] = await self._last_look(domain)
        due = [d for d in self._domains if now - self._seen_at[d] >= self._settings.dns_monitor.interval_s]
        if due:
            await self.look(min(due, key=lambda d: self._seen_at[d]))

    async def _last_look(self, domain: str) -> float:
        try:
            held = await asyncio.to_thread(read_history, history_file(self._settings, domain))
        except WorldFault:
            return 0.0
        if held is not None:
            self._counters.set("dns_problems", float(len(held.problems)), domain=domain)
        return held.at if held is not None else 0.0

    async def look(self, domain: str) -> None:
        """Look at one, tell what is another or worse than before."""
        self._seen_at[domain] = self._clock.now()
        file = history_file(self._settings, domain)
        try:
            held = await asyncio.to_thread(read_history, file)
        except WorldFault as fault:
            self._log.write("error", "dns-history-failed", domain=domain, why=fault.reason)
            held = None
        history = held or DnsHistory(domain=domain)
        found = await self._surveyor.survey(domain)
        changes, worse = history.learn(found, self._clock.now())
        for line in found.unknown:
            self._log.write("warning", "dns-unknown", domain=domain, what=line)
        for change in changes:
            self._counters.add("dns_changes", 1, domain=domain)
            self._log.write(
                "warning",
                "dns-changed",
                domain=domain,
                kind=change.kind,
                gone=list(change.gone),
                new=list(change.new),
            )
        for problem in worse:
            self._log.write("warning", "dns-problem", domain=domain, what=problem)
        self._counters.set("dns_problems", float(len(history.problems)), domain=domain)
        try:
            await asyncio.to_thread(file.write, stored(history))
        except WorldFault as fault:
            self._log.write("error", "dns-history-failed", domain=domain, why=fault.reason)
