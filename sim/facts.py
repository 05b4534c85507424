"""Compares the facts in a mail's dossier with what the world had answered, and with each other."""

from __future__ import annotations

from typing import Any

from gatepost.facts.dkim import DkimResults
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.recipient_status import Listing, RecipientStatus
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.facts.spf import SpfResult
from gatepost.model.accepted_domains import DomainType
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.queued import QueuedMail
from gatepost.policy.dossier import decode_fact, read_dossier
from sim.journal import Journal, Sent
from sim.plan import AWAY, AWAY_MAY_SEND, POLICIES
from sim.signing import THEIRS

_KINDS = (RecipientStatus, ReverseDns, SpfResult, DkimResults, DmarcResult)
_TYPES: dict[str, Any] = {kind.name: kind for kind in _KINDS}
_AWAY_MAY_SEND = IpRanges((AWAY_MAY_SEND,))


class Dossier:
    """One of a mail that was kept. sent: what its client wrote down; None: a notice's."""

    def __init__(self, mail: QueuedMail, sent: Sent | None, journal: Journal) -> None:
        self._mail = mail
        self._sent = sent
        self._journal = journal

    def check(self, data: bytes) -> None:
        """No fact on record may differ from what the agents were given, nor from another."""
        dossier, mail = read_dossier(data), self._mail
        if str(dossier.origin.sender) != str(mail.sender) or dossier.origin.client_ip != mail.client_ip:
            self._find("the dossier is about another mail")
        facts: dict[type, Any] = {}
        for name, recipient, values in dossier.facts:
            fact = decode_fact(name, values, _TYPES)
            if isinstance(fact, RecipientStatus):
                self._check_status(recipient, fact)
            elif fact is not None:
                facts[type(fact)] = fact
        if isinstance(said := facts.get(ReverseDns), ReverseDns):
            answers = self._journal.pointers.get(mail.client_ip, set())
            if said.address != mail.client_ip or (said.names not in answers):
                self._find(f"the DNS never said {said.names} of {said.address}")
        self._check_authentication(facts.get(SpfResult), facts.get(DkimResults), facts.get(DmarcResult))
        decided = {decision.recipient for decision in dossier.decisions}
        missing = [r for r in mail.recipients if str(r.recipient.address) not in decided]
        if dossier.decisions and missing:
            self._find(f"kept for {missing[0].recipient.address}, decided for {decided}")

    def _check_status(self, recipient: str, fact: RecipientStatus) -> None:
        address = str(fact.recipient).lower()
        if recipient and recipient.lower() != address:
            self._find(f"the status of {address} is filed under {recipient}")
        if fact.type is DomainType.AUTHORITATIVE and fact.listing is not Listing.NOT_ASKED:
            listed = address in self._journal.listed
            if listed != (fact.listing is Listing.LISTED):
                self._find(f"{address} is on record as {fact.listing.value}")

    def _check_authentication(
        self, spf: SpfResult | None, dkim: DkimResults | None, dmarc: DmarcResult | None
    ) -> None:
        if spf is not None:
            self._check_spf(spf)
        if dkim is not None:
            self._check_dkim(dkim)
        if dmarc is not None:
            self._check_dmarc(dmarc, spf, dkim)

    def _check_spf(self, fact: SpfResult) -> None:
        self._journal.count(f"spf {fact.result}")
        if fact.ip != self._mail.client_ip:
            self._find(f"SPF was checked for {fact.ip}")
        if fact.domain != AWAY:
            return
        allowed = {"temperror"} if AWAY in self._journal.unanswered else set()
        for answer in self._journal.answers.get(AWAY, ()):
            is_true = answer == POLICIES[AWAY]
            in_range = self._mail.client_ip in _AWAY_MAY_SEND
            allowed.add(("pass" if in_range else "softfail") if is_true else "fail")
        if fact.result not in allowed:
            self._find(f"SPF is {fact.result}, not {sorted(allowed)}")

    def _check_dkim(self, fact: DkimResults) -> None:
        expected = self._sent.signed if self._sent is not None else ""
        results = [one.result for one in fact.signatures]
        for result in results:
            self._journal.count(f"dkim {result}")
        if bool(results) != bool(expected):
            self._find(f"DKIM is {results}, and the mail was signed: {expected or 'not at all'}")
        allowed = {"temperror"} if THEIRS.name in self._journal.unanswered else set()
        for answer in self._journal.answers.get(THEIRS.name, ()):
            allowed.add(expected if answer == (THEIRS.record.encode(),) else "fail")
        if expected and not set(results) <= allowed:
            self._find(f"DKIM is {results}, not {sorted(allowed)}")

    def _check_dmarc(self, fact: DmarcResult, spf: SpfResult | None, dkim: DkimResults | None) -> None:
        self._journal.count(f"dmarc {fact.result}")
        proven = {f"spf {spf.domain}"} if spf is not None and spf.result == "pass" else set()
        if dkim is not None:
            proven |= {f"dkim {one.domain}" for one in dkim.signatures if one.result == "pass"}
        if fact.result == "pass" and fact.alignment not in proven:
            self._find(f"DMARC passes by {fact.alignment!r}, and proven is {sorted(proven)}")
        if fact.result == "fail" and f"dkim {fact.from_domain}" in proven:
            self._find(f"DMARC fails, and proven is {sorted(proven)}")
        record = self._journal.unanswered & {f"_dmarc.{AWAY}", AWAY, THEIRS.name}
        if fact.result == "temperror" and not record:
            self._find("DMARC is temperror, and the DNS answered everything")

    def _find(self, what: str) -> None:
        self._journal.find(f"mail {self._mail.mail_id}: {what}")
