"""Facts: how much was counted lately with what a mail is counted with, at MAIL, at RCPT, at the end of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.address import Address
from gatepost.model.known import MailView, Scope
from gatepost.model.rate_limit import SPACE, Counted
from gatepost.model.verdict import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """How full the bucket of one limit is. key: what is counted together."""

    limit: str
    key: str
    count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRates:
    """Of the limits that count mails."""

    name: ClassVar[str] = "mail-rates"
    used: tuple[Used, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientRates:
    """Of the limits that count recipients."""

    name: ClassVar[str] = "recipient-rates"
    recipient: Address
    used: tuple[Used, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRates:
    """Of the limits that count octets."""

    name: ClassVar[str] = "content-rates"
    used: tuple[Used, ...] = ()


def _used(sources: Sources, mail: MailView, counted: Counted) -> tuple[Used, ...]:
    found = []
    for rule in sources.site.rate_limits:
        if rule.counted is counted and (key := rule.key_for(mail)):
            counts = sources.shared.counts(SPACE, key, fading=rule.drains, now=mail.now)
            found.append(Used(limit=rule.name, key=key, count=counts[0] if counts else 0.0))
    return tuple(found)


def mail_gatherer(sources: Sources) -> Gathering:
    """Known from MAIL on."""

    def find(mail: MailView) -> MailRates:
        return MailRates(used=_used(sources, mail, Counted.MAILS))

    return Gathering(fact=MailRates, scope=Scope.MAIL, earliest=Stage.MAIL, find=find)


def recipient_gatherer(sources: Sources) -> Gathering:
    """Known at RCPT."""

    def find(mail: MailView) -> RecipientRates:
        assert mail.recipient is not None, "a recipient is what it is about"
        return RecipientRates(recipient=mail.recipient.address, used=_used(sources, mail, Counted.RECIPIENTS))

    return Gathering(fact=RecipientRates, scope=Scope.RECIPIENT, earliest=Stage.RCPT, find=find)


def content_gatherer(sources: Sources) -> Gathering:
    """Known at the end of the data."""

    def find(mail: MailView) -> ContentRates:
        return ContentRates(used=_used(sources, mail, Counted.BYTES))

    return Gathering(fact=ContentRates, scope=Scope.MAIL, earliest=Stage.END_OF_DATA, find=find)
