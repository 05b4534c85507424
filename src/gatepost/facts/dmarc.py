"""Fact: whether the domain in From stands behind the mail (RFC 9989; threats J11, J25, J29-J32, J37)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
from msgspec import structs

from gatepost.config.dmarc_settings import DmarcTable
from gatepost.facts.arc import ArcResult
from gatepost.facts.author import Author, read_author
from gatepost.facts.dkim import DkimResults
from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.signed_content import author_domains
from gatepost.facts.spf import SpfResult, host_name
from gatepost.message.headers import HeaderIndex
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.protocol.addresses import canonical_domain
from gatepost.standards.dkim_signature import considered, fields_of
from gatepost.standards.dmarc import (
    QUESTIONS_LIMIT,
    UNCHECKED_LIMIT,
    Evaluation,
    Proven,
    Unchecked,
    decisive,
    evaluate,
)
from gatepost.standards.dmarc_record import Policy, ReportAddress
from gatepost.standards.dmarc_walk import DnsTexts
from gatepost.standards.results_reading import read_results


class DmarcResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What DMARC says of the mail; of several authors, of the one that decides."""

    name: ClassVar[str] = "dmarc"

    result: str
    """pass, fail, none (no policy), temperror or permerror."""
    from_domain: str = ""
    policy_domain: str = ""
    """Where the record stands that applies."""
    policy: str = "none"
    """What it asks for when the check fails: none, quarantine or reject."""
    alignment: str = ""
    """What proved the author domain: "dkim DOMAIN" or "spf DOMAIN"; "" when nothing did."""
    override: str = ""
    """What excuses a failed check here, in RFC 9990's words (trusted_forwarder ...); "" when nothing does."""
    testing: bool = False
    """The record says t=y: one step less is to be done."""
    reason: str = ""
    unclear_author: bool = False
    """Readers may disagree about who wrote it: it never passes, and a strict policy of each of them is heard."""
    spf_aligned: bool = False
    dkim_aligned: bool = False
    published: tuple[str, ...] = ()
    """The record's p, sp, np, adkim, aspf, fo, t, for reports."""
    rua: tuple[tuple[str, int], ...] = ()
    """Where its domain wants reports, with each address's size limit (0: none)."""
    ruf: tuple[tuple[str, int], ...] = ()
    """Where it wants to hear of single failures, the same way."""

    @property
    def asks_for(self) -> str:
        """The policy after t=y: none, quarantine or reject."""
        policy = Policy[self.policy.upper()]
        return (policy.lowered if self.testing else policy).word


_WORDS: Final = {policy: policy.word for policy in Policy}


@dataclass(frozen=True, slots=True, kw_only=True)
class Excuses:
    """Whose failed checks this gateway excuses."""

    forwarders: IpRanges
    mailing_lists: frozenset[str]
    trust_arc: bool

    @classmethod
    def of(cls, table: DmarcTable) -> Excuses:
        """As the settings say."""
        return cls(
            forwarders=IpRanges(table.trusted_forwarders),
            mailing_lists=frozenset(map(canonical_domain, table.mailing_lists)),
            trust_arc=table.trust_arc,
        )


async def find_dmarc(
    mail: MailView, known: Known, dns: DnsTexts, excuses: Excuses, *, timeout_s: float
) -> DmarcResult:
    """Never raises WorldFault: what the DNS does not say is temperror."""
    author = known.get(Author) or read_author(mail.head)
    proven = proven_domains(mail, known)
    domains = author.all_domains if author.problem else author.domains
    found = decisive(await evaluate(domains, proven, dns, timeout_s=timeout_s)) if domains else None
    if author.problem and (found is None or found.result != "fail" or found.policy is Policy.NONE):
        domain = author.domains[0] if author.domains else ""
        return DmarcResult(result="permerror", from_domain=domain, reason=author.problem, unclear_author=True)
    assert found is not None, "an author without a problem has a domain"
    fails = found.result == "fail"
    override = _override(mail, known, proven, excuses, found.from_domain) if fails else ""
    result = _result(found, override)
    return structs.replace(result, reason=author.problem, unclear_author=True) if author.problem else result


def proven_domains(mail: MailView, known: Known) -> Proven:
    """Only what stands behind the mail: MAIL FROM, and signatures over From and the whole body (J14, J18, J32)."""
    spf, dkim = known.get(SpfResult), known.get(DkimResults)
    counts = spf is not None and (spf.identity == "mailfrom" or mail.sender.is_null)
    signatures = dkim.signatures if dkim is not None else ()
    good = [one for one in signatures if one.result == "pass" and one.covers_whole_body] if signatures else ()
    has_all = spf is not None and spf.result != "temperror" and dkim is not None and not signatures
    return Proven(
        spf_domain=spf.domain if spf is not None and counts and spf.result == "pass" else "",
        dkim_domains=tuple(
            [one.domain.lower() for one in good if "from" in [field.lower() for field in one.signed_fields]]
        ),
        unchecked=()
        if has_all
        else (*_unchecked_spf(mail, spf, counts=counts), *_unchecked_dkim(mail, dkim)),
    )


def _unchecked_spf(mail: MailView, spf: SpfResult | None, *, counts: bool) -> tuple[Unchecked, ...]:
    if spf is None:
        domain = host_name(mail.session.helo) if mail.sender.is_null else mail.sender.domain
        return (Unchecked("SPF", domain),) if domain else ()
    return (Unchecked("SPF", spf.domain),) if counts and spf.result == "temperror" else ()


def _unchecked_dkim(mail: MailView, dkim: DkimResults | None) -> tuple[Unchecked, ...]:
    if dkim is not None:
        if not dkim.signatures:
            return ()
        return tuple([Unchecked("DKIM", one.domain) for one in dkim.signatures if one.result == "temperror"])
    if not HeaderIndex.parse(mail.head).count(b"dkim-signature"):
        return ()
    authors = author_domains(mail.head)
    claimed, _ = considered(fields_of(mail.head), author_domains=authors, limit=UNCHECKED_LIMIT)
    return tuple(Unchecked("DKIM", one.domain) for one in claimed if one.domain)


def _override(mail: MailView, known: Known, proven: Proven, excuses: Excuses, from_domain: str) -> str:
    if excuses.forwarders and mail.session.origin_ip in excuses.forwarders:
        return "trusted_forwarder"
    sender_domain = mail.sender.domain
    if sender_domain in excuses.mailing_lists and sender_domain in (proven.spf_domain, *proven.dkim_domains):
        return "mailing_list"
    arc = known.get(ArcResult) if excuses.trust_arc else None
    if arc is not None and arc.result == "pass" and arc.trusted_by and _saw_it_pass(arc.payload, from_domain):
        return "local_policy"
    return ""


def _saw_it_pass(payload: str, from_domain: str) -> bool:
    """Whether a sealer says that DMARC passed, of this author where it names one, and nothing else beside that."""
    said = read_results(payload).of("dmarc")
    authors = {one.value("header.from").lower().removesuffix(".") for one in said}
    return bool(said) and all(one.result == "pass" for one in said) and authors <= {"", from_domain}


def _result(found: Evaluation, override: str) -> DmarcResult:
    record = found.record
    published: tuple[str, ...] = ()
    rua: tuple[ReportAddress, ...] = ()
    ruf: tuple[ReportAddress, ...] = ()
    if record is not None:
        relaxed = {True: "s", False: "r"}
        published = (record.p.word, record.sp.word, record.np.word, relaxed[record.strict_dkim])
        published = (*published, relaxed[record.strict_spf], record.fo, "y" if record.testing else "n")
        rua, ruf = record.rua, record.ruf
    return DmarcResult(
        result=found.result,
        from_domain=found.from_domain,
        policy_domain=found.policy_domain,
        policy=_WORDS[found.policy],
        alignment=found.aligned_with,
        override=override,
        testing=found.testing,
        reason=found.reason,
        spf_aligned=found.spf,
        dkim_aligned=found.dkim,
        published=published,
        rua=tuple([(address.mailbox, address.limit_bytes) for address in rua]),
        ruf=tuple([(address.mailbox, address.limit_bytes) for address in ruf]),
    )


def gatherer(sources: Sources) -> Gathering:
    """Known at the end of the data, once SPF, DKIM and ARC are."""
    excuses = Excuses.of(sources.dmarc)

    async def find(mail: MailView, known: Known) -> DmarcResult:
        return await find_dmarc(mail, known, sources.resolver, excuses, timeout_s=sources.lookup_timeout_s)

    return Gathering(
        fact=DmarcResult,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_DATA,
        find_from=find,
        stands_on=(Author, SpfResult, DkimResults, ArcResult),
        waits=True,
        own_questions=QUESTIONS_LIMIT,
    )
