"""What it costs to know who sent a mail: SPF, DKIM (RSA-2048) and DMARC of a mail of 16 KiB, its DNS in memory.

python -m bench.authentication

Ours is what the gateway does: the facts, from the mail as received to results. Beside it, where they are installed, the
libraries others use: pyspf, dkimpy and dmarc, each with the same answers at hand. Every mail is another one.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import CoroutineType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from bench.dkim_cost import BODY_BYTES, LINE, sign
from gatepost.config.dmarc_settings import DmarcTable
from gatepost.facts import author, dkim, dmarc, spf
from gatepost.facts.gathering import Sources
from gatepost.lab.zone import ZoneDns
from gatepost.message.headers import split
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import Address
from gatepost.model.content import BodyForm, Content
from gatepost.model.envelope import Envelope, Recipient
from gatepost.model.known import Known, MailView
from gatepost.model.session import Session
from gatepost.model.site import Site
from gatepost.model.verdict import Stage
from gatepost.ports.directory import Entry
from gatepost.ports.resolver import LookedUp, RecordType
from gatepost.standards.dkim_sign import SigningKey

SENDERS: Final = 20
MAILS: Final = 100
ROUNDS: Final = 20
GOAL_MS: Final = 0.6
CLIENT: Final = "192.0.2.7"


@dataclass(frozen=True, slots=True)
class Sample:
    """One mail, as it was received, and who brought it."""

    view: MailView
    domain: str
    octets: bytes


class Cached:
    """Answers as the resolver's cache does: at once, from a dictionary."""

    def __init__(self, zone: ZoneDns) -> None:
        self._zone = zone
        self._known: dict[tuple[str, RecordType], LookedUp] = {}

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        """ports.resolver.Lookup."""
        found = self._known.get((name, kind))
        if found is None:
            found = self._known[name, kind] = await self._zone.look_up(name, kind, timeout_s=timeout_s)
        return found

    async def texts(self, name: str, *, timeout_s: float) -> tuple[Any, ...]:
        """ports.resolver.Resolver, as far as it is asked."""
        return (await self.look_up(name, RecordType.TXT, timeout_s=timeout_s)).records


class _Nobody:
    def look_up(self, _recipient: Address) -> Entry:
        return Entry(True)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Senders, their DNS and their mails."""

    mails: Sequence[Sample]
    cached: Cached
    texts: dict[str, bytes]
    """TXT by name, for the others."""
    sources: Sources


def world() -> World:
    """Twenty senders with usual records, each with a key of its own; a hundred mails."""
    keys = [generate_private_key(65537, 2048) for _ in range(4)]
    texts: dict[str, bytes] = {"spf.mass.test": b"v=spf1 ip4:198.51.100.0/24 ip4:192.0.2.0/24 ~all"}
    signing = [_published(number, keys[number % len(keys)], texts) for number in range(SENDERS)]
    zone = ZoneDns("\n".join(f"{name} TXT {_quoted(text)}" for name, text in texts.items()))
    mails = [_mail(number, signing[number % SENDERS]) for number in range(MAILS)]
    cached = Cached(zone)
    site = Site(
        connector="internet",
        hostname="mx.gate.test",
        own_names=frozenset({"mx.gate.test"}),
        accepted_domains=AcceptedDomains({"gate.test": DomainType.AUTHORITATIVE}),
    )
    resolver: Any = cached
    sources = Sources(site=site, resolver=resolver, directory=_Nobody(), lookup=resolver, dmarc=DmarcTable())
    return World(mails=mails, cached=cached, texts=texts, sources=sources)


def _published(number: int, private: RSAPrivateKey, texts: dict[str, bytes]) -> SigningKey:
    domain = f"sender{number}.test"
    key = SigningKey(domain, "s1", private)
    texts[domain] = b"v=spf1 ip4:203.0.113.0/24 include:spf.mass.test ~all"
    texts[f"out.{domain}"] = b"v=spf1 ip4:192.0.2.7 -all"
    texts[f"_dmarc.{domain}"] = f"v=DMARC1; p=reject; rua=mailto:dmarc@{domain}".encode()
    texts[key.name] = key.record.encode()
    return key


def _quoted(text: bytes) -> str:
    said = text.decode()
    return " ".join(f'"{said[at : at + 250]}"' for at in range(0, len(said), 250))


def _mail(number: int, key: SigningKey) -> Sample:
    received = (
        "Received: from a.test ([198.51.100.9]) by b.test with ESMTP;\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\n"
    )
    head = (
        received * 4 + f"From: Ann <ann@{key.domain}>\r\nTo: bob@gate.test\r\nSubject: hello {number}\r\n"
        "Date: Mon, 1 Jan 2024 00:00:00 +0000\r\n"
        f"Message-ID: <{number}@{key.domain}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
    )
    body = f"mail number {number}\r\n".encode() + LINE * (BODY_BYTES // len(LINE))
    octets = sign(head.encode() + body, key)
    at, rest = split(octets)
    content = Content(head=at, body=rest, form=BodyForm(size_bytes=len(rest)))
    session = Session(
        session_id="00112233aabbccdd",
        connector="internet",
        client_ip=CLIENT,
        client_port=4025,
        local_ip="203.0.113.25",
        local_port=25,
        started_at=1_700_000_000.0,
        helo=f"out.{key.domain}",
    )
    envelope = Envelope(
        sender=Address("bounces", key.domain), recipients=(Recipient(address=Address("bob", "gate.test")),)
    )
    view = MailView(
        stage=Stage.END_OF_DATA,
        session=session,
        now=1_700_000_100.0,
        envelope=envelope,
        head=at,
        form=content.form,
        size_bytes=content.size_bytes,
        content=content,
    )
    return Sample(view, key.domain, octets)


async def ours(sample: Sample, finders: Sequence[Any]) -> dmarc.DmarcResult:
    """Every fact from the mail as it was received."""
    known: dict[type[Any], Any] = {}
    for gathering in finders:
        found = gathering.begin(sample.view, Known(known))
        known[gathering.fact] = await found if type(found) is CoroutineType else found
    result: dmarc.DmarcResult = known[dmarc.DmarcResult]
    return result


def finders(sources: Sources) -> tuple[Any, ...]:
    """SPF of return path and EHLO name, DKIM, author, DMARC."""
    return tuple(kind.gatherer(sources) for kind in (spf, dkim, author, dmarc))


def peers(found: World) -> Callable[[Sample], bool] | None:
    """dkimpy, pyspf and dmarc on the same mail; None when one is not installed. Whether it passes."""
    try:
        their_dkim: Any = import_module("dkim")
        their_spf: Any = import_module("spf")
        their_dmarc: Any = import_module("dmarc")
    except ImportError as missing:
        print(
            f"{missing.name} is not installed: the others are not measured (pip install dkimpy pyspf dmarc)"
        )
        return None

    def key_of(name: bytes, timeout: int = 5) -> bytes | None:  # noqa: ARG001  # as dkimpy calls it
        return found.texts.get(name.decode().rstrip("."))

    def look_up(name: str, kind: str, *_: object, **__: object) -> list[Any]:
        text = found.texts.get(name.lower().rstrip(".")) if kind == "TXT" else None
        return [((name, kind), (text,))] if text is not None else []

    their_spf.DNSLookup = look_up

    def judge(sample: Sample) -> bool:
        sender, helo = f"bounces@{sample.domain}", sample.view.session.helo
        path = their_spf.check2(i=CLIENT, s=sender, h=helo)[0]
        their_spf.check2(i=CLIENT, s="", h=helo)
        signed = their_dkim.verify(sample.octets, dnsfunc=key_of)
        checker = their_dmarc.DMARC()
        policy = checker.parse_record(found.texts[f"_dmarc.{sample.domain}"].decode(), sample.domain)
        result = checker.get_result(
            policy,
            their_dmarc.SPF(sample.domain, getattr(their_dmarc.SPFResult, path.upper())),
            their_dmarc.DKIM(sample.domain, getattr(their_dmarc.DKIMResult, "PASS" if signed else "FAIL")),
        )
        return bool(result.result is their_dmarc.DMARCResult.PASS)

    return judge


def _per_mail_ms(work: Callable[[], object], mails: int) -> float:
    gc.collect()
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / mails * 1000


def measured(rounds: int = ROUNDS) -> tuple[float, float | None]:
    """Milliseconds of CPU a mail: ours, and the others' together.

    In turn, and of each the best round: the machine is shared.
    """
    found = world()
    ways = finders(found.sources)

    async def all_ours() -> None:
        for sample in found.mails:
            await ours(sample, ways)

    first = asyncio.run(ours(found.mails[0], ways))
    assert (first.result, first.spf_aligned, first.dkim_aligned) == ("pass", True, True), first
    judge = peers(found)
    few = found.mails[: MAILS // 5]
    assert judge is None or all(map(judge, few))
    mine, theirs = [], []
    with asyncio.Runner() as runner:
        runner.run(all_ours())
        for _ in range(rounds):
            mine.append(_per_mail_ms(lambda: runner.run(all_ours()), MAILS))
            if judge is not None:
                theirs.append(_per_mail_ms(lambda: list(map(judge, few)), len(few)))
    return min(mine), min(theirs) if theirs else None


def line(mine: float, theirs: float | None) -> str:
    """One line for the report."""
    beside = "" if theirs is None else f", dkimpy + pyspf + dmarc {theirs:.2f} ms ({theirs / mine:.1f} x)"
    return (
        f"who sent it: a mail of 16 KiB, SPF + DKIM RSA-2048 + DMARC, DNS in memory: "
        f"{mine:.3f} ms of CPU (at most {GOAL_MS} wanted){beside}"
    )


if __name__ == "__main__":
    print(line(*measured()))
