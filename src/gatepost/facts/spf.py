"""Fact: whether the sender's domain lets the client send for it (RFC 7208, threats J01-J09, J32)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, ClassVar, Final

from gatepost.config.spf_settings import Spf
from gatepost.facts.first_step import Rest, begun
from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.ports.resolver import Lookup
from gatepost.protocol.addresses import canonical_domain
from gatepost.standards.spf import Answer, Limits, Query, check_host
from gatepost.standards.spf_record import Identity

MAIL_FROM: Final = "mailfrom"
HELO: Final = "helo"
UNCHECKED: Final = "the client is in spf.unchecked-networks"
EXPLANATION_LIMIT_CHARS: Final = 500
PROBLEM_LIMIT_CHARS: Final = 300
QUESTIONS_LIMIT: Final = 120
"""Of one mail, for both names, which are checked side by side: the dearest record costs some 110."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfResult:
    """What the check of the return path came to; of the EHLO name for mail without a return path."""

    name: ClassVar[str] = "spf"

    result: str
    """pass, fail, softfail, neutral, none, temperror or permerror."""
    domain: str
    """Whose record was asked for, as A-labels."""
    identity: str
    """mailfrom or helo."""
    ip: str
    term: str = ""
    """The mechanism that matched."""
    record_domain: str = ""
    """In whose record it stands."""
    path: tuple[str, ...] = ()
    """From the checked domain through includes and redirects to that record."""
    explanation: str = ""
    """The domain's own words about a fail: a stranger's text."""
    problem: str = ""
    helo_result: str = ""
    """Of the EHLO name beside a return path; "": it was not checked."""
    helo_domain: str = ""


def is_open(term: str) -> bool:
    """A term that matches every address: all, and networks of length 0."""
    return term.lower().lstrip("+") == "all" or term.endswith("/0")


class SpfChecks:
    """Checks of one receive connector.

    receiver: our name, for explanations.
    """

    def __init__(self, settings: Spf, lookup: Lookup, *, receiver: str, lookup_timeout_s: float) -> None:
        self._check_helo = settings.check_helo
        self.is_unchecked = _remembering(settings.unchecked_networks)
        self._limits = Limits(
            void_terms=settings.void_terms, total_s=settings.timeout_s, lookup_s=lookup_timeout_s
        )
        self._lookup, self._receiver = lookup, receiver

    def find(self, mail: MailView) -> Any:
        """A SpfResult, or the coroutine that asks for it."""
        ip = mail.session.origin_ip
        if self.is_unchecked(ip):
            return _unchecked(mail.sender, ip)
        return self._find(mail)

    async def _find(self, mail: MailView) -> SpfResult:
        sender, helo = mail.sender, host_name(mail.session.helo)
        if sender.is_null:
            return _fact(await self._of_helo(mail, helo), HELO, mail.session.origin_ip)
        of_sender = self._of_sender(mail, sender, helo)
        if not self._check_helo or "." not in helo or helo.startswith("[") or helo == sender.domain:
            return _fact(await of_sender, MAIL_FROM, mail.session.origin_ip)
        by_helo = begun(self._of_helo(mail, helo))  # a task only where the DNS has to be waited for
        if not isinstance(by_helo, Rest):
            return _fact(await of_sender, MAIL_FROM, mail.session.origin_ip, by_helo)
        answer, helo_answer = await asyncio.gather(of_sender, by_helo.in_task())
        return _fact(answer, MAIL_FROM, mail.session.origin_ip, helo_answer)

    async def _of_sender(self, mail: MailView, sender: Address, helo: str) -> Answer:
        return await self.check(mail, sender.domain, sender.local, helo)

    async def _of_helo(self, mail: MailView, helo: str) -> Answer:
        return await self.check(mail, helo, "postmaster", helo)

    async def check(
        self, mail: MailView, domain: str, local: str, helo: str, identity: Identity = Identity.SPF
    ) -> Answer:
        """One evaluation for the mail's client."""
        query = Query(
            ip=mail.session.origin_ip,
            domain=domain,
            local=local,
            sender_domain=domain,
            helo=helo or "unknown",
            receiver=self._receiver,
            now=mail.now,
            identity=identity,
        )
        return await check_host(query, self._lookup, asyncio.get_running_loop().time, self._limits)


@lru_cache(maxsize=256)
def _unchecked(sender: Address, ip: str) -> SpfResult:
    """Remembered: programs of this machine send all day."""
    identity = HELO if sender.is_null else MAIL_FROM
    return SpfResult(result="none", domain=sender.domain, identity=identity, ip=ip, problem=UNCHECKED)


def _fact(answer: Answer, identity: str, ip: str, helo: Answer | None = None) -> SpfResult:
    return SpfResult(
        result=answer.result.value,
        domain=answer.domain,
        identity=identity,
        ip=ip,
        term=answer.term[:PROBLEM_LIMIT_CHARS],
        record_domain=answer.record_domain,
        path=answer.path,
        explanation=answer.explanation[:EXPLANATION_LIMIT_CHARS],
        problem=answer.problem[:PROBLEM_LIMIT_CHARS],
        helo_result=helo.result.value if helo is not None else "",
        helo_domain=helo.domain if helo is not None else "",
    )


def _remembering(networks: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether an address is in the networks; clients come back. What is no address is in all of them."""
    ranges = IpRanges(networks)

    @lru_cache(maxsize=1024)
    def is_in(address: str) -> bool:
        try:
            ip_address(address)
        except ValueError:
            return True
        return address in ranges

    return is_in


@lru_cache(maxsize=1024)
def host_name(helo: str) -> str:
    """The EHLO name in canonical form; "" when it is none. The text is the peer's."""
    try:
        return canonical_domain(helo)
    except PeerFault:
        return ""


def checks_of(sources: Sources) -> SpfChecks | None:
    """None where nobody answers questions to the DNS."""
    if sources.lookup is None:
        return None
    return SpfChecks(
        sources.spf,
        sources.lookup,
        receiver=sources.site.hostname,
        lookup_timeout_s=sources.lookup_timeout_s,
    )


def gatherer(sources: Sources) -> Gathering:
    """Started at MAIL; usually known before the message has arrived."""
    checks = checks_of(sources)

    def find(mail: MailView) -> Any:
        if checks is None:
            raise WorldFault("nobody answers questions to the DNS here")
        return checks.find(mail)

    return Gathering(
        fact=SpfResult,
        scope=Scope.MAIL,
        earliest=Stage.MAIL,
        find=find,
        waits=True,
        of_origin=True,
        own_questions=QUESTIONS_LIMIT,
    )
