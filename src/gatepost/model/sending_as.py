"""Which addresses a client may send as: by its rights, by its account's name, by what the account was given (E11)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from gatepost.model.accepted_domains import DomainType
from gatepost.model.account import folded_user
from gatepost.model.address import Address
from gatepost.model.session import Rights, Session
from gatepost.model.site import Site

NOTHING_MORE: Final[frozenset[str]] = frozenset()


def may_send_as(
    address: Address, session: Session, site: Site, more: AbstractSet[str] = NOTHING_MORE
) -> bool:
    """Whether this may stand in MAIL FROM, From and Sender of the client's mail.

    more: keys of addresses that a directory or the accounts file knows as the account's, and *@domain for all of one.
    """
    wanted = Rights.OWN_DOMAIN_SENDER if is_ours(address, site) else Rights.ANY_SENDER
    return wanted in session.rights or _owns(session.user, address, site, more)


def may_send_for(address: Address, session: Session, site: Site) -> bool:
    """Whether it may stand in From when Sender says who it really was (users.on-behalf-of)."""
    given = site.on_behalf_of.get(folded_user(session.user)) if session.user else None
    return given is not None and _is_given(address, given)


def is_ours(address: Address, site: Site) -> bool:
    """In an authoritative domain."""
    return site.accepted_domains.type_of(address.domain) is DomainType.AUTHORITATIVE


def _owns(user: str, address: Address, site: Site, more: AbstractSet[str]) -> bool:
    """Whether the account is the address, its local part in an authoritative domain, or was given it."""
    if not user:
        return False
    given = site.sender_addresses.get(folded_user(user))
    if (given is not None and _is_given(address, given)) or (more and _is_given(address, more)):
        return True
    local, at, domain = user.rpartition("@")
    if not at:
        return is_ours(address, site) and Address(user, address.domain).key == address.key
    return bool(local) and Address(local, domain.lower()).key == address.key


def _is_given(address: Address, given: AbstractSet[str]) -> bool:
    if address.key in given or f"*@{address.domain}" in given:
        return True
    _, dot, parent = address.domain.partition(".")
    while dot:
        if f"*@*.{parent}" in given:
            return True
        _, dot, parent = parent.partition(".")
    return False
