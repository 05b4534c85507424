"""The mailboxes of an address field (From, Sender, Reply-To): one reading for filters, DMARC and display.

RFC 5322 §3.4 with its obsolete forms, groups (RFC 6854) and UTF-8 (RFC 6532), in linear time.
What two readers could read differently is read the way most do, and named as a problem (threats J25, J26).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from gatepost.message.headers import unfolded
from gatepost.message.words import text_of
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import LOCAL_LIMIT_BYTES, parse_mailbox
from gatepost.standards.comments import comment_end

VALUE_LIMIT_BYTES: Final = 16 << 10
MAILBOXES_LIMIT: Final = 100
TOKENS_LIMIT: Final = 3000
"""Words, blanks and signs of one field: a hundred addresses have no more."""
_CLAIMED_LIMIT: Final = 20
NAME_LIMIT_CHARS: Final = 200

# Possessive quantifiers: the patterns never go back.
_TOKEN: Final = re.compile(
    r'(?P<blank>[ \t\r\n]++)|(?P<quoted>"(?:[^"\\]++|\\.)*+")|(?P<literal>\[[^\[\]\\"]*+\])'
    r'|(?P<word>[^ \t\r\n()<>\[\]:;@\\,"]++)|(?P<special>.)',
    re.DOTALL,
)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_ROUTE: Final = re.compile(r"@[^:<>]*+:")
_ADDRESS_LIKE: Final = re.compile(r"[^\s\"'<>()@:;,]{1,64}@((?:[\w-]{1,63}\.){1,10}[\w-]{1,63})")


_WORD: Final = rb"[A-Za-z0-9][A-Za-z0-9'-]*+"
_NAME: Final = rb"%b(?: %b)*+" % (_WORD, _WORD)
_ATOMS: Final = rb"[A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*+"
_ADDR_SPEC: Final = rb"%b@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)++[A-Za-z]{2,63}" % _ATOMS
_ORDINARY: Final = re.compile(rb'(?:"(%b)" |(%b) )?<(%b)>|(%b)' % (_NAME, _NAME, _ADDR_SPEC, _ADDR_SPEC))
"""Nearly every field: one address, with a name of plain words or none. Read as the reader below reads it."""
_ORDINARY_LIMIT_BYTES: Final = 160


class Mailbox(NamedTuple):
    """One mailbox. name: decoded, printable, "" when there is none. address: None when it is none.

    text: what stands in the place of an address that is none, without comments and blanks around it.
    """

    name: str
    address: Address | None
    text: str = ""


class Mailboxes(msgspec.Struct, frozen=True, gc=False):
    """What an address field holds.

    problem: the first thing that other readers may read differently; "" when there is nothing of the kind.
    claimed: domains of what looks like an address where none is read: behind another, or as an encoded word.
    """

    mailboxes: tuple[Mailbox, ...] = ()
    groups: tuple[str, ...] = ()
    problem: str = ""
    claimed: tuple[str, ...] = ()


def read_mailboxes(value: bytes) -> Mailboxes:
    """Read a field's value, folded or not. Takes any bytes, raises nothing."""
    if len(value) <= _ORDINARY_LIMIT_BYTES and (ordinary := _ORDINARY.fullmatch(value)) is not None:
        quoted, plain, inside, bare = ordinary.groups()
        address: bytes = inside or bare
        if len(address) <= LOCAL_LIMIT_BYTES:
            name = (quoted or plain or b"").decode("ascii")
            return Mailboxes((Mailbox(name, parse_mailbox(address.decode("ascii"))),))
    reader = _Reader()
    if len(value) > VALUE_LIMIT_BYTES:
        reader.complain("longer than is read")
    text = unfolded(value[:VALUE_LIMIT_BYTES]).decode("utf-8", "surrogateescape")
    reader.read(text)
    return Mailboxes(tuple(reader.mailboxes), tuple(reader.groups), reader.problem, tuple(reader.claimed))


def addresses_in(text: str, limit: int = 10) -> tuple[str, ...]:
    """The domains of what looks like an address in a text for people, lower case; at most `limit`."""
    if "@" not in text:
        return ()
    found = []
    for match in _ADDRESS_LIKE.finditer(text[:NAME_LIMIT_CHARS]):
        found.append(match[1].lower())
        if len(found) == limit:
            break
    return tuple(found)


@dataclass
class _Item:
    """The tokens of one mailbox as they come."""

    before: list[tuple[str, str]] = field(default_factory=list)
    inside: list[tuple[str, str]] | None = None
    after: list[tuple[str, str]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    in_angle: bool = False

    def add(self, kind: str, text: str) -> None:
        if self.in_angle and self.inside is not None:
            self.inside.append((kind, text))
        elif self.inside is not None:
            self.after.append((kind, text))
        else:
            self.before.append((kind, text))


class _Reader:
    def __init__(self) -> None:
        self.mailboxes: list[Mailbox] = []
        self.groups: list[str] = []
        self.problem = ""
        self.claimed: list[str] = []
        self._item = _Item()

    def complain(self, problem: str) -> None:
        self.problem = self.problem or problem

    def read(self, text: str) -> None:
        at = tokens = 0
        while at < len(text) and len(self.mailboxes) < MAILBOXES_LIMIT:
            tokens += 1
            if tokens > TOKENS_LIMIT:
                self.complain("longer than is read")
                self.claimed += [
                    domain.lower() for domain in _ADDRESS_LIKE.findall(text, at)[-_CLAIMED_LIMIT:]
                ]
                break
            if text[at] == "(":
                end = comment_end(text, at) or len(text) + 1
                self._item.comments.append(text[at + 1 : end - 1])
                self._item.add("comment", "")
                at = end
                if end > len(text):
                    self.complain("a comment without end")
                continue
            match = _TOKEN.match(text, at)
            if match is None:  # every character is a token
                break
            at = match.end()
            if match.lastgroup == "special" and match[0] == '"':
                self.complain("a quoted string without end")
                break
            if match.lastgroup == "special":
                self._take_special(match[0])
            else:
                self._item.add(match.lastgroup or "", match[0])
        if at < len(text) and len(self.mailboxes) >= MAILBOXES_LIMIT:
            self.complain(f"more than {MAILBOXES_LIMIT} addresses")
        self._finish()

    def _take_special(self, character: str) -> None:
        item = self._item
        if item.in_angle:
            if character == ">":
                item.in_angle = False
                return
            if character == "<":
                self.complain("a bracket inside brackets")
            item.add("special", character)
        elif character == "<":
            if item.inside is not None:
                self.complain("text behind the address")
                self._finish()
                item = self._item
            item.inside, item.in_angle = [], True
        elif character in ",;":
            self._finish()
        elif character == ":" and item.inside is None:
            self.groups.append(_phrase(item.before))
            self._item = _Item()
        else:
            if character != "@":
                self.complain("a character that must be quoted")
            item.add("special", character)

    def _finish(self) -> None:
        item, self._item = self._item, _Item()
        if item.in_angle:
            self.complain("a bracket without end")
        if item.inside is None and not _has_words(item.before):
            return
        comment = _shown(" ".join(item.comments))
        if item.inside is None:
            self.mailboxes.append(Mailbox(comment, *self._address(item.before)))
            return
        name = _phrase(item.before) or _phrase(item.after) or comment
        address, text = self._address(item.inside)
        if _has_words(item.after):
            self.complain("text behind the address")
            self.claimed += addresses_in("".join([text for _, text in item.after]))
        if any(kind == "special" for kind, _ in item.before):
            self._judge_unquoted(item.before, address)
        self.mailboxes.append(Mailbox(name, address, text))

    def _judge_unquoted(self, before: list[tuple[str, str]], address: Address | None) -> None:
        """`ann@a.test <ann@a.test>` is common and says one thing; another address there says two."""
        domains = set(addresses_in("".join(text for _, text in before)))
        if address is None or domains != {address.domain}:
            self.complain("an address where the name should be")

    def _address(self, tokens: list[tuple[str, str]]) -> tuple[Address | None, str]:
        core = _stripped(tokens)
        if any(kind in ("blank", "comment") for kind, _ in core):
            self.complain("a blank or comment inside the address")
        text = "".join(text for kind, text in core if kind != "blank")
        if text.startswith("@") and (route := _ROUTE.match(text)):
            self.complain("a source route")
            text = text[route.end() :]
        if not text:
            self.complain("an empty address")
            return None, ""
        try:
            return parse_mailbox(text), ""
        except PeerFault as fault:
            self.complain(f"not an address: {fault.reason}")
            self.claimed += addresses_in(_shown(text))
            return None, text


def _has_words(tokens: list[tuple[str, str]]) -> bool:
    return any(kind not in ("blank", "comment") for kind, _ in tokens)


def _stripped(tokens: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without blanks and comments at either end."""
    first, last = 0, len(tokens)
    while first < last and tokens[first][0] in ("blank", "comment"):
        first += 1
    while last > first and tokens[last - 1][0] in ("blank", "comment"):
        last -= 1
    return tokens[first:last]


def _phrase(tokens: list[tuple[str, str]]) -> str:
    """The words of a display name as a person sees them: dequoted, encoded words decoded."""
    parts = []
    for kind, text in _stripped(tokens):
        parts.append(
            _QUOTED_PAIR.sub(r"\1", text[1:-1]) if kind == "quoted" else " " if kind == "blank" else text
        )
    return _shown("".join(parts))


def _shown(text: str) -> str:
    return text_of(text.encode("utf-8", "surrogateescape"), NAME_LIMIT_CHARS) if text else ""
