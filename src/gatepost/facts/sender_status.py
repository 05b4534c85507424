"""Fact: whether a return path in a domain of ours belongs to somebody we know."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

import msgspec

from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.recipient_status import Listing
from gatepost.model.accepted_domains import DomainType
from gatepost.model.address import Address
from gatepost.model.known import MailView, Scope
from gatepost.model.site import Site
from gatepost.model.verdict import Stage
from gatepost.ports.directory import Entry, RecipientDirectory


class SenderStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The return path, seen from our side."""

    name: ClassVar[str] = "sender-status"

    sender: Address
    is_ours: bool = False
    """Its domain is an authoritative domain of ours."""
    listing: Listing = Listing.NOT_ASKED
    """What the directory says; NOT_ASKED when the domain is not ours, or its recipients are not looked up."""


def find_sender_status(
    mail: MailView, site: Site, directory: RecipientDirectory
) -> SenderStatus | Coroutine[Any, Any, SenderStatus]:
    """Raises WorldFault when the directory cannot tell."""
    sender, accepted = mail.sender, site.accepted_domains
    if not sender.domain or accepted.type_of(sender.domain) is not DomainType.AUTHORITATIVE:
        return SenderStatus(sender=sender)
    if accepted.name_for(sender.domain) not in site.checked_domains:
        return SenderStatus(sender=sender, is_ours=True)
    found = directory.look_up(sender)
    return _status(sender, found) if isinstance(found, Entry) else _waited_for(sender, found)


async def _waited_for(sender: Address, answer: Coroutine[Any, Any, Entry]) -> SenderStatus:
    return _status(sender, await answer)


def _status(sender: Address, entry: Entry) -> SenderStatus:
    listing = Listing.LISTED if entry.listed else Listing.NOT_LISTED
    return SenderStatus(sender=sender, is_ours=True, listing=listing)


def gatherer(sources: Sources) -> Gathering:
    """Known at MAIL."""
    site, directory = sources.site, sources.directory
    return Gathering(
        fact=SenderStatus,
        scope=Scope.MAIL,
        earliest=Stage.MAIL,
        find=lambda mail: find_sender_status(mail, site, directory),
    )
