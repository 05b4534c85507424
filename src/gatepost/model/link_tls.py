"""How safe a connection to a next hop must be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple


class Association(NamedTuple):
    """One TLSA record (RFC 6698 §2.1) that may prove a next hop."""

    usage: int
    selector: int
    matching: int
    data: bytes


class LinkMode(Enum):
    """The words of the setting `tls` of a send connector."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    """Where it is offered, with any certificate; in the clear where the handshake fails (RFC 7435)."""
    REQUIRED = "required"
    """Any certificate: nobody who only listens learns anything."""
    VERIFIED = "verified"
    """A certificate for the next hop's name, from an authority we believe."""
    FINGERPRINT = "fingerprint"
    """A certificate, or a public key, that we know beforehand."""
    DANE = "dane"
    """A certificate that the next hop's TLSA records name (RFC 7672). No word of a setting: DNS asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTls:
    """What TLS with one next hop must be; equal values may share a connection.

    minimum: "1.2" or "1.3". fingerprints: 64 lower-case hex digits each. names: what a verified
    certificate must be for, lower case, "*.example.com" for all names below; () for the next
    hop's name. ca_file: "" for the authorities of the system. certificate_file, key_file: what we
    show; "" for nothing. policy: who asked for it, "" for the settings.
    """

    mode: LinkMode = LinkMode.OPPORTUNISTIC
    minimum: str = "1.2"
    fingerprints: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    associations: tuple[Association, ...] = ()
    policy: str = ""

    @property
    def is_demanded(self) -> bool:
        """Without TLS nothing is sent."""
        return self.mode not in (LinkMode.NONE, LinkMode.OPPORTUNISTIC)

    @property
    def proves_the_peer(self) -> bool:
        """Who answers is known: what REQUIRETLS asks for (RFC 8689 §4.2.1)."""
        return self.mode in (LinkMode.VERIFIED, LinkMode.FINGERPRINT, LinkMode.DANE)

    @property
    def proven(self) -> LinkTls:
        """The same, with a peer that has to prove who it is."""
        return self if self.proves_the_peer else replace(self, mode=LinkMode.VERIFIED)

    def names_fit(self, shown: Iterable[str]) -> bool:
        """Whether a certificate for these DNS names (lower case) is for one of `names`."""
        return any(_is_for(name, wanted) for name in shown for wanted in self.names)

    @property
    def in_the_clear(self) -> LinkTls:
        """The same, without TLS."""
        return replace(self, mode=LinkMode.NONE)


def _is_for(shown: str, wanted: str) -> bool:
    """A star that is shown stands for one label (RFC 9525 §6.3), one that is wanted for any number."""
    if wanted.startswith("*."):
        return shown.endswith(wanted[1:])
    return shown == wanted or (shown.startswith("*.") and shown[2:] == wanted.partition(".")[2])
