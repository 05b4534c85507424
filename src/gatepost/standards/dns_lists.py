"""How a DNS list is asked about an address or a name, and its test points (RFC 5782)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

TESTS: Final = {4: ("127.0.0.2", "127.0.0.1"), 6: ("::ffff:127.0.0.2", "::ffff:127.0.0.1")}
"""Listed, and not listed, in every list of addresses (RFC 5782 §5)."""
NAME_TESTS: Final = ("test", "invalid")
"""The same of a list of domains."""
PARENTS_LIMIT: Final = 4
"""Names that are asked for one domain."""


def question_for(address: str, zone: str) -> str:
    """The name to ask for: octets or nibbles in reverse, then the zone. Raises ValueError for what is no address."""
    parsed = ip_address(address)
    if parsed.version == 4:
        return ".".join(reversed(str(parsed).split("."))) + f".{zone}"
    nibbles = f"{int(parsed):032x}"  # .exploded has dots in it for ::ffff:192.0.2.1 in Python 3.13
    return ".".join(reversed(nibbles)) + f".{zone}"


def question_for_name(name: str, zone: str) -> str:
    """The same for a list of domains. name: A-labels."""
    return f"{name.strip('.').lower()}.{zone}"


def with_parents(domain: str) -> tuple[str, ...]:
    """A domain and those above it, the longest first, down to two labels; of more than four the shortest.

    "a.b.example.com" -> itself, "b.example.com", "example.com". domain: lower-case A-labels.
    """
    labels = domain.split(".")
    every = [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))]
    return tuple(every[-PARENTS_LIMIT:])


def is_domain_asked(domain: str) -> bool:
    """Whether a list of domains can know it: a name of two labels or more that is no address."""
    last = domain.rpartition(".")[2]
    return "." in domain and not last.isdecimal() and len(domain) <= 200 and "[" not in domain
