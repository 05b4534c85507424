"""Domains that a person may take for one of ours: look-alike letters, IDN, one letter off (threats K01-K03).

The table is short on purpose: Latin look-alikes of Cyrillic, Greek and a few other letters (UTS #39 names
thousands), the digits, and pairs that run together in print.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import idna

NAMES_LIMIT: Final = 1000
"""Domains of ours whose neighbours by one letter are looked for; of the others only look-alike letters."""
SHORTEST_LABEL_CHARS: Final = 5
"""A shorter name has honest neighbours."""
DOMAIN_LIMIT_CHARS: Final = 100
_ALIKE: Final = (
    ("a", "\u0430\u03b1\u0251"),
    ("b", "\u044c"),
    ("c", "\u0441"),
    ("d", "\u0501"),
    ("e", "\u0435\u03b5"),
    ("g", "\u0261\u0581"),
    ("h", "\u04bb\u043d"),
    ("i", "\u0456\u03b9\u01311"),
    ("j", "\u0458"),
    ("k", "\u043a\u03ba"),
    ("l", "\u0142\u029f"),
    ("m", "\u043c"),
    ("n", "\u0578"),
    ("o", "\u043e\u03bf\u0585\u00f80"),
    ("p", "\u0440\u03c1"),
    ("q", "\u051b\u0566"),
    ("s", "\u04555"),
    ("t", "\u0442\u03c4"),
    ("u", "\u057d\u03c5"),
    ("v", "\u03bd"),
    ("w", "\u051d\u03c9"),
    ("x", "\u0445\u03c7"),
    ("y", "\u0443\u03b3"),
)
_LETTERS: Final = {ord(odd): plain for plain, alike in _ALIKE for odd in alike}
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"))


@lru_cache(maxsize=4096)
def skeleton(domain: str) -> str:
    """What a domain looks like: A-labels decoded, look-alike letters made one. Raises nothing."""
    text = ".".join(_label_text(label) for label in domain[:DOMAIN_LIMIT_CHARS].lower().split("."))
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_LETTERS)
    for pair, letter in _PAIRS:
        plain = plain.replace(pair, letter)
    return plain.replace("l", "i")


def _label_text(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return idna.decode(label)
    except UnicodeError:  # idna.IDNAError is one
        try:
            return label[4:].encode("ascii", "replace").decode("punycode")
        except (UnicodeError, ValueError, OverflowError):
            return label


class Lookalikes:
    """Finds which of our domains another one resembles; the price depends on the length of the name alone."""

    def __init__(self, names: Iterable[str]) -> None:
        """names: lower-case A-labels."""
        ours = tuple(names)
        self._resembled = lru_cache(maxsize=4096)(self._compare)  # the domains of correspondents come back
        self._ours = frozenset(ours)
        self._depths = tuple(sorted({name.count(".") + 1 for name in ours}))
        self._by_skeleton = {skeleton(name): name for name in reversed(ours)}
        self._shortened: dict[str, str] = {}
        for name in ours[:NAMES_LIMIT]:
            if len(name.partition(".")[0]) >= SHORTEST_LABEL_CHARS:
                self._shortened.update(dict.fromkeys(_shortened(name), name))

    def resembled(self, domain: str) -> str:
        """The domain of ours that this one looks like; "" when none, and for ours and what is below it."""
        return self._resembled(domain)

    def _compare(self, domain: str) -> str:
        labels = domain[-DOMAIN_LIMIT_CHARS:].split(".")
        tails = [".".join(labels[-depth:]) for depth in self._depths if depth <= len(labels)]
        if any(tail in self._ours for tail in tails):
            return ""
        for tail in tails:
            found = self._by_skeleton.get(skeleton(tail)) or self._neighbour(tail)
            if found:
                return found
        return next((name for name in self._ours_inside(labels)), "")

    def _neighbour(self, name: str) -> str:
        for candidate in _shortened(name):
            ours = self._shortened.get(candidate)
            if ours is not None and _is_one_off(name, ours):
                return ours
        return ""

    def _ours_inside(self, labels: list[str]) -> Iterable[str]:
        """`gate.test.evil.test`: ours in front of another's."""
        for start in range(min(len(labels) - 1, 10)):
            for depth in self._depths:
                name = ".".join(labels[start : start + depth])
                if depth > 1 and name in self._ours:
                    yield name


def _shortened(name: str) -> set[str]:
    """The name, and the name without each one of its letters."""
    return {name, *(name[:at] + name[at + 1 :] for at in range(len(name)))}


def _is_one_off(a: str, b: str) -> bool:
    """One letter more, less, other, or two neighbours exchanged."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    rest_a, rest_b = a[start:], b[start:]
    if len(a) != len(b):
        longer, shorter = (rest_a, rest_b) if len(a) > len(b) else (rest_b, rest_a)
        return longer[1:] == shorter
    exchanged = rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:]
    return rest_a[1:] == rest_b[1:] or exchanged
