"""Facts: what the client calls itself in HELO or EHLO, and whether that leads back to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Any, ClassVar, Final

import msgspec

from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.reverse_dns import HOST_NAME
from gatepost.model.fault import PeerFault
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.ports.resolver import Resolver

HELO_LIMIT_CHARS: Final = 255


class HeloForm(Enum):
    """What kind of word it is."""

    NAME = "name"
    """A host name of at least two labels."""
    NOT_QUALIFIED = "not-qualified"
    """One label, such as "localhost" or "mailserver"."""
    LITERAL = "literal"
    """An address literal with the client's own address (RFC 5321 §4.1.3)."""
    WRONG_LITERAL = "wrong-literal"
    """A literal with another address."""
    BARE_ADDRESS = "bare-address"
    """An address without brackets."""
    NO_NAME = "no-name"
    """Nothing that a host can be called."""
    NOT_KNOWN = "not-known"
    """A relay of ours did not say what its client called itself."""


class Helo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The word, and what it is; known without asking anybody."""

    name: ClassVar[str] = "helo"

    helo: str
    address: str
    """Of whom it is said."""
    form: HeloForm
    is_own: bool = False
    """It is a name of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeloAddresses:
    """What the DNS says about a HELO that is a NAME. False for every other form, which is not asked about."""

    name: ClassVar[str] = "helo-addresses"

    helo: str
    address: str
    resolves: bool = False
    """The name has addresses."""
    leads_back: bool = False
    """The client's is among them."""


def helo_form(helo: str, address: str) -> HeloForm:
    """What kind of word it is. address: the client's."""
    if not helo:
        return HeloForm.NOT_KNOWN
    if helo.startswith("["):
        return _literal_form(helo, address)
    name = helo.lower().removesuffix(".")
    if (":" in name or name[-1:].isdigit()) and _parsed(name) is not None:
        return HeloForm.BARE_ADDRESS
    if not HOST_NAME.fullmatch(name):
        return HeloForm.NO_NAME
    return HeloForm.NAME if "." in name else HeloForm.NOT_QUALIFIED


def _literal_form(helo: str, address: str) -> HeloForm:
    if not helo.endswith("]"):
        return HeloForm.NO_NAME
    inner = helo[1:-1]
    tagged = inner[:5].lower() == "ipv6:"
    said = _parsed(inner[5:] if tagged else inner)
    if said is None or (said.version == 6) is not tagged:
        return HeloForm.NO_NAME
    return HeloForm.LITERAL if said == _parsed(address) else HeloForm.WRONG_LITERAL


def _parsed(text: str) -> Any:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def find_helo(mail: MailView, own_names: frozenset[str]) -> Helo:
    """From the session alone."""
    said, address = mail.session.helo[:HELO_LIMIT_CHARS], mail.session.origin_ip
    is_own = said.lower().removesuffix(".") in own_names
    return Helo(helo=said, address=address, form=helo_form(said, address), is_own=is_own)


async def find_helo_addresses(mail: MailView, resolver: Resolver, *, timeout_s: float) -> HeloAddresses:
    """Ask for the addresses. Raises WorldFault when the DNS does not say."""
    said, address = mail.session.helo[:HELO_LIMIT_CHARS], mail.session.origin_ip
    if helo_form(said, address) is not HeloForm.NAME:
        return HeloAddresses(helo=said, address=address)
    try:
        found = await resolver.addresses(said.lower().removesuffix("."), timeout_s=timeout_s)
    except PeerFault:
        return HeloAddresses(helo=said, address=address)
    leads_back = _parsed(address) in map(_parsed, found)
    return HeloAddresses(helo=said, address=address, resolves=bool(found), leads_back=leads_back)


def gatherer(sources: Sources) -> Gathering:
    """For each mail anew, since a client may greet again; EHLO itself ends whatever was begun for a mail."""
    own_names = sources.site.own_names
    return Gathering(
        fact=Helo,
        scope=Scope.MAIL,
        earliest=Stage.MAIL,
        find=lambda mail: find_helo(mail, own_names),
        of_origin=True,
    )


def addresses_gatherer(sources: Sources) -> Gathering:
    """As `gatherer`; waits for the DNS."""

    async def find(mail: MailView) -> HeloAddresses:
        return await find_helo_addresses(mail, sources.resolver, timeout_s=sources.lookup_timeout_s)

    return Gathering(
        fact=HeloAddresses, scope=Scope.MAIL, earliest=Stage.MAIL, find=find, waits=True, of_origin=True
    )
