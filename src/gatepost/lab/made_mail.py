"""Messages for a play: made, signed, changed on the way and sealed, as real senders and forwarders do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import cache
from typing import Final, Literal

from gatepost.control.dkim_keys import checked_name, private_key
from gatepost.control.scenario import Hop, Key, Mail
from gatepost.message.headers import name_of, raw_fields, split
from gatepost.standards.arc import BrokenChain, read_sets
from gatepost.standards.arc_seal import sealed_set
from gatepost.standards.dkim_canon import BodyHash, BodyHasher, BodyWish, SignedFields
from gatepost.standards.dkim_sign import PrivateKey, SigningKey, dkim_signature, names_to_sign
from gatepost.standards.dkim_signature import fields_of

RSA_BITS: Final = 2048
_WHOLE: Final = BodyWish(relaxed=True)
_SIGNED: Final = (b"from", b"sender", b"to", b"subject", b"date", b"message-id")
_SEALED: Final = (*_SIGNED, b"dkim-signature")
_OVERSIGNED: Final = frozenset({b"from"})
_FOOTER: Final = b"\r\n_______________\r\nPassed on by "


@dataclass(slots=True)
class KeyRing:
    """The keys of one play: one for each domain, selector and kind."""

    keys: dict[tuple[str, str, str], SigningKey]

    @classmethod
    def of(cls, wanted: Sequence[Key]) -> KeyRing:
        """Made now. Raises ValueError for what is no domain or selector."""
        keys: dict[tuple[str, str, str], SigningKey] = {}
        for key in wanted:
            name = (key.domain, key.selector, key.key)
            if name not in keys:
                keys[name] = SigningKey(
                    checked_name(key.domain, "the domain"),
                    checked_name(key.selector, "the selector"),
                    _pair(key.key),
                )
        return cls(keys)

    def find(self, key: Key) -> SigningKey:
        """Raises KeyError for one nobody wanted."""
        return self.keys[key.domain, key.selector, key.key]


@cache
def _pair(kind: Literal["rsa", "ed25519"]) -> PrivateKey:
    """One serves all domains of a play: what is proven depends on where it is published."""
    return private_key(kind, RSA_BITS)


def made_message(mail: Mail, now: float) -> bytes:
    """The message of a scenario that has no file."""
    author = mail.author if mail.author is not None else f"<{mail.sender or 'mailer-daemon@' + mail.helo}>"
    own = [line.partition(":") for line in mail.headers]
    replaced = {name.strip().lower() for name, _, _ in own}
    fields = {
        "From": author,
        "To": ", ".join(f"<{recipient}>" for recipient in mail.recipients),
        "Subject": mail.subject,
        "Date": formatdate(now),
        "Message-ID": f"<{int(now)}.play@{mail.helo}>",
    }
    lines = [f"{name}: {value}" for name, value in fields.items() if name.lower() not in replaced]
    lines += [f"{name.strip()}: {value.strip()}" for name, _, value in own]
    return with_crlf("\n".join([*lines, "", mail.body]).encode())


def with_crlf(message: bytes) -> bytes:
    """A file of this machine as SMTP wants it: every line ends in CR LF."""
    if b"\r\n" not in message:
        message = message.replace(b"\n", b"\r\n")
    return message if message.endswith(b"\r\n") else message + b"\r\n"


def signed(message: bytes, keys: Sequence[SigningKey], now: float) -> bytes:
    """With a DKIM signature of each key on top, all over the message as it is."""
    head, body = split(message)
    fields = SignedFields(fields_of(head))
    names = names_to_sign(fields, _SIGNED, _OVERSIGNED)
    digest = _digest(body)
    made = [dkim_signature(key, fields, digest, names=names, at=int(now)) for key in keys]
    return b"".join((*made, message))


def changed(message: bytes, hop: Hop) -> bytes:
    """As the hop passes it on: what it changes breaks the signatures that cover it."""
    head, body = split(message)
    fields = raw_fields(head)
    if "subject" in hop.changes:
        fields = [_tagged(raw, hop.helo) if name_of(raw) == b"subject" else raw for raw in fields]
    if "from" in hop.changes:
        old = next((raw.partition(b":")[2] for raw in fields if name_of(raw) == b"from"), b"\r\n")
        fields = [raw for raw in fields if name_of(raw) not in (b"from", b"reply-to")]
        fields += [b"From: " + hop.author.encode() + b"\r\n", b"Reply-To:" + old]
    if "footer" in hop.changes:
        body += _FOOTER + hop.helo.encode() + b"\r\n"
    return b"".join(fields) + b"\r\n" + body


def _tagged(raw: bytes, helo: str) -> bytes:
    return b"Subject: [" + helo.partition(".")[0].encode() + b"]" + raw.partition(b":")[2]


def sealed(message: bytes, key: SigningKey, results: str, now: float) -> tuple[bytes, str]:
    """With one ARC set more on top, and "" or why there is none. results: as in Authentication-Results."""
    head, body = split(message)
    raw = fields_of(head)
    try:
        chain = read_sets(raw)
    except BrokenChain as broken:
        return message, f"the chain it came with cannot be read: {broken}"
    fields = SignedFields(raw)
    names = names_to_sign(fields, _SEALED, frozenset())
    made = sealed_set(key, chain, fields, _digest(body), results=results, names=names, at=int(now))
    if not made:
        return message, "the chain is over, or nothing is known of it (arc= is missing in the results)"
    return made + message, ""


def key_records(ring: KeyRing, wanted: Sequence[Key]) -> Mapping[str, str]:
    """What is published: name to the data of its TXT record."""
    published: dict[str, str] = {}
    for key in wanted:
        if key.publish:
            made = ring.find(key)
            text = made.record
            published[made.name] = " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))
    return published


def _digest(body: bytes) -> BodyHash:
    hasher = BodyHasher([_WHOLE])
    hasher.feed(body)
    return hasher.finish()[_WHOLE]
