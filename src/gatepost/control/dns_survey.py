"""What a domain publishes about its mail, looked up whole, and what is wrong with it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gatepost.model.fault import Fault, WorldFault
from gatepost.ports.resolver import LookedUp, Lookup, Mx, RecordType, Resolver, Tlsa
from gatepost.standards.mta_sts import StsMode, StsPolicy, parse_policy, policy_id
from gatepost.standards.mta_sts import record_name as sts_name
from gatepost.standards.tlsrpt import record_name as tlsrpt_name
from gatepost.standards.tlsrpt import uris_of

SPF_LOOKUPS_LIMIT: Final = 10
"""RFC 7208 §4.6.4."""
RECORDS_READ_LIMIT: Final = 40
"""SPF records that are read to count, whatever they include."""
HOSTS_LIMIT: Final = 20
UDP_TEXT_BYTES: Final = 450
"""A TXT answer above this may not fit into the smallest UDP answer (RFC 7208 §3.4)."""
_ASKING: Final = ("include", "a", "mx", "ptr", "exists")
_TERM: Final = re.compile(r"([+?~-]?)([a-zA-Z][a-zA-Z0-9_.-]*)([:=/]?)(.*)", re.ASCII)

Fetch = Callable[[str], Awaitable[bytes]]
"""The octets of a domain's MTA-STS policy. Raises WorldFault."""


@dataclass(frozen=True, slots=True)
class Term:
    """One word of an SPF record: qualifier ("+" unless written), name in lower case, ":" or "=" or "/", the rest."""

    qualifier: str
    name: str
    sign: str
    value: str

    @property
    def domain(self) -> str:
        """Of `include:domain`, `a:domain/24`; "" for the record's own."""
        return self.value.partition("/")[0].lower().rstrip(".") if self.sign in (":", "=") else ""

    @property
    def asks(self) -> bool:
        """Whether it counts against the limit of ten."""
        return self.name == "redirect" if self.sign == "=" else self.name in _ASKING


def terms_of(record: str) -> tuple[Term, ...]:
    """The words of a record behind its version; what is no word at all is left out."""
    matches = (_TERM.fullmatch(word) for word in record.split()[1:])
    return tuple(Term(m[1] or "+", m[2].lower(), m[3], m[4]) for m in matches if m)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailHost:
    """A mail server and what its name says."""

    name: str
    preference: int
    addresses: tuple[str, ...]
    tlsa: tuple[str, ...] = ()
    is_alias: bool = False


@dataclass(slots=True, kw_only=True)
class Survey:
    """One domain. Texts as published; problems in words, each with what to do."""

    domain: str
    zone: str = ""
    """The domain that has the SOA record."""
    is_secure: bool = False
    hosts: list[MailHost] = field(default_factory=list)
    null_mx: bool = False
    addresses: tuple[str, ...] = ()
    spf: tuple[str, ...] = ()
    spf_lookups: int = 0
    dkim: dict[str, str] = field(default_factory=dict)
    dmarc: tuple[str, ...] = ()
    sts: tuple[str, ...] = ()
    sts_policy: StsPolicy | None = None
    tlsrpt: tuple[str, ...] = ()
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The reverse names of our addresses."""
    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """What could not be looked up: not the same as not there."""

    def as_lines(self) -> dict[str, list[str]]:
        """What is published, by kind: what the history compares."""
        return {
            "MX": [f"{h.preference} {h.name}" for h in self.hosts] or (["0 ."] if self.null_mx else []),
            "A of mail servers": [f"{h.name} {' '.join(sorted(h.addresses))}" for h in self.hosts],
            "TLSA": [f"{h.name} {record}" for h in self.hosts for record in h.tlsa],
            "A": sorted(self.addresses),
            "SPF": list(self.spf),
            "DKIM": [f"{selector}: {text}" for selector, text in sorted(self.dkim.items())],
            "DMARC": list(self.dmarc),
            "MTA-STS": list(self.sts),
            "MTA-STS policy": [_policy_line(self.sts_policy)] if self.sts_policy else [],
            "TLS-RPT": list(self.tlsrpt),
            "PTR": [f"{ip} {' '.join(found)}" for ip, found in sorted(self.names.items())],
        }


def _policy_line(policy: StsPolicy) -> str:
    return f"{policy.mode.value} {' '.join(policy.mx)} max_age {policy.max_age_s}"


@dataclass(slots=True, kw_only=True)
class Surveyor:
    """Looks. fetch: None leaves the MTA-STS policy unread. ours: addresses we send from.

    selectors: DKIM selectors of every domain.  signed_with: those of single domains.
    """

    resolver: Resolver
    lookup: Lookup
    timeout_s: float
    fetch: Fetch | None = None
    ours: Sequence[str] = ()
    selectors: Sequence[str] = ()
    signed_with: Mapping[str, Sequence[str]] = field(default_factory=dict)

    async def survey(self, domain: str) -> Survey:
        """Everything about one domain. Raises nothing of the world: what is unknown stands in `unknown`."""
        found = Survey(domain=domain)
        await self._zone(found)
        await self._hosts(found)
        await self._policies(found)
        await self._reverse(found)
        _judge(found, self.ours)
        return found

    async def _zone(self, found: Survey) -> None:
        name = found.domain
        while "." in name:
            soa = await self._ask(found, name, RecordType.SOA)
            if soa is None:
                return
            if soa.records:
                found.zone, found.is_secure = name, soa.is_secure
                return
            name = name.partition(".")[2]

    async def _hosts(self, found: Survey) -> None:
        mx = await self._ask(found, found.domain, RecordType.MX)
        exchangers = sorted(
            (r for r in (mx.records if mx else ()) if isinstance(r, Mx)), key=lambda r: (r.preference, r.host)
        )
        found.null_mx = any(not r.host for r in exchangers)
        if found.null_mx and len(exchangers) > 1:
            found.problems.append("a null MX (0 .) stands beside other MX records: remove one or the other")
        found.addresses = await self._addresses(found, found.domain)
        for exchanger in [r for r in exchangers if r.host][:HOSTS_LIMIT]:
            alias = await self._ask(found, exchanger.host, RecordType.CNAME)
            tlsa = await self._ask(found, f"_25._tcp.{exchanger.host}", RecordType.TLSA)
            records = [r for r in (tlsa.records if tlsa else ()) if isinstance(r, Tlsa)]
            found.hosts.append(
                MailHost(
                    name=exchanger.host,
                    preference=exchanger.preference,
                    addresses=await self._addresses(found, exchanger.host),
                    tlsa=tuple(f"{r.usage} {r.selector} {r.matching} {r.data.hex()}" for r in records),
                    is_alias=bool(alias and alias.records),
                )
            )
            if records and tlsa and not tlsa.is_secure:
                found.problems.append(
                    f"TLSA records of {exchanger.host} are not proven by DNSSEC, as our resolver sees it: "
                    "nobody may use them"
                )

    async def _policies(self, found: Survey) -> None:
        domain = found.domain
        found.spf = tuple(t for t in await self._texts(found, domain) if is_spf(t))
        if len(found.spf) == 1:
            found.spf_lookups = await self.spf_lookups(found, domain, found.spf[0])
        found.dmarc = tuple(
            t for t in await self._texts(found, f"_dmarc.{domain}") if t.lower().startswith("v=dmarc1")
        )
        for selector in dict.fromkeys((*self.selectors, *self.signed_with.get(domain, ()))):
            keys = await self._texts(found, f"{selector}._domainkey.{domain}")
            found.dkim[selector] = keys[0] if keys else ""
        found.sts = tuple(t for t in await self._texts(found, sts_name(domain)) if t.startswith("v=STSv1"))
        found.tlsrpt = tuple(
            t for t in await self._texts(found, tlsrpt_name(domain)) if t.startswith("v=TLSRPTv1")
        )
        if found.sts and self.fetch is not None:
            try:
                found.sts_policy = parse_policy(await self.fetch(domain))
            except (Fault, ValueError) as fault:
                found.problems.append(
                    f"there is an MTA-STS record, and its policy cannot be had: {getattr(fault, 'reason', fault)}"
                )

    async def spf_lookups(self, found: Survey, domain: str, record: str) -> int:
        """DNS look-ups that evaluating a record may cost, with all it includes."""
        count, waiting, seen = 0, [(domain, record)], {domain}
        while waiting and len(seen) <= RECORDS_READ_LIMIT:
            _, text = waiting.pop()
            for term in terms_of(text):
                count += term.asks
                if term.name not in ("include", "redirect") or not term.domain or "%" in term.domain:
                    continue
                if term.domain in seen:
                    found.problems.append(
                        f"SPF: {term.domain} is included more than once: each costs look-ups again"
                    )
                    continue
                seen.add(term.domain)
                texts = [t for t in await self._texts(found, term.domain) if is_spf(t)]
                if len(texts) == 1:
                    waiting.append((term.domain, texts[0]))
                elif not any(term.domain in line for line in found.unknown):
                    found.problems.append(
                        f"SPF: {term.name}:{term.domain} has {'no' if not texts else 'more than one'} SPF record: "
                        "the whole record is an error to others (permerror)"
                    )
        return count

    async def _reverse(self, found: Survey) -> None:
        for ip in self.ours:
            try:
                names = await self.resolver.names(ip, timeout_s=self.timeout_s)
            except Fault as fault:
                found.unknown.append(f"PTR of {ip}: {fault.reason}")
                continue
            found.names[ip] = names
            if not names:
                found.problems.append(f"{ip} has no reverse name (PTR): many servers refuse mail from it")
                continue
            forward = {a for name in names for a in await self._addresses(found, name)}
            if ip not in forward:
                found.problems.append(f"{ip} is called {names[0]}, and no name of it leads back to {ip}")

    async def _addresses(self, found: Survey, name: str) -> tuple[str, ...]:
        try:
            return tuple(await self.resolver.addresses(name, timeout_s=self.timeout_s))
        except Fault as fault:
            found.unknown.append(f"A of {name}: {fault.reason}")
            return ()

    async def _texts(self, found: Survey, name: str) -> list[str]:
        try:
            texts = await self.resolver.texts(name, timeout_s=self.timeout_s)
        except Fault as fault:
            found.unknown.append(f"TXT of {name}: {fault.reason}")
            return []
        return [text.decode("ascii", "backslashreplace") for text in texts]

    async def _ask(self, found: Survey, name: str, kind: RecordType) -> LookedUp | None:
        try:
            return await self.lookup.look_up(name, kind, timeout_s=self.timeout_s)
        except WorldFault as fault:
            found.unknown.append(f"{kind.name} of {name}: {fault.reason}")
        except Fault:
            pass  # a name that cannot be asked for has nothing
        return None


def is_spf(text: str) -> bool:
    """By its version."""
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


# -- what is wrong ----------------------------------------------------------------------------------------


def _judge(found: Survey, ours: Sequence[str]) -> None:
    problems = found.problems
    for host in found.hosts:
        if _is_ip(host.name):
            problems.append(f"MX {host.name} is an address: an MX names a host")
        elif not host.addresses and not any(host.name in line for line in found.unknown):
            problems.append(f"MX {host.name} has no address: mail that tries it waits")
        if host.is_alias:
            problems.append(
                f"MX {host.name} is an alias (CNAME): RFC 2181 §10.3 forbids it, some servers refuse it"
            )
    if not found.hosts and not found.null_mx and not found.unknown:
        way = (
            "mail goes to its A record" if found.addresses else "it takes no mail, and a null MX would say so"
        )
        problems.append(f"{found.domain} has no MX record: {way}")
    problems += spf_problems(found.spf, found.spf_lookups, ours)
    problems += _dmarc_problems(found)
    problems += _sts_problems(found)
    if found.tlsrpt and not uris_of([t.encode("ascii", "replace") for t in found.tlsrpt]):
        problems.append(
            "the TLS-RPT record names no place that counts, or there are two of them: no reports come"
        )
    for selector, key in found.dkim.items():
        if not key and not any(f"{selector}._domainkey" in line for line in found.unknown):
            problems.append(f"DKIM: there is no key at {selector}._domainkey: signatures by it fail")


def spf_problems(records: Sequence[str], lookups: int, ours: Sequence[str]) -> list[str]:
    """What is wrong with SPF as it is, or would be."""
    if not records:
        return ["there is no SPF record: anybody may send in the domain's name"]
    if len(records) > 1:
        return [f"there are {len(records)} SPF records: together they are an error (permerror); keep one"]
    problems = []
    terms = terms_of(records[0])
    ends = [n for n, term in enumerate(terms) if term.name == "all"]
    if ends and ends[0] != len(terms) - 1 and any(t.sign != "=" for t in terms[ends[0] + 1 :]):
        problems.append("SPF: what stands behind `all` is never looked at")
    if ends and terms[ends[0]].qualifier == "+":
        problems.append("SPF: +all lets everybody send in the domain's name")
    if not ends and not any(t.name == "redirect" for t in terms):
        problems.append("SPF: there is no `all` at the end: every other sender is neutral")
    if any(t.name == "ptr" for t in terms):
        problems.append("SPF: ptr is slow and not to be used any more (RFC 7208 §5.5)")
    if lookups > SPF_LOOKUPS_LIMIT:
        problems.append(
            f"SPF: {lookups} look-ups, and more than {SPF_LOOKUPS_LIMIT} are an error (permerror)"
        )
    if len(records[0]) > UDP_TEXT_BYTES:
        problems.append(
            f"SPF: {len(records[0])} octets: above {UDP_TEXT_BYTES} an answer may not fit into UDP"
        )
    named = any(t.name in ("a", "mx", "include", "ptr", "exists", "redirect") for t in terms)
    missed = [ip for ip in ours if not named and not any(covers(term, ip) for term in terms)]
    problems += [f"SPF: our address {ip} is not in the record: what we send fails" for ip in missed]
    return problems


def covers(term: Term, ip: str) -> bool:
    """ip4: and ip6: only; other terms need the DNS."""
    if term.name not in ("ip4", "ip6") or term.qualifier != "+":
        return False
    try:
        return ipaddress.ip_address(ip) in ipaddress.ip_network(term.value, strict=False)
    except (ValueError, TypeError):
        return False


def _dmarc_problems(found: Survey) -> list[str]:
    if not found.dmarc:
        return ["there is no DMARC record: nobody is told what to do with forged mail, and no reports come"]
    if len(found.dmarc) > 1:
        return [f"there are {len(found.dmarc)} DMARC records: together they are as good as none; keep one"]
    policy = re.search(r";\s*p\s*=\s*(\w+)", found.dmarc[0], re.IGNORECASE)
    strict = policy is not None and policy[1].lower() in ("quarantine", "reject")
    if strict and not found.spf and not any(found.dkim.values()):
        return ["DMARC asks for more than none, and neither SPF nor a known DKIM key would let mail pass"]
    return [] if policy else ["the DMARC record has no p=: it asks for nothing"]


def _sts_problems(found: Survey) -> list[str]:
    problems = []
    if found.sts and policy_id([t.encode("ascii", "replace") for t in found.sts]) is None:
        problems.append("the MTA-STS record cannot be read, or there are two: it is as good as none")
    policy = found.sts_policy
    if policy is not None and policy.mode is not StsMode.NONE:
        wrong = [host.name for host in found.hosts if not policy.fits(host.name)]
        if wrong:
            problems.append(
                f"MX {', '.join(wrong)} is not in the MTA-STS policy: senders that follow it do not use it"
            )
    return problems


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
