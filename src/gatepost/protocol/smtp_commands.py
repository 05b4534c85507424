"""One command line at a time: where it ends, which verb it has, what its argument means."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from gatepost.model.envelope import Recipient
from gatepost.model.fault import PeerFault
from gatepost.model.reply import Reply
from gatepost.protocol import refusals
from gatepost.protocol.addresses import parse_recipient, parse_sender, split_path
from gatepost.protocol.esmtp_parameters import (
    NO_PARAMETERS,
    Parameters,
    auth_of,
    body_of,
    check_mail_parameters,
    check_rcpt_parameters,
    envid_of,
    flag_of,
    notify_of,
    orcpt_of,
    ret_of,
    size_of,
    split_parameters,
)
from gatepost.protocol.events import Auth, Hello, Mail, Offer, Rcpt, Verb

HELLO_LIMIT_BYTES: Final = 255  # RFC 5321 §4.5.3.1.2: a domain
CHUNK_SIZE_LIMIT_BYTES: Final = 2**63 - 1

_VERBS: Final = {verb.name: verb for verb in Verb if verb not in (Verb.DOT, Verb.LAST)}
_BDAT: Final = Verb.BDAT
_UTF8_VERBS: Final = frozenset({"MAIL", "RCPT", "VRFY", "EXPN"})

# One octet is looked for as a number: as bytes it costs ten times as much.
_NUL: Final = 0
_LF: Final = 10
_CR: Final = 13
# What is never part of a whole line; and of a line that is not complete yet (its CR may be half of CR LF).
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_STRAY: Final = re.compile(rb"[\n\0]|\r(?!\Z)")
_BINARY_START: Final = re.compile(rb"[\x01-\x08\x0e-\x1f]")  # TLS, RDP, SOCKS

# Other protocols on our port (threats C15-C17, Q01): a browser or a probe must not get an answer it can use.
_WEB_VERBS: Final = ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE", "PRI")
_CALL_VERBS: Final = ("INVITE", "REGISTER", "SUBSCRIBE", "DESCRIBE", "SETUP")  # SIP, RTSP
_CACHE_VERBS: Final = ("STATS", "SET", "GETS", "VERSION")  # memcached
_FOREIGN_VERBS: Final = frozenset((*_WEB_VERBS, *_CALL_VERBS, *_CACHE_VERBS, "PROXY"))
_FOREIGN_START: Final = re.compile(r"SSH-|[*$]\d|[A-Za-z][A-Za-z0-9-]*:")
_OBSOLETE_VERBS: Final = frozenset(("ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML", "WIZ", "DEBUG"))
_TRUSTED_VERBS: Final = frozenset(("XFORWARD", "XSHADOW", "X-ANONYMOUSTLS", "XEXCH50", "X-EXPS"))

_MOST_SAY: Final = frozenset({"SIZE", "BODY"})
"""The parameters most clients send with MAIL, and no others."""
_CHUNK: Final = re.compile(r"([0-9]{1,19})( LAST)?", re.IGNORECASE | re.ASCII)
_MECHANISM: Final = re.compile(r"([A-Za-z0-9_-]{1,20})(?: ([^ ]+))?")


class Command(Struct, frozen=True, gc=False):
    """A line that has a verb of ours; the argument without blanks at its end, except BDAT's."""

    verb: Verb
    argument: str


_LINES: Final = {
    verb.name.encode(): Command(verb, "")
    for verb in (Verb.DATA, Verb.RSET, Verb.QUIT, Verb.NOOP, Verb.STARTTLS)
}
"""Lines that are the same in every session: nothing to take apart."""


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """What BDAT announces (RFC 3030 §2)."""

    size_bytes: int
    is_last: bool


def cut_line(
    buffer: bytes, at: int, limit_bytes: int, too_long: Reply = refusals.LINE_TOO_LONG
) -> bytes | None:
    """The line that begins at `at`, without CR LF; None when its end has not come yet.

    limit_bytes: with CR LF. Raises BrokenFraming for a longer line, for a bare CR or LF
    or a NUL (threats A14, A15, B01-B03), and for bytes that are not text at all (C17).
    Each is told as soon as it can be known: such a client may never send CR LF.
    """
    if buffer[at : at + 1] < b" " and _BINARY_START.match(buffer, at):
        raise refusals.BrokenFraming(refusals.NOT_TEXT, "binary data instead of a command")
    end = buffer.find(b"\r\n", at, at + limit_bytes)
    if end >= 0:
        line = buffer[at:end]
        if _LF in line or _CR in line or _NUL in line:
            raise refusals.BrokenFraming(refusals.BARE_IN_COMMAND, "bare CR, LF or NUL in a command")
        return line
    if _STRAY.search(buffer, at, at + limit_bytes):
        raise refusals.BrokenFraming(refusals.BARE_IN_COMMAND, "bare CR, LF or NUL in a command")
    if len(buffer) - at >= limit_bytes:
        raise refusals.BrokenFraming(too_long, "a line above the limit")
    return None


def read_command(line: bytes) -> Command:
    """The verb and its argument. Raises PeerFault when it has no verb of ours; see _unknown."""
    if (known := _LINES.get(line)) is not None:
        return known
    text = _decode(line)
    word, _, argument = text.partition(" ")
    verb = _VERBS.get(word.upper())
    if verb is None:
        raise _unknown(word)
    if not text.isprintable() and _CONTROL.search(line):
        raise PeerFault(refusals.CONTROL_IN_COMMAND, "control character in a command")
    if not line.isascii():
        _refuse_eight_bit(verb, argument)
    return Command(verb, argument if verb is _BDAT else argument.rstrip(" "))


def read_hello(command: Command) -> Hello:
    """EHLO and HELO. Raises PeerFault (501) for a name that is missing or too long."""
    if not 0 < len(command.argument) <= HELLO_LIMIT_BYTES:
        raise PeerFault(refusals.HELLO_SYNTAX, "EHLO without a name, or a name too long")
    return Hello(command.verb, command.argument)


def read_mail(argument: str, offer: Offer, *, tls: bool) -> Mail:
    """MAIL FROM:<path> and parameters (RFC 5321 §4.1.1.2). Raises PeerFault."""
    path, given = _path_and_parameters(argument, "FROM:", refusals.MAIL_SYNTAX, offer)
    if not given:
        return Mail(sender=parse_sender(path, utf8=False))
    check_mail_parameters(given, offer, tls=tls)
    smtputf8 = flag_of(given, "SMTPUTF8")
    sender, size_bytes = parse_sender(path, utf8=smtputf8), size_of(given, offer)
    if _MOST_SAY.issuperset(given):
        return Mail(sender=sender, size_declared=size_bytes, body=body_of(given, offer))
    return Mail(
        sender=sender,
        size_declared=size_bytes,
        body=body_of(given, offer),
        smtputf8=smtputf8,
        require_tls=flag_of(given, "REQUIRETLS"),
        ret=ret_of(given),
        envid=envid_of(given),
        auth=auth_of(given),
    )


def read_rcpt(argument: str, offer: Offer, *, utf8: bool) -> Rcpt:
    """RCPT TO:<path> and parameters (RFC 5321 §4.1.1.3). utf8: MAIL had SMTPUTF8. Raises PeerFault."""
    path, given = _path_and_parameters(argument, "TO:", refusals.RCPT_SYNTAX, offer)
    if not given:
        return Rcpt(Recipient(address=parse_recipient(path, utf8=utf8)))
    check_rcpt_parameters(given, offer)
    return Rcpt(
        Recipient(
            address=parse_recipient(path, utf8=utf8),
            notify=notify_of(given),
            orcpt=orcpt_of(given, utf8=utf8),
        )
    )


def read_chunk_size(argument: str) -> ChunkSize:
    """BDAT size [LAST]. Raises BrokenFraming: without the size nobody knows where commands go on (C08)."""
    match = _CHUNK.fullmatch(argument)
    if match is None or int(match[1]) > CHUNK_SIZE_LIMIT_BYTES:
        raise refusals.BrokenFraming(refusals.CHUNK_SIZE_INVALID, "BDAT without a size")
    return ChunkSize(int(match[1]), match[2] is not None)


def read_auth(argument: str, offer: Offer) -> Auth:
    """AUTH mechanism [initial response] (RFC 4954 §4). Raises PeerFault: 501, 504."""
    match = _MECHANISM.fullmatch(argument)
    if match is None:
        raise PeerFault(refusals.AUTH_SYNTAX, "AUTH without a mechanism")
    mechanism, initial = match[1].upper(), match[2]
    if mechanism not in offer.auth:
        raise PeerFault(refusals.AUTH_MECHANISM_UNKNOWN, "a mechanism that was not offered")
    if initial is None:
        return Auth(mechanism, None)
    return Auth(mechanism, b"" if initial == "=" else _base64(initial.encode()))


def read_auth_response(line: bytes) -> bytes:
    """A line that answers a 334 challenge. Raises PeerFault: 501 for a cancel (*) and for bad base64."""
    if line == b"*":
        raise PeerFault(refusals.AUTH_CANCELLED, "AUTH cancelled by the client")
    return _base64(line)


def _path_and_parameters(argument: str, word: str, syntax: Reply, offer: Offer) -> tuple[str, Parameters]:
    if argument[: len(word)].upper() != word:
        raise PeerFault(syntax, "the word behind the verb is missing")
    text = argument[len(word) :]
    if offer.blank_after_colon:
        text = text.lstrip(" ")
    path, rest = split_path(text, syntax)
    return path, split_parameters(rest) if rest else NO_PARAMETERS


def _base64(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise PeerFault(refusals.AUTH_NOT_BASE64, "AUTH response that is not base64") from error


def _decode(line: bytes) -> str:
    if line.isascii():
        return line.decode("ascii")
    word = line.partition(b" ")[0].decode("latin-1").upper()
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        reply = refusals.ADDRESS_NOT_UTF8 if word in _UTF8_VERBS else refusals.EIGHT_BIT_IN_COMMAND
        raise PeerFault(reply, "a command that is not UTF-8") from error


def _refuse_eight_bit(verb: Verb, argument: str) -> None:
    """Beyond ASCII only addresses may be, and those of VRFY and EXPN must say SMTPUTF8 (RFC 6531 §3.7.4.2)."""
    if verb in (Verb.MAIL, Verb.RCPT):
        return
    if verb not in (Verb.VRFY, Verb.EXPN):
        raise PeerFault(refusals.EIGHT_BIT_IN_COMMAND, "8-bit character in a command")
    if not argument.upper().endswith(" SMTPUTF8"):
        raise PeerFault(refusals.ADDRESS_NEEDS_SMTPUTF8, "non-ASCII address without SMTPUTF8")


def _unknown(word: str) -> PeerFault:
    """What is to be said to a first word that is no verb of ours (threats B07, B30, B31, C15)."""
    folded = word.upper()
    if folded in _FOREIGN_VERBS or _FOREIGN_START.match(word):
        return refusals.BrokenFraming(
            refusals.NOT_SMTP, "another protocol or a header line instead of a command"
        )
    if folded in _OBSOLETE_VERBS:
        return PeerFault(refusals.NOT_IMPLEMENTED, "a command we do not implement")
    if folded in _TRUSTED_VERBS:
        return PeerFault(refusals.NOT_PERMITTED, "a command for trusted peers only")
    return PeerFault(refusals.UNKNOWN_COMMAND, "an unknown command")
