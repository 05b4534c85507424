"""Compares the facts in a mail's dossier with what the world had answered."""

from __future__ import annotations

from gatepost.facts.recipient_status import Listing, RecipientStatus
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.facts.spf import SpfResult
from gatepost.model.accepted_domains import DomainType
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.queued import QueuedMail
from gatepost.policy.dossier import decode_fact, read_dossier
from sim.journal import Journal
from sim.plan import AWAY, AWAY_MAY_SEND

_TYPES = {kind.name: kind for kind in (RecipientStatus, ReverseDns, SpfResult)}
_AWAY_MAY_SEND = IpRanges((AWAY_MAY_SEND,))


def check_dossier(mail: QueuedMail, data: bytes, journal: Journal) -> None:
    """No fact on record may differ from what the agents were given."""
    dossier = read_dossier(data)
    if str(dossier.origin.sender) != str(mail.sender) or dossier.origin.client_ip != mail.client_ip:
        journal.find(f"mail {mail.mail_id}: the dossier is about another mail")
    for name, recipient, values in dossier.facts:
        fact = decode_fact(name, values, _TYPES)
        if isinstance(fact, RecipientStatus):
            _check_status(mail, recipient, fact, journal)
        elif isinstance(fact, ReverseDns):
            answers = journal.pointers.get(mail.client_ip, set())
            if fact.address != mail.client_ip or (fact.names not in answers):
                journal.find(f"mail {mail.mail_id}: the DNS never said {fact.names} of {fact.address}")
        elif isinstance(fact, SpfResult):
            _check_spf(mail, fact, journal)
    decided = {decision.recipient for decision in dossier.decisions}
    missing = [r for r in mail.recipients if str(r.recipient.address) not in decided]
    if dossier.decisions and missing:
        journal.find(f"mail {mail.mail_id}: kept for {missing[0].recipient.address}, decided for {decided}")


def _check_status(mail: QueuedMail, recipient: str, fact: RecipientStatus, journal: Journal) -> None:
    address = str(fact.recipient).lower()
    if recipient and recipient.lower() != address:
        journal.find(f"mail {mail.mail_id}: the status of {address} is filed under {recipient}")
    if fact.type is DomainType.AUTHORITATIVE and fact.listing is not Listing.NOT_ASKED:
        listed = address in journal.listed
        if listed != (fact.listing is Listing.LISTED):
            journal.find(f"mail {mail.mail_id}: {address} is on record as {fact.listing.value}")


def _check_spf(mail: QueuedMail, fact: SpfResult, journal: Journal) -> None:
    journal.count(f"spf {fact.result}")
    if fact.ip != mail.client_ip:
        journal.find(f"mail {mail.mail_id}: SPF was checked for {fact.ip}")
    if fact.domain == AWAY and fact.result != "temperror":
        expected = "pass" if mail.client_ip in _AWAY_MAY_SEND else "softfail"
        if fact.result != expected:
            journal.find(f"mail {mail.mail_id}: SPF is {fact.result}, not {expected}")
