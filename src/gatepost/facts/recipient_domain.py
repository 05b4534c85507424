"""Fact: whether a recipient's domain is one we take mail for."""

from __future__ import annotations

from ipaddress import ip_address
from typing import ClassVar

import msgspec

from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.accepted_domains import DomainType
from gatepost.model.address import Address
from gatepost.model.known import MailView, Scope
from gatepost.model.site import Site
from gatepost.model.verdict import Stage


class RecipientDomain(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the accepted domains say about one recipient."""

    name: ClassVar[str] = "recipient-domain"

    recipient: Address
    entry: str = ""
    """The accepted domain that matched, as written: "example.com" or "*.example.com"; "" when none did."""
    type: DomainType | None = None
    """None: not ours."""
    own_literal: bool = False
    """The domain is an address literal, and it is the address the client connected to (RFC 5321 §4.1.3)."""


def find_recipient_domain(mail: MailView, site: Site) -> RecipientDomain:
    """Looks up mail.recipient; from memory."""
    address = recipient_of(mail)
    kind = site.accepted_domains.type_of(address.domain)
    if kind is not None:
        entry = site.accepted_domains.name_for(address.domain) or ""
        return RecipientDomain(recipient=address, entry=entry, type=kind)
    return RecipientDomain(recipient=address, own_literal=is_own_literal(address, mail.session.local_ip))


def recipient_of(mail: MailView) -> Address:
    """The recipient in question. Raises ValueError at stages that have none."""
    if mail.recipient is None:
        raise ValueError("a fact about a recipient is asked for at RCPT only")
    return mail.recipient.address


def is_own_literal(address: Address, own_ip: str) -> bool:
    """Whether the domain is an address literal of this address of ours."""
    if not address.is_literal:
        return False
    text = address.domain[1:-1]
    text = text[5:] if text[:5].lower() == "ipv6:" else text
    try:
        return ip_address(text) == ip_address(own_ip)
    except ValueError:
        return False


def gatherer(sources: Sources) -> Gathering:
    """Known at RCPT."""
    site = sources.site
    return Gathering(
        fact=RecipientDomain,
        scope=Scope.RECIPIENT,
        earliest=Stage.RCPT,
        find=lambda mail: find_recipient_domain(mail, site),
    )
