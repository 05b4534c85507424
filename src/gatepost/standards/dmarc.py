"""DMARC: whether a mail's author domain stands behind it, from what SPF and DKIM proved (RFC 9989)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from gatepost.model.fault import WorldFault
from gatepost.standards.dmarc_record import DmarcRecord, Policy
from gatepost.standards.dmarc_walk import QUERIES_LIMIT, DnsTexts, TreeWalker

AUTHOR_DOMAINS_LIMIT: Final = 4
WALKS_LIMIT: Final = 6  # identifiers whose organisation is asked for, of one mail
UNCHECKED_LIMIT: Final = 20
QUESTIONS_LIMIT: Final = AUTHOR_DOMAINS_LIMIT * ((1 + WALKS_LIMIT) * QUERIES_LIMIT + 1)
"""Of one mail: for each author domain its walk, those of identifiers, and whether it exists."""


class Unchecked(NamedTuple):
    """A domain that SPF or DKIM might have proved, had the DNS answered. method: "SPF" or "DKIM"."""

    method: str
    domain: str


class Proven(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The domains that SPF and DKIM proved.

    unchecked: those of which that could not be found out. A stranger's own name servers may be silent on purpose:
    only what could stand behind the author leaves a mail undecided.
    """

    spf_domain: str = ""
    dkim_domains: tuple[str, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What DMARC says of one author domain.

    result: "pass", "fail", "none" (no policy), "temperror" or "permerror".
    policy: what the domain asks for when it fails; testing: and that it only tries it out (t=y).
    spf, dkim: whether it is aligned; aligned_with: the identifier that counted, "spf" or "dkim" with its domain.
    """

    from_domain: str
    result: str
    policy_domain: str = ""
    policy: Policy = Policy.NONE
    testing: bool = False
    spf: bool = False
    dkim: bool = False
    aligned_with: str = ""
    record: DmarcRecord | None = None
    reason: str = ""

    @property
    def rank(self) -> tuple[int, Policy]:
        """Of several author domains the one with the highest rank speaks for the mail."""
        order = ("pass", "none", "permerror", "temperror", "fail")
        return order.index(self.result), self.policy


async def evaluate(
    domains: Sequence[str], proven: Proven, dns: DnsTexts, *, timeout_s: float
) -> tuple[Evaluation, ...]:
    """Each author domain's evaluation. Of more than AUTHOR_DOMAINS_LIMIT only strict failures, and one permerror.

    Never raises WorldFault: what the DNS does not say becomes temperror, and a pass needs an answer.
    """
    walker = TreeWalker(dns, timeout_s=timeout_s)
    found = []
    for domain in domains[:AUTHOR_DOMAINS_LIMIT]:
        try:
            found.append(await _evaluate(domain, proven, walker))
        except WorldFault as fault:
            found.append(Evaluation(from_domain=domain, result="temperror", reason=fault.reason))
    if beyond := domains[AUTHOR_DOMAINS_LIMIT:]:
        # RFC 9989 §11.5: the evaluation is not complete. Nothing passes, and only what asks for more is heard.
        reason = f"{len(domains)} author domains, of which {AUTHOR_DOMAINS_LIMIT} are looked at"
        strict = [one for one in found if one.result == "fail" and one.policy is not Policy.NONE]
        return (*strict, Evaluation(from_domain=beyond[0], result="permerror", reason=reason))
    return tuple(found)


def decisive(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The one that speaks for a mail with several authors: it passes only when every one does."""
    return evaluations[0] if len(evaluations) == 1 else max(evaluations, key=lambda one: one.rank)


async def _evaluate(domain: str, proven: Proven, walker: TreeWalker) -> Evaluation:
    walk = await walker.walk(domain)
    governing = await walker.policy_of(walk)
    if governing is None:
        return Evaluation(from_domain=domain, result="none", reason="no DMARC record")
    policy_domain, record, policy = governing
    if record.problem:
        return Evaluation(
            from_domain=domain, result="permerror", policy_domain=policy_domain, reason=record.problem
        )
    aligner = _Aligner(domain, walk.organization, walker)
    spf = bool(proven.spf_domain) and await aligner.aligns(proven.spf_domain, strict=record.strict_spf)
    dkim_domain = await aligner.first_of(proven.dkim_domains, strict=record.strict_dkim)
    passed = spf or bool(dkim_domain)
    unclear = "" if passed else await aligner.left_open(proven.unchecked, record)
    return Evaluation(
        from_domain=domain,
        result="pass" if passed else "temperror" if unclear else "fail",
        policy_domain=policy_domain,
        policy=policy,
        testing=record.testing,
        spf=spf,
        dkim=bool(dkim_domain),
        aligned_with=f"dkim {dkim_domain}" if dkim_domain else f"spf {proven.spf_domain}" if spf else "",
        record=record,
        reason=unclear,
    )


class _Aligner:
    """Compares identifiers with one author domain."""

    def __init__(self, author: str, organization: str, walker: TreeWalker) -> None:
        self._author = author
        self._organization = organization
        self._walker = walker
        self._walks = 0
        self.unanswered = ""

    async def first_of(self, domains: Sequence[str], *, strict: bool) -> str:
        """The first that aligns; "" when none does."""
        if self._author in domains:
            return self._author
        for domain in dict.fromkeys(domains):
            if await self.aligns(domain, strict=strict):
                return domain
        return ""

    async def left_open(self, unchecked: Sequence[Unchecked], record: DmarcRecord) -> str:
        """Why the author may have been proved all the same; "" when not."""
        for method, domain in unchecked[:UNCHECKED_LIMIT]:
            strict = record.strict_spf if method == "SPF" else record.strict_dkim
            if await self.aligns(domain, strict=strict):
                return f"{method} of {domain} could not be checked"
        return self.unanswered

    async def aligns(self, domain: str, *, strict: bool) -> bool:
        if domain == self._author:
            return True
        # An organisation's domain is a suffix of each of its own: what is not below it needs no question.
        if strict or not f".{domain}".endswith(f".{self._organization}"):
            return False
        self._walks += 1
        if self._walks > WALKS_LIMIT:
            return False
        try:
            return (await self._walker.walk(domain)).organization == self._organization
        except WorldFault as fault:
            self.unanswered = fault.reason
            return False
