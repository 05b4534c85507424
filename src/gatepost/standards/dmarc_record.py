"""What a DMARC record says (RFC 9989 §4.7); records written for RFC 7489 are read, too (threats J30)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

RECORD_LIMIT_BYTES: Final = 10 << 10
URIS_LIMIT: Final = 10
NOTES_LIMIT: Final = 10
REMEMBERED_BYTES: Final = 1024
_VERSION: Final = re.compile(rb"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_TAG: Final = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9_]*)[ \t]*=(.*)", re.DOTALL)
_REMOVED: Final = frozenset({"pct", "rf", "ri"})
_MAILTO: Final = re.compile(r"(?i:mailto):([^\s,;!<>\"]{1,320})(?:!([0-9]{1,15})([kmgt]?))?", re.IGNORECASE)
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,40}:[!-~]{1,400}")
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Policy(IntEnum):
    """What a domain asks for when its mail is not authenticated; the higher the stricter."""

    NONE = 0
    QUARANTINE = 1
    REJECT = 2

    @property
    def word(self) -> str:
        """As the record spells it."""
        return self.name.lower()

    @property
    def lowered(self) -> Policy:
        """One step less, as t=y asks for."""
        return Policy(max(0, self - 1))


@dataclass(frozen=True, slots=True)
class ReportAddress:
    """Where reports go: a mail address as written (percent-encoded), and its size limit; 0: none."""

    mailbox: str
    limit_bytes: int = 0

    @property
    def domain(self) -> str:
        """Lower case, as written."""
        return self.mailbox.rpartition("@")[2].lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcRecord:
    """One record. Defaults are applied: sp is p, np is sp where the record does not say.

    problem: why it asks for nothing ("" when it does); it still stands in the tree walk.
    notes:   what in it was ignored.
    """

    p: Policy = Policy.NONE
    sp: Policy = Policy.NONE
    np: Policy = Policy.NONE
    strict_dkim: bool = False
    strict_spf: bool = False
    fo: str = "0"
    rua: tuple[ReportAddress, ...] = ()
    ruf: tuple[ReportAddress, ...] = ()
    psd: str = "u"
    testing: bool = False
    has_np: bool = False
    problem: str = ""
    notes: tuple[str, ...] = ()


def is_dmarc(text: bytes) -> bool:
    """Whether a TXT record is a DMARC record at all: it begins with v=DMARC1."""
    return _VERSION.match(text) is not None


def parse_record(text: bytes) -> DmarcRecord:
    """Read a record for which is_dmarc() is true. Takes any bytes, raises nothing.

    Those of usual size are remembered.
    """
    return _remembered(text) if len(text) <= REMEMBERED_BYTES else _parsed(text)


@lru_cache(maxsize=1024)
def _remembered(text: bytes) -> DmarcRecord:
    return _parsed(text)


def _parsed(text: bytes) -> DmarcRecord:
    notes: list[str] = []
    tags = _tags(text, notes)
    if tags is None:
        return DmarcRecord(problem="a tag stands twice, or the record is too long")
    rua, ruf = _addresses(tags, "rua", notes), _addresses(tags, "ruf", notes)
    p, sp, np = (_policy(tags, name) for name in ("p", "sp", "np"))
    problem = ""
    # RFC 9989 §4.10.1: one policy that cannot be read, and the others do not count either.
    unusable = (
        "p" if p is None else next((n for n, v in (("sp", sp), ("np", np)) if v is None and n in tags), "")
    )
    if unusable:
        p = sp = np = None
        problem = "" if _has_uri(tags.get("rua", "")) else f"no usable {unusable}"
        notes.append(f"{unusable} is missing or unusable, the record is read as p=none")
    own = p or Policy.NONE
    below = own if sp is None else sp
    return DmarcRecord(
        p=own,
        sp=below,
        np=below if np is None else np,
        strict_dkim=_choice(tags, "adkim", ("r", "s"), notes) == "s",
        strict_spf=_choice(tags, "aspf", ("r", "s"), notes) == "s",
        fo=tags.get("fo", "0")[:20],
        rua=rua,
        ruf=ruf,
        psd=_choice(tags, "psd", ("u", "y", "n"), notes),
        testing=_choice(tags, "t", ("n", "y"), notes) == "y",
        has_np=np is not None,
        problem=problem,
        notes=tuple(notes[:NOTES_LIMIT]),
    )


def _tags(text: bytes, notes: list[str]) -> dict[str, str] | None:
    """None when one stands twice (RFC 6376 §3.2), or there is more than is read."""
    if len(text) > RECORD_LIMIT_BYTES:
        return None
    tags: dict[str, str] = {}
    for part in text.decode("ascii", "replace").split(";"):
        match = _TAG.fullmatch(part)
        if match is None:
            if part.strip():
                notes.append("something that is no tag is ignored")
            continue
        name = match[1].lower()
        if name in tags:
            return None
        tags[name] = match[2].strip(" \t")
        if name in _REMOVED:
            notes.append(f"{name} has no meaning since RFC 9989")
    return tags


def _policy(tags: dict[str, str], name: str) -> Policy | None:
    word = tags.get(name)
    if word is None:
        return None
    for policy in Policy:
        if word.lower() == policy.word:
            return policy
    return None


def _choice(tags: dict[str, str], name: str, accepted: tuple[str, ...], notes: list[str]) -> str:
    """The first is the default."""
    word = tags.get(name, accepted[0]).lower()
    if word in accepted:
        return word
    notes.append(f"{name} is unusable, {accepted[0]} is assumed")
    return accepted[0]


def _has_uri(text: str) -> bool:
    """Whether reports are asked for at all, by a way of ours or another."""
    return any(_URI.fullmatch(uri.strip(" \t")) for uri in text.split(",")[: URIS_LIMIT * 2])


def _addresses(tags: dict[str, str], name: str, notes: list[str]) -> tuple[ReportAddress, ...]:
    if name not in tags:
        return ()
    found: dict[str, ReportAddress] = {}
    for uri in tags[name].split(",")[: URIS_LIMIT * 2]:
        match = _MAILTO.fullmatch(uri.strip(" \t"))
        mailbox = (
            match[1].partition("?")[0] if match is not None else ""
        )  # RFC 6068: fields of a mail stand behind it
        if match is None or not 0 < mailbox.rfind("@") < len(mailbox) - 1:
            notes.append(f"{name}: an address that is no mailto is ignored")
            continue
        limit = int(match[2]) * _UNITS[match[3].lower()] if match[2] else 0
        found.setdefault(mailbox, ReportAddress(mailbox, limit))
    return tuple(found.values())[:URIS_LIMIT]
