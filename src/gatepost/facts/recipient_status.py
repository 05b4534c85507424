"""Fact: whether a recipient of ours exists, as the directory says (threats F27, F29)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.recipient_domain import is_own_literal, recipient_of
from gatepost.model.accepted_domains import DomainType
from gatepost.model.address import Address
from gatepost.model.known import MailView, Scope
from gatepost.model.site import Site
from gatepost.model.verdict import Stage
from gatepost.ports.directory import RecipientDirectory


class Listing(Enum):
    """What the directory said."""

    LISTED = "listed"
    NOT_LISTED = "not-listed"
    NOT_ASKED = "not-asked"
    """The domain is not ours, or its recipients are not looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientStatus:
    """One recipient: the type of its domain, and whether the directory lists it."""

    name: ClassVar[str] = "recipient-status"

    recipient: Address
    listing: Listing
    type: DomainType | None = None
    """Of the accepted domain; AUTHORITATIVE for our own address literal; None when not ours."""


def find_recipient_status(mail: MailView, site: Site, directory: RecipientDirectory) -> RecipientStatus:
    """Asks the directory when the domain's recipients are to be looked up.

    Raises WorldFault when the directory cannot tell: the fact is unknown then, never "no".
    """
    address = recipient_of(mail)
    kind = site.accepted_domains.type_of(address.domain)
    if kind is not None:
        asked = site.accepted_domains.name_for(address.domain) in site.checked_domains
    else:
        asked = is_own_literal(address, mail.session.local_ip)
        kind = DomainType.AUTHORITATIVE if asked else None
    if not asked:
        return RecipientStatus(recipient=address, listing=Listing.NOT_ASKED, type=kind)
    listing = Listing.LISTED if directory.knows(address) else Listing.NOT_LISTED
    return RecipientStatus(recipient=address, listing=listing, type=kind)


def gatherer(sources: Sources) -> Gathering:
    """Known at RCPT."""
    site, directory, paths = sources.site, sources.directory, sources.return_paths

    def find(mail: MailView) -> RecipientStatus:
        address = recipient_of(mail)
        if paths is None or not paths.claims(address):
            return find_recipient_status(mail, site, directory)
        is_good = paths.takes(address, mail.sender, mail.now)
        return RecipientStatus(
            recipient=address,
            listing=Listing.LISTED if is_good else Listing.NOT_LISTED,
            type=site.accepted_domains.type_of(address.domain),
        )

    return Gathering(
        fact=RecipientStatus,
        scope=Scope.RECIPIENT,
        earliest=Stage.RCPT,
        find=find,
    )
