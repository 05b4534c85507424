"""Fact: what proves that a stranger's mail comes from its return path (threats L06, L18).

It costs nothing: it is read off what SPF and DKIM have found out by the end of the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gatepost.config.notice_settings import Notices
from gatepost.facts.dkim import DkimResults
from gatepost.facts.spf import MAIL_FROM, SpfResult, is_open
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import MailView, Unknown
from gatepost.model.proof import NOT_PROVEN, ProvenBy, ReturnPathProof
from gatepost.model.session import Rights


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """What counts, as the settings say."""

    spf: bool
    dkim: bool
    networks: IpRanges

    @classmethod
    def of(cls, settings: Notices) -> Proofs:
        """Of [notices]."""
        return cls(
            spf="spf" in settings.proofs,
            dkim="dkim" in settings.proofs,
            networks=IpRanges(settings.proven_networks),
        )

    def find(self, mail: MailView, fact: Callable[[type[Any]], Any]) -> ReturnPathProof:
        """fact: of the mail, by its type: itself, Unknown, or None."""
        domain = mail.sender.domain
        if not domain:
            return NOT_PROVEN  # nobody could be told anyway
        if Rights.RELAY in mail.session.rights:
            return ReturnPathProof(by=ProvenBy.CLIENT, detail="it may relay")
        if self.networks and mail.session.origin_ip in self.networks:
            return ReturnPathProof(by=ProvenBy.CLIENT, detail=mail.session.origin_ip)
        why = []
        if self.spf:
            if (without := _why_not_by_spf(fact(SpfResult), domain)) is None:
                return ReturnPathProof(by=ProvenBy.SPF, detail=domain)
            why.append(without)
        if self.dkim:
            dkim = fact(DkimResults)
            if isinstance(dkim, DkimResults) and (signed := _signed_by(dkim, domain)):
                return ReturnPathProof(by=ProvenBy.DKIM, detail=signed)
            why.append(_why_not_by_dkim(dkim, domain))
        return ReturnPathProof(detail=", ".join(why) or "nothing is to prove it (notices.proofs)")


def _why_not_by_spf(fact: SpfResult | Unknown | None, domain: str) -> str | None:
    """None when it is proven. A record that lets everybody send proves nothing."""
    if fact is None:
        return "SPF was not looked at"
    if isinstance(fact, Unknown):
        return "SPF is unknown"
    if fact.identity != MAIL_FROM or fact.domain != domain:
        return "SPF was not asked about it"
    if fact.result != "pass":
        return f"SPF says {fact.result}"
    return f"SPF passes everybody ({fact.term})" if is_open(fact.term) else None


def _signed_by(fact: DkimResults, domain: str) -> str:
    """The domain of a signature that speaks for this one: itself, or one it stands below."""
    for one in fact.signatures:
        if one.result == "pass" and not one.testing and _speaks_for(one.domain, domain):
            return one.domain
    return ""


def _speaks_for(signer: str, domain: str) -> bool:
    return signer == domain or ("." in signer and domain.endswith(f".{signer}"))


def _why_not_by_dkim(fact: DkimResults | Unknown | None, domain: str) -> str:
    if fact is None:
        return "DKIM was not looked at"
    if isinstance(fact, Unknown):
        return "DKIM is unknown"
    return f"no DKIM signature of {domain} passes"
