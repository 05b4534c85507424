"""Fact: whether a recipient of ours exists, as the directory says (threats F27, F29)."""

from __future__ import annotations

from collections.abc import Coroutine
from enum import Enum
from typing import Any, ClassVar

import msgspec

from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.recipient_domain import is_own_literal, recipient_of
from gatepost.model.accepted_domains import DomainType
from gatepost.model.address import Address
from gatepost.model.known import MailView, Scope
from gatepost.model.site import Site
from gatepost.model.verdict import Stage
from gatepost.ports.directory import Entry, RecipientDirectory


class Listing(Enum):
    """What the directory said."""

    LISTED = "listed"
    NOT_LISTED = "not-listed"
    NOT_ASKED = "not-asked"
    """The domain is not ours, or its recipients are not looked up."""


class RecipientStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One recipient: the type of its domain, and whether the directory lists it."""

    name: ClassVar[str] = "recipient-status"

    recipient: Address
    listing: Listing
    type: DomainType | None = None
    """Of the accepted domain; AUTHORITATIVE for our own address literal; None when not ours."""
    needs_authentication: bool = False
    """The directory says that only authenticated senders may write to it."""
    source: str = ""
    """Which directory listed it."""


def find_recipient_status(
    mail: MailView, site: Site, directory: RecipientDirectory
) -> RecipientStatus | Coroutine[Any, Any, RecipientStatus]:
    """Asks the directory when the domain's recipients are to be looked up; at once when it answers from memory.

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
    found = directory.look_up(address)
    if isinstance(found, Entry):
        return _status(address, kind, found)
    return _waited_for(address, kind, found)


async def _waited_for(
    address: Address, kind: DomainType | None, answer: Coroutine[Any, Any, Entry]
) -> RecipientStatus:
    return _status(address, kind, await answer)


def _status(address: Address, kind: DomainType | None, entry: Entry) -> RecipientStatus:
    return RecipientStatus(
        recipient=address,
        listing=Listing.LISTED if entry.listed else Listing.NOT_LISTED,
        type=kind,
        needs_authentication=entry.needs_authentication,
        source=entry.source,
    )


def gatherer(sources: Sources) -> Gathering:
    """Known at RCPT."""
    site, directory, paths = sources.site, sources.directory, sources.return_paths

    def find(mail: MailView) -> RecipientStatus | Coroutine[Any, Any, RecipientStatus]:
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
