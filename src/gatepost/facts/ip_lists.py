"""Fact: whether the address that filters judge is on our block list or allow list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.ports.lists import AddressLists, Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class IpListing:
    """The most specific entries that hold the address; "" where there is none."""

    name: ClassVar[str] = "ip-lists"

    address: str
    blocked_by: str = ""
    """The entry on the block list: an address, a network or a range."""
    blocked_source: str = ""
    """The feed it stands in, else who made it."""
    blocked_by_machine: bool = False
    """Made by a part of the gateway, such as sender reputation."""
    blocked_comment: str = ""
    allowed_by: str = ""
    allowed_source: str = ""
    allowed_comment: str = ""


def find_ip_listing(mail: MailView, lists: AddressLists | None) -> IpListing:
    """From memory; counts the hit of the entry that decides: the allow list's, when both have one."""
    address = mail.session.origin_ip
    if lists is None:
        return IpListing(address=address)
    allowed, blocked = lists.find("allow", address), lists.find("block", address)
    decisive = allowed or blocked
    if decisive is None:
        return IpListing(address=address)
    lists.count_hit(decisive)
    return IpListing(
        address=address,
        blocked_by=blocked.network if blocked else "",
        blocked_source=_source(blocked),
        blocked_by_machine=blocked is not None and not blocked.by_person and not blocked.feed,
        blocked_comment=blocked.comment if blocked else "",
        allowed_by=allowed.network if allowed else "",
        allowed_source=_source(allowed),
        allowed_comment=allowed.comment if allowed else "",
    )


def _source(entry: Entry | None) -> str:
    return (entry.feed or entry.author) if entry is not None else ""


def gatherer(sources: Sources) -> Gathering:
    """Known from CONNECT on."""

    def find(mail: MailView) -> IpListing:
        return find_ip_listing(mail, sources.lists)

    return Gathering(
        fact=IpListing, scope=Scope.CONNECTION, earliest=Stage.CONNECT, find=find, of_origin=True
    )
