"""What a domain should publish about its mail, from a few answers: records ready for a zone file or a DNS server."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from gatepost.control.dns_survey import Survey, is_spf, spf_problems
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import canonical_domain
from gatepost.standards.mta_sts import StsMode, StsPolicy

STRING_LIMIT_BYTES: Final = 255
"""Of one string of a TXT record (RFC 1035 §3.3)."""
KEYS_BELOW: Final = "._domainkey."
"""Every TXT record of such a name is a key, whatever it begins with."""
NAME_LIMIT_CHARS: Final = 253
_PLAIN_IN_URIS: Final = "$'*+=._~-"
POLICY_AGE_S: Final = 604_800
_ALL: Final = {"fail": "-all", "softfail": "~all", "neutral": "?all"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the wizard asks. addresses: IP addresses and networks. hosts: names whose addresses send.

    dmarc_to, tls_reports_to: mail addresses for reports, "" for none. tlsa: "3 1 1 hex" by mail server.
    dkim: selector and key record of each key we sign with, have signed with or are going to.
    dmarc, sts: "" leaves what is published as it is.
    """

    sends: bool = True
    receives: bool = True
    mx_sends: bool = True
    a_sends: bool = False
    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    mx_of: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    others: Literal["fail", "softfail", "neutral"] = "fail"
    dmarc: Literal["", "none", "quarantine", "reject"] = ""
    dmarc_to: str = ""
    sts: Literal["", "enforce", "testing", "none"] = ""
    tls_reports_to: str = ""
    tlsa: tuple[tuple[str, str], ...] = ()
    dkim: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record. name: absolute, without a final dot. replaces: what should go, of the same name and type.

    data: TXT whole, not yet cut into strings; others as a zone file writes them.
    """

    name: str
    kind: str
    data: str
    why: str
    replaces: tuple[str, ...] = ()
    ttl_s: int = 3600

    @property
    def is_there(self) -> bool:
        """It is published already, and alone."""
        return self.replaces == (self.data,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the answers come to. spf: the record, to count its look-ups. policy_file: for MTA-STS's web server."""

    records: tuple[Record, ...]
    spf: str
    policy_file: str = ""
    problems: tuple[str, ...] = ()


def plan(found: Survey, answers: Answers, *, today: str) -> Plan:
    """today: "20261127", part of the id of an MTA-STS policy. Raises ValueError for an answer nobody can use."""
    spf = spf_of(answers)
    policy = _policy(found, answers)
    records = [
        Record(
            name=found.domain,
            kind="TXT",
            data=spf,
            why="SPF: who may send in the domain's name",
            replaces=found.spf,
        ),
        *_null_mx(found, answers),
        *_dkim(found, answers),
        *_dmarc(found, answers),
        *_sts(found, policy, today),
        *_tls_reports(found, answers),
        *_tlsa(found, answers),
    ]
    file = ""
    if policy is not None and _policy_changes(found, policy):
        lines = ("version: STSv1", f"mode: {policy.mode.value}", *(f"mx: {mx}" for mx in policy.mx))
        file = "".join(f"{line}\r\n" for line in (*lines, f"max_age: {policy.max_age_s}"))
    return Plan(
        records=tuple(records), spf=spf, policy_file=file, problems=tuple(contradictions(found, answers))
    )


def spf_of(answers: Answers) -> str:
    """The SPF record. Raises ValueError."""
    if not answers.sends:
        return "v=spf1 -all"
    words = ["v=spf1"]
    words += [_network(text) for text in answers.addresses]
    if answers.a_sends:
        words.append("a")
    if answers.mx_sends:
        words.append("mx")
    words += [f"a:{_name(host)}" for host in answers.hosts]
    words += [f"mx:{_name(domain)}" for domain in answers.mx_of]
    words += [f"include:{_name(domain)}" for domain in answers.providers]
    return " ".join((*dict.fromkeys(words), _ALL[answers.others]))


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address or a network such as 192.0.2.0/24") from error
    first, bits = network.network_address, network.prefixlen
    if isinstance(first, ipaddress.IPv6Address):
        if first.scope_id is not None:
            raise ValueError(f"{text!r} has a zone, which means nothing to others")
        if (
            first.ipv4_mapped is not None and bits >= 96
        ):  # a client that comes so is one of IPv4 (RFC 7208 §5)
            first, bits = first.ipv4_mapped, bits - 96
    whole = bits == first.max_prefixlen
    return f"ip{first.version}:{first}" + ("" if whole else f"/{bits}")


def _name(text: str) -> str:
    """As A-labels."""
    try:
        name = canonical_domain(text.strip("."))
    except PeerFault:
        name = ""
    if "." not in name or len(name) > NAME_LIMIT_CHARS or name.startswith("["):
        raise ValueError(f"{text!r} is not a host or domain name")
    return name


def _null_mx(found: Survey, answers: Answers) -> Iterator[Record]:
    if not answers.receives:
        published = tuple(f"{host.preference} {host.name}." for host in found.hosts)
        there = ("0 .",) if found.null_mx else ()
        yield Record(
            name=found.domain,
            kind="MX",
            data="0 .",
            why="null MX (RFC 7505): the domain takes no mail",
            replaces=(*there, *published),
        )


def _dkim(found: Survey, answers: Answers) -> Iterator[Record]:
    for selector, data in answers.dkim:
        held = found.dkim.get(selector, "")
        yield Record(
            name=f"{selector}{KEYS_BELOW}{found.domain}",
            kind="TXT",
            data=data,
            why=f"DKIM: the key of selector {selector}",
            replaces=(held,) if held else (),
        )


def _dmarc(found: Survey, answers: Answers) -> Iterator[Record]:
    policy = answers.dmarc or ("reject" if not answers.sends and not found.dmarc else "")
    if policy:
        to = f"; rua=mailto:{_mailbox(answers.dmarc_to)}" if answers.dmarc_to else ""
        yield Record(
            name=f"_dmarc.{found.domain}",
            kind="TXT",
            data=f"v=DMARC1; p={policy}{to}",
            why="DMARC: what others do with mail that is not from the domain",
            replaces=found.dmarc,
        )


def _policy(found: Survey, answers: Answers) -> StsPolicy | None:
    if not answers.sts:
        return None
    mx = tuple(host.name for host in found.hosts)
    if answers.sts != "none" and not mx:
        raise ValueError("MTA-STS needs MX records: there are none to name in the policy")
    return StsPolicy(mode=StsMode(answers.sts), max_age_s=POLICY_AGE_S, mx=mx)


def _policy_changes(found: Survey, policy: StsPolicy) -> bool:
    held = found.sts_policy
    return held is None or (held.mode, set(held.mx)) != (policy.mode, set(policy.mx))


def _sts(found: Survey, policy: StsPolicy | None, today: str) -> Iterator[Record]:
    if policy is not None:
        text = f"v=STSv1; id={today}"
        if len(found.sts) == 1 and not _policy_changes(found, policy):
            text = found.sts[0]
        elif text in found.sts:  # changed twice in a day
            text += "b"
        yield Record(
            name=f"_mta-sts.{found.domain}",
            kind="TXT",
            data=text,
            why="MTA-STS: a policy is at mta-sts.DOMAIN; the id must change with it",
            replaces=found.sts,
        )


def _tls_reports(found: Survey, answers: Answers) -> Iterator[Record]:
    if answers.tls_reports_to:
        yield Record(
            name=f"_smtp._tls.{found.domain}",
            kind="TXT",
            data=f"v=TLSRPTv1; rua=mailto:{_mailbox(answers.tls_reports_to)}",
            why="TLS-RPT: where others report how TLS with our servers goes",
            replaces=found.tlsrpt,
        )


def _tlsa(found: Survey, answers: Answers) -> Iterator[Record]:
    hosts = {host.name: host for host in found.hosts}
    for name, data in answers.tlsa:
        held = hosts[name].tlsa if name in hosts else ()
        yield Record(
            name=f"_25._tcp.{name}",
            kind="TLSA",
            data=data,
            why=f"DANE: the key of {name}; publish the next key's record before you change it",
            replaces=(data,) if data in held else (),
        )


def _mailbox(text: str) -> str:
    """As a mailto: URI has it, in which commas and exclamation marks would begin something else (RFC 9989 §4.7)."""
    local, at, domain = text.rpartition("@")
    if not at or not local or not text.isprintable() or any(c in ' ;,!<>"\\' for c in text):
        raise ValueError(f"{text!r} is not a mail address that can stand in a record")
    return f"{quote(local, safe=_PLAIN_IN_URIS)}@{_name(domain)}"


def contradictions(found: Survey, answers: Answers) -> Iterator[str]:
    """What the answers and the DNS, or two answers, do not agree about."""
    if not answers.sends:
        if answers.hosts or answers.addresses or answers.providers or answers.mx_of or answers.a_sends:
            yield "the domain sends no mail, and senders were named: they are left out"
        return
    named = answers.mx_sends or answers.a_sends or answers.hosts or answers.addresses
    if not named and not answers.providers and not answers.mx_of:
        yield "the domain sends mail, and nobody was named who does: everything would fail SPF"
    if answers.mx_sends and not found.hosts:
        yield "the mail servers (mx) should send, and the domain has no MX record"
    if answers.a_sends and not found.addresses:
        yield "the domain's own address (a) should send, and it has none"
    if answers.tlsa and not found.is_secure:
        yield "TLSA records are only used in a zone signed by DNSSEC, and our resolver does not see one"
    if answers.dmarc in ("quarantine", "reject") and not answers.dmarc_to:
        yield "DMARC: without an address for reports nobody tells you which mail of yours is refused"
    if (
        answers.dmarc in ("quarantine", "reject")
        and answers.others == "neutral"
        and not any(found.dkim.values())
    ):
        yield "DMARC refuses what fails, and without DKIM only SPF lets forwarded mail pass"
    if not answers.receives and found.hosts:
        yield "the domain should take no mail, and has MX records: they are replaced by a null MX"
    if answers.sts in ("enforce", "testing") and not answers.receives:
        yield "MTA-STS is about mail to the domain, and it takes none"


def spf_after(spf: str, lookups: int, ours: Sequence[str]) -> list[str]:
    """What would be wrong with the new record."""
    assert is_spf(spf), "the wizard makes SPF records"
    return spf_problems((spf,), lookups, ours)


# -- in writing -------------------------------------------------------------------------------------------


def strings_of(text: str) -> tuple[str, ...]:
    """A TXT record's text in strings of at most 255 octets, cut behind a blank where there is one."""
    strings = []
    rest = text
    while len(rest) > STRING_LIMIT_BYTES:
        cut = rest.rfind(" ", 0, STRING_LIMIT_BYTES) + 1 or STRING_LIMIT_BYTES
        strings.append(rest[:cut])
        rest = rest[cut:]
    return (*strings, rest)


def quoted(text: str) -> str:
    """As a zone file has strings."""
    return " ".join('"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"' for s in strings_of(text))


def zone_line(record: Record) -> str:
    """One line of a zone file."""
    data = quoted(record.data) if record.kind == "TXT" else record.data
    return f"{record.name}. {record.ttl_s} IN {record.kind} {data}"


def dnscmd_lines(record: Record, zone: str) -> list[str]:
    """For the DNS server of Windows: old records go, the new one comes."""
    if record.kind == "TLSA":
        return [f"rem {record.name}: dnscmd knows no TLSA records; use a DNS server that does"]
    node = "@" if record.name == zone else record.name.removesuffix(f".{zone}")

    def written(data: str) -> str:
        return quoted(data) if record.kind == "TXT" else data

    gone = [
        f"dnscmd . /RecordDelete {zone} {node} {record.kind} {written(old)} /f"
        for old in record.replaces
        if old != record.data
    ]
    if record.data in record.replaces:
        return gone
    return [*gone, f"dnscmd . /RecordAdd {zone} {node} {record.ttl_s} {record.kind} {written(record.data)}"]
