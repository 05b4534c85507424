"""Lists of addresses, domains and wildcards, as settings write them: thousands of entries, and looked up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import a_labels_of, canonical_domain, parse_mailbox

GLOBS_LIMIT: Final = 1000
"""Entries with a * elsewhere than for a whole domain: these are tried one after the other."""
ENTRY_LIMIT_CHARACTERS: Final = 320
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
FORMS: Final = (
    '"user@example.com", "@example.com" (the domain), "@.example.com" (the domain and all below it), '
    '"@*.example.com" (all below it), or with * for any characters: "*-bounce@example.com", "info@*.example"'
)


class AddressPatterns:
    """One list. Raises ValueError for an entry that is none of FORMS."""

    __slots__ = ("_below", "_domains", "_exact", "_globs", "_globs_of_domain", "_has_entries", "_trees")

    def __init__(self, entries: Iterable[str]) -> None:
        self._exact: dict[str, str] = {}
        self._domains: dict[str, str] = {}
        self._trees: dict[str, str] = {}
        self._below: dict[str, str] = {}
        self._globs_of_domain: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self._globs: list[tuple[tuple[str, ...], str]] = []
        count = 0
        for entry in entries:
            count += self._add(entry)
        if count > GLOBS_LIMIT:
            raise ValueError(
                f"has {count} entries with a * that have to be tried one by one; {GLOBS_LIMIT} is the most"
            )
        self._has_entries = any(
            (self._exact, self._domains, self._trees, self._below, self._globs_of_domain, self._globs)
        )

    def __bool__(self) -> bool:
        return self._has_entries

    def match(self, address: Address) -> str:
        """The entry that fits, as it is written; "" when none does. The null sender fits none."""
        domain = address.domain
        if not self._has_entries or not domain:
            return ""
        key = address.key
        if found := self._exact.get(key) or self._domains.get(domain):
            return found
        if (self._trees or self._below) and (found := self._above(domain)):
            return found
        for parts, entry in self._globs_of_domain.get(domain, ()):
            if _fits(parts, key[: -len(domain) - 1]):
                return entry
        for parts, entry in self._globs:
            if _fits(parts, key):
                return entry
        return ""

    def _above(self, domain: str) -> str:
        if found := self._trees.get(domain):
            return found
        rest = domain
        while "." in rest:
            rest = rest.partition(".")[2]
            if found := self._trees.get(rest) or self._below.get(rest):
                return found
        return ""

    def _add(self, entry: str) -> int:
        """1 for an entry that has to be tried."""
        local, at, domain = entry.rpartition("@")
        if not at or len(entry) > ENTRY_LIMIT_CHARACTERS:
            raise _no_pattern(entry)
        try:
            if local in ("", "*"):
                return self._add_domain(domain, entry)
            if "*" not in entry:
                self._exact[parse_mailbox(entry).key] = entry
                return 0
            if "*" not in domain:
                folded = Address(_dequoted(local), canonical_domain(domain)).key.rpartition("@")[0]
                globs = self._globs_of_domain.setdefault(canonical_domain(domain), [])
                globs.append((tuple(folded.split("*")), entry))
                return 1
            return self._add_glob(entry, entry)
        except (PeerFault, ValueError) as error:
            raise _no_pattern(entry) from error

    def _add_domain(self, domain: str, entry: str) -> int:
        if domain.startswith("."):
            self._trees[canonical_domain(domain[1:])] = entry
        elif domain.startswith("*.") and "*" not in domain[2:]:
            self._below[canonical_domain(domain[2:])] = entry
        elif "*" in domain:
            return self._add_glob(f"*@{domain}", entry)
        else:
            self._domains[canonical_domain(domain)] = entry
        return 0

    def _add_glob(self, pattern: str, entry: str) -> int:
        local, _, domain = pattern.rpartition("@")
        domain = a_labels_of(domain)
        # The domain must make sense with something in the place of each *.
        canonical_domain(domain.replace("*", "a"))
        if not domain.isascii():
            raise ValueError("a label with * beside letters that are not ASCII fits nothing")
        folded = Address(_dequoted(local), domain.lower().removesuffix(".")).key
        self._globs.append((tuple(folded.split("*")), entry))
        return 1


def _dequoted(local: str) -> str:
    """A local part with * as addresses have it: the quotes are only in writing."""
    if len(local) < 2 or local[0] != '"' or local[-1] != '"':
        return local
    return _QUOTED_PAIR.sub(r"\1", local[1:-1])


def check_patterns(entries: tuple[str, ...]) -> tuple[str, ...]:
    """For validators of settings: the same list. Raises ValueError."""
    AddressPatterns(entries)
    return entries


def _fits(parts: tuple[str, ...], text: str) -> bool:
    """parts: what stands between the *. Each * takes as little as it can, which is always right and never goes back."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts[1:-1]:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _no_pattern(entry: str) -> ValueError:
    return ValueError(f"{entry[:ENTRY_LIMIT_CHARACTERS]!r} is none of {FORMS}")
