"""How urgent a mail says it is: the fields of mail programs, of X.400 and of mass mail, on one scale."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gatepost.message.headers import HeaderIndex
from gatepost.model.queued import Priority

_X_PRIORITY: Final = re.compile(rb"([1-5])(?![0-9])")
_WORDS: Final[Mapping[bytes, Mapping[bytes, Priority]]] = {
    b"importance": {b"high": Priority.HIGH, b"low": Priority.LOW},  # RFC 2156 §5.3.4
    b"priority": {b"urgent": Priority.HIGH, b"non-urgent": Priority.LOW},
    b"x-msmail-priority": {b"high": Priority.HIGH, b"low": Priority.LOW},
}
_MASS_MAIL: Final = (b"bulk", b"junk", b"list")


def priority_of(index: HeaderIndex) -> Priority:
    """What the header section asks for; NORMAL when it says nothing that is understood.

    Precedence of mass mail wins. Then the first that stands there of X-Priority (1 and 2 are high, 4 and 5 low),
    Importance, Priority and X-MSMail-Priority decides.
    """
    if (index.first(b"precedence") or b"").lower() in _MASS_MAIL:
        return Priority.NONE
    number = _X_PRIORITY.match(index.first(b"x-priority") or b"")
    if number is not None:
        return _of_number(int(number[1]))
    for name, words in _WORDS.items():
        value = index.first(name)
        if value is not None:
            return words.get(value.lower(), Priority.NORMAL)
    return Priority.NORMAL


def _of_number(number: int) -> Priority:
    if number == 3:
        return Priority.NORMAL
    return Priority.HIGH if number < 3 else Priority.LOW
