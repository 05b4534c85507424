"""What we say to a next hop: what it offers, and MAIL and RCPT with the parameters it understands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from gatepost.model.address import Address
from gatepost.model.envelope import BodyType, Notify, Recipient, Ret

_NOT_XCHAR: Final = re.compile(r"[^!-*,-<>-~]")
_NOT_QUCHAR: Final = re.compile(r"[^!-*,-<>-\[\]-~]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_KEYWORD: Final = re.compile(r"[A-Z0-9][A-Z0-9-]{0,63}")
_SIZE_DIGITS_LIMIT: Final = 18
_ENVID_LIMIT: Final = 100  # RFC 3461 §4.4
_ORCPT_LIMIT: Final = 500  # RFC 3461 §4.2
_NOTIFY_ORDER: Final = (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOffers:
    """The extensions a next hop announced to EHLO; nothing at all after HELO."""

    size_bytes: int = 0
    """Largest message it takes; 0: it did not say."""
    rcpt_max: int = 0
    """Most recipients of one transaction (RFC 9422); 0: it did not say."""
    pipelining: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    dsn: bool = False
    chunking: bool = False
    binary_mime: bool = False
    starttls: bool = False
    require_tls: bool = False
    auth: tuple[str, ...] = ()


def parse_offers(lines: Sequence[bytes]) -> PeerOffers:
    """The lines of the 250 to EHLO (the first is the greeting). What is not understood is not offered."""
    words: dict[str, list[str]] = {}
    for line in lines[1:]:
        # AUTH=LOGIN, without a blank, is how servers before RFC 2554 said it; some still do.
        first, *rest = line.decode("ascii", "replace").upper().replace("AUTH=", "AUTH ", 1).split() or [""]
        if _KEYWORD.fullmatch(first):
            words.setdefault(first, []).extend(rest)
    return PeerOffers(
        size_bytes=_number(words.get("SIZE", [])),
        rcpt_max=_rcpt_max(words.get("LIMITS", [])),
        pipelining="PIPELINING" in words,
        eight_bit_mime="8BITMIME" in words,
        smtputf8="SMTPUTF8" in words,
        dsn="DSN" in words,
        chunking="CHUNKING" in words,
        binary_mime="BINARYMIME" in words,
        starttls="STARTTLS" in words,
        require_tls="REQUIRETLS" in words,
        auth=tuple(words.get("AUTH", [])),
    )


class MailOptions(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Parameters of MAIL that were decided on; only offered ones may stand here."""

    size_bytes: int | None = None
    body: BodyType | None = None
    smtputf8: bool = False
    require_tls: bool = False
    ret: Ret | None = None
    envid: str = ""


def mail_command(sender: Address, options: MailOptions) -> bytes:
    """MAIL FROM with CR LF (RFC 5321 §4.1.1.2)."""
    words = [f"MAIL FROM:<{sender}>"]
    if options.size_bytes is not None:
        words.append(f"SIZE={options.size_bytes}")
    if options.body is not None:
        words.append(f"BODY={options.body.value}")
    if options.smtputf8:
        words.append("SMTPUTF8")
    if options.require_tls:
        words.append("REQUIRETLS")
    if options.ret is not None:
        words.append(f"RET={options.ret.value}")
    if options.envid and options.envid.isascii() and len(options.envid) <= _ENVID_LIMIT:
        words.append(f"ENVID={xtext(options.envid)}")
    return _line(" ".join(words))


def rcpt_command(recipient: Recipient, *, dsn: bool, smtputf8: bool) -> bytes:
    """RCPT TO with CR LF; NOTIFY and ORCPT only when the next hop knows DSN (RFC 3461 §4)."""
    words = [f"RCPT TO:<{recipient.address}>"]
    if dsn and recipient.notify:
        words.append(f"NOTIFY={_notify(recipient.notify)}")
    if dsn and recipient.orcpt and (orcpt := _orcpt(recipient.orcpt, smtputf8=smtputf8)):
        words.append(f"ORCPT={orcpt}")
    return _line(" ".join(words))


def xtext(text: str) -> str:
    """Printable ASCII as xtext (RFC 3461 §4); everything else, + and = as +HH."""
    return _NOT_XCHAR.sub(lambda m: f"+{ord(m[0]):02X}", text)


def _line(text: str) -> bytes:
    # The values cannot hold control characters (model.Address, xtext); if a bug let one
    # through, this line must not become two commands.
    if _CONTROL.search(text):
        raise ValueError("a command is one line")
    return text.encode() + b"\r\n"


def _notify(notify: Notify) -> str:
    if Notify.NEVER in notify:
        return "NEVER"
    return ",".join(str(n.name) for n in _NOTIFY_ORDER if n in notify)


def _orcpt(orcpt: str, *, smtputf8: bool) -> str:
    kind, _, address = orcpt.partition(";")
    if not _KEYWORD.fullmatch(kind.upper()) or len(orcpt) > _ORCPT_LIMIT:
        return ""
    if address.isascii():
        return f"{kind};{xtext(address)}"
    # RFC 6533 §3: utf-8-addr-xtext is ASCII, but only SMTPUTF8 hops know the type.
    return f"{kind};{_utf8_addr_xtext(address)}" if smtputf8 else ""


def _utf8_addr_xtext(address: str) -> str:
    return _NOT_QUCHAR.sub(lambda m: "\\x{" + f"{ord(m[0]):02X}" + "}", address)


def _number(words: Sequence[str]) -> int:
    digits = words[0] if words else ""
    return int(digits) if digits.isdecimal() and digits.isascii() and len(digits) <= _SIZE_DIGITS_LIMIT else 0


def _rcpt_max(words: Sequence[str]) -> int:
    return next((_number([w[8:]]) for w in words if w.startswith("RCPTMAX=")), 0)
