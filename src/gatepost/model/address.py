"""A mailbox address as the envelope carries it (RFC 5321 §4.1.2, RFC 6531)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_DOT_STRING: Final = re.compile(
    r"[^\x00-\x20\x7f()<>\[\]:;@\\,.\"]+(?:\.[^\x00-\x20\x7f()<>\[\]:;@\\,.\"]+)*"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox: its local part without quoting, its domain in canonical form.

    local:  the local part, unquoted, byte for byte as given (case and Unicode form kept).
    domain: lower-case A-labels without a final dot ("xn--..." for an IDN), or an address
            literal "[192.0.2.1]" / "[IPv6:...]"; "" only for the null sender and for
            <postmaster> (RFC 5321 §4.5.1).

    Raises ValueError for control characters or lone surrogates: such an address
    cannot be written to a wire, so it cannot exist here (threats F25).
    """

    local: str
    domain: str
    _text: str = field(default="", init=False, repr=False, compare=False)
    """What str() returned: one mail's trace, rows and records write each of its addresses several times."""

    def __hash__(self) -> int:
        # In a third of the time of what a dataclass makes; every fact about a recipient is looked up by it.
        return hash((self.local, self.domain))

    def __post_init__(self) -> None:
        # Printable text has no control characters, and that is quickly seen.
        if not self.local.isprintable() and _CONTROL.search(self.local):
            raise ValueError("an address has no control characters")
        if not self.domain.isprintable() and _CONTROL.search(self.domain):
            raise ValueError("an address has no control characters")
        if not self.local.isascii() and _SURROGATE.search(self.local):
            raise ValueError("an address is Unicode text")
        if self.domain and not self.local:
            raise ValueError("a mailbox has a local part")

    @property
    def is_null(self) -> bool:
        """True for <>, the return path of notifications (RFC 5321 §4.5.5)."""
        return not self.local and not self.domain

    @property
    def is_ascii(self) -> bool:
        """False when sending it needs SMTPUTF8 (RFC 6531); the domain is ASCII always."""
        return self.local.isascii()

    @property
    def is_literal(self) -> bool:
        """True when the domain is an address literal."""
        return self.domain.startswith("[")

    @property
    def key(self) -> str:
        """For look-ups in lists: ASCII letters of the local part folded, nothing else.

        RFC 5321 §2.4 leaves the local part to its host; every mail system in use
        folds ASCII case. Non-ASCII is compared as it is (threats K06).
        """
        return f"{_fold_ascii(self.local)}@{self.domain}"

    def __str__(self) -> str:
        """As between the angle brackets on the wire: quoted where it must be."""
        if not self._text:
            object.__setattr__(self, "_text", self._written())  # kept beside the value; it stays what it is
        return self._text

    def _written(self) -> str:
        local = self.local
        if local and not _DOT_STRING.fullmatch(local):
            escaped = local.replace("\\", "\\\\").replace('"', '\\"')
            local = f'"{escaped}"'
        return f"{local}@{self.domain}" if self.domain else local


NULL_SENDER: Final = Address("", "")


def _fold_ascii(text: str) -> str:
    return text.lower() if text.isascii() else re.sub(r"[A-Z]+", lambda m: m[0].lower(), text)
