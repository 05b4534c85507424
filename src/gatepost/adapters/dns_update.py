"""Changes of a zone on its own server, by RFC 2136, signed with a TSIG key (RFC 8945) or by Kerberos (RFC 3645)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.tsigkeyring
import dns.update

from gatepost.model.fault import WorldFault

TIMEOUT_S: Final = 15.0
_KEY: Final = re.compile(
    r'key\s+"?(?P<name>[^"\s{]+)"?\s*\{\s*algorithm\s+"?(?P<algorithm>[a-z0-9-]+)"?\s*;'
    r'\s*secret\s+"?(?P<secret>[A-Za-z0-9+/=]+)"?\s*;\s*\}\s*;?',
    re.IGNORECASE,
)
_ALGORITHMS: Final = {
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TsigKey:
    """A key that a zone's server knows."""

    name: str
    algorithm: dns.name.Name
    secret: str = field(repr=False)


def parse_key(text: str) -> TsigKey:
    """As tsig-keygen writes it: key "name" { algorithm hmac-sha256; secret "..."; };. Raises ValueError."""
    match = _KEY.search(text)
    if match is None:
        raise ValueError('holds no key such as: key "name" { algorithm hmac-sha256; secret "..."; };')
    algorithm = _ALGORITHMS.get(match["algorithm"].lower())
    if algorithm is None:
        raise ValueError(f"{match['algorithm']} is not one of {', '.join(_ALGORITHMS)}")
    return TsigKey(name=match["name"], algorithm=algorithm, secret=match["secret"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """How messages to one server are signed. reads: questions, too; servers that do it for changes only refuse them."""

    ring: Any
    """dnspython's keyring."""
    name: dns.name.Name
    algorithm: dns.name.Name
    reads: bool = True

    @classmethod
    def by_key(cls, key: TsigKey) -> Signing:
        """Raises WorldFault."""
        try:
            ring = dns.tsigkeyring.from_text({key.name: key.secret})
            return cls(ring=ring, name=dns.name.from_text(key.name), algorithm=key.algorithm)
        except (ValueError, dns.exception.DNSException) as error:
            raise WorldFault(f"the key {key.name} cannot be used: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record that should be there.

    takes_place_of: the version of texts that go, such as v=spf1; "*": everything of its name and type; "": nothing.
    """

    name: str
    kind: str
    data: str
    ttl_s: int
    takes_place_of: str = ""


class ZoneServer:
    """The server that takes a zone's changes. Blocks; every method raises WorldFault."""

    def __init__(self, host: str, port: int, signing: Signing) -> None:
        self._host = host
        self._port = port
        self._signing = signing

    def apply(self, zone: str, changes: Sequence[Change]) -> list[str]:
        """All changes in one update, or none; what was done, in words.

        What is there is read from the server first, and the update holds only while that is so.
        """
        signing = self._signing
        update = dns.update.UpdateMessage(
            zone, keyring=signing.ring, keyname=signing.name, keyalgorithm=signing.algorithm
        )
        done: list[str] = []
        held: dict[tuple[str, str], dns.rrset.RRset | None] = {}
        for change in changes:
            place = (change.name, change.kind)
            if place not in held:
                held[place] = self._there(*place)
                _demand(update, place, held[place])
            done += _add(update, change, held[place])
        if not done:
            return []
        answer = self._asked(update)
        if answer.rcode() != dns.rcode.NOERROR:
            raise WorldFault(
                f"{self._host} refused the update of {zone}: {dns.rcode.to_text(answer.rcode())}"
                + (" (somebody else changed it meanwhile)" if answer.rcode() in _RACES else "")
            )
        return done

    def _there(self, name: str, kind: str) -> dns.rrset.RRset | None:
        question = dns.message.make_query(name, kind, flags=0)
        if self._signing.reads:
            question.use_tsig(self._signing.ring, self._signing.name, algorithm=self._signing.algorithm)
        answer = self._asked(question)
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise WorldFault(
                f"{self._host} does not tell {kind} of {name}: {dns.rcode.to_text(answer.rcode())}"
            )
        wanted = dns.rdatatype.from_text(kind)
        return next((rrset for rrset in answer.answer if rrset.rdtype == wanted), None)

    def _asked(self, message: dns.message.Message) -> dns.message.Message:
        return asked(message, self._host, self._port)


def asked(message: dns.message.Message, host: str, port: int) -> dns.message.Message:
    """The answer, by TCP. Raises WorldFault."""
    try:
        return dns.query.tcp(message, host, port=port, timeout=TIMEOUT_S)
    except (OSError, EOFError, dns.exception.DNSException) as error:
        raise WorldFault(f"{host} port {port}: {str(error) or type(error).__name__}") from error


_RACES: Final = (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN)


def _demand(update: dns.update.UpdateMessage, place: tuple[str, str], held: dns.rrset.RRset | None) -> None:
    name = dns.name.from_text(place[0])
    if held is None:
        update.absent(name, place[1])
    else:
        update.present(name, *held)  # each with a TTL of 0, as RFC 2136 §2.4.2 wants it


def _add(update: dns.update.UpdateMessage, change: Change, held: dns.rrset.RRset | None) -> list[str]:
    name = dns.name.from_text(change.name)
    try:
        fresh = dns.rdata.from_text(dns.rdataclass.IN, change.kind, change.data)
    except dns.exception.DNSException as error:
        raise WorldFault(f"{change.kind} {change.data[:200]} cannot be written: {error}") from error
    done = []
    gone = [old for old in held or () if old != fresh and _takes_place(change, old)]
    for old in gone:
        update.delete(name, old)
        done.append(f"removed {change.name}. {change.kind} {old.to_text()}")
    if held is None or fresh not in held:
        update.add(name, change.ttl_s, fresh)
        done.append(f"added {change.name}. {change.kind} {fresh.to_text()}")
    return done


def _takes_place(change: Change, old: dns.rdata.Rdata) -> bool:
    if change.takes_place_of in ("", "*"):
        return change.takes_place_of == "*"
    strings: Sequence[bytes] = getattr(old, "strings", ())
    text = b"".join(strings).lower()
    wanted = change.takes_place_of.lower().encode("ascii")
    return text == wanted or text.startswith((wanted + b" ", wanted + b";"))
