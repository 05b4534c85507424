"""The readers of strangers' bytes, each with what must hold whatever the bytes are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fuzz import content_targets, more_targets, peer_targets, reference, sender_targets, structure_targets
from fuzz.oracles import cuts, holds
from gatepost.message import headers
from gatepost.message.firewall import firewalled
from gatepost.message.headers import HeaderIndex
from gatepost.message.words import text_of
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.session import Rights
from gatepost.protocol.addresses import parse_mailbox, parse_recipient, parse_sender, split_path
from gatepost.protocol.data import ContentMeter, DataFramer
from gatepost.protocol.events import Offer, Verb
from gatepost.protocol.proxy import read_proxy_header
from gatepost.protocol.refusals import RECIPIENT_INVALID, BrokenFraming
from gatepost.protocol.replies import ReplyReader
from gatepost.protocol.smtp_commands import (
    cut_line,
    read_auth,
    read_auth_response,
    read_chunk_size,
    read_command,
    read_hello,
    read_mail,
    read_rcpt,
)
from gatepost.protocol.xclient import read_xclient

CORPUS: Final = Path(__file__).parent / "corpus"
_OFFER: Final = Offer(
    hostname="ours.example",
    size_bytes=100_000,
    starttls=True,
    auth=("PLAIN", "LOGIN"),
    require_tls=True,
    xclient=("ADDR", "PORT", "NAME", "HELO", "LOGIN", "PROTO", "DESTADDR", "DESTPORT"),
)
_PLAIN_OFFER: Final = replace(_OFFER, smtputf8=False, dsn=False, auth=())


@dataclass(frozen=True, slots=True)
class Target:
    """One reader. run raises only when something that must hold does not."""

    name: str
    run: Callable[[bytes], None]
    words: tuple[bytes, ...]
    """Words of the format, for the mutator."""

    def seeds(self) -> tuple[bytes, ...]:
        """The corpus in the repository."""
        return tuple(path.read_bytes() for path in sorted((CORPUS / self.name).glob("*")))


def commands(data: bytes) -> None:
    """Every line is a command or a PeerFault; what was read stands in the line."""
    try:
        line = cut_line(data, 0, 2048)
        if line is None:
            return
        command = read_command(line)
    except PeerFault:
        return
    holds(command.verb.name.encode() == line.split(b" ")[0].upper(), "another verb than the line's")
    for offer in (_OFFER, _PLAIN_OFFER):
        try:
            _arguments(command.verb, command.argument, offer)
        except PeerFault as fault:
            holds(fault.reply.code >= 400, "a refusal that agrees")
    if command.verb in (Verb.EHLO, Verb.HELO):
        try:
            read_hello(command)
        except PeerFault:
            return


def _arguments(verb: Verb, argument: str, offer: Offer) -> None:
    match verb:
        case Verb.MAIL:
            mail = read_mail(argument, offer, tls=True)
            holds(mail.sender.is_ascii or mail.smtputf8, "an international sender without SMTPUTF8")
        case Verb.RCPT:
            address = read_rcpt(argument, offer, utf8=True).recipient.address
            again = parse_recipient(str(address), utf8=True)
            holds(again == address, f"{address} is read again as {again}")
        case Verb.BDAT:
            holds(read_chunk_size(argument).size_bytes >= 0, "a size below zero")
        case Verb.AUTH:
            holds(read_auth(argument, offer).mechanism in offer.auth, "a mechanism nobody offered")
        case Verb.XCLIENT:
            read_xclient(argument, offer)
        case _:
            read_auth_response(argument.encode("utf-8", "replace"))


def replies(data: bytes) -> None:
    """The same replies however the bytes are cut; their text is safe to write anywhere."""
    whole = _read_replies((data,))
    for pieces in cuts(data):
        holds(_read_replies(pieces) == whole, "other replies when cut otherwise")


def _read_replies(pieces: tuple[bytes, ...]) -> list[str]:
    reader = ReplyReader()
    found = []
    try:
        for piece in pieces:
            reader.receive(piece)
            while (reply := reader.next_reply()) is not None:
                holds(200 <= reply.code <= 599, "a code no reply has")
                holds(reply.text.isprintable() and reply.text.isascii(), "text that is not safe")
                found.append(f"{reply.code} {reply.text}")
    except WorldFault:
        found.append("broken")
    return found


def framing(data: bytes) -> None:
    """What the reference says, for every way to cut. A line more makes plain what the framer still holds back."""
    more = b"more\r\n"
    expected = reference.framed(data + more)
    for pieces in ((data,), *cuts(data)):
        found = _framed((*pieces, more))
        holds(found == expected, f"{found!r}, not {expected!r}")


def _framed(pieces: tuple[bytes, ...]) -> tuple[bytes, bytes] | str | None:
    framer = DataFramer(ContentMeter(size_limit_bytes=0, line_limit_bytes=None))
    content, rest = b"", None
    try:
        for piece in pieces:
            if rest is not None:
                rest += piece
                continue
            framed = framer.feed(piece)
            content += framed.content
            rest = framed.rest
    except BrokenFraming:
        return reference.BROKEN
    return None if rest is None else (content, rest)


def header_index(data: bytes) -> None:
    """Nothing is lost or invented: the raw fields are the head, and the index has their names in order."""
    head, body = headers.split(data)
    holds(head + body == data, "the split loses octets")
    raw = headers.raw_fields(head)
    end = b"\r\n" if head.endswith(b"\r\n\r\n") or head == b"\r\n" else b""
    holds(b"".join(raw) + end == head, "the raw fields are not the head")
    index = HeaderIndex.parse(head, fields_limit=50)
    holds(len(index.fields) <= 50, "more fields than the limit")
    for name, value in index.fields:
        holds(name == name.lower() and b"\r\n" not in value, "a name or a value that is not normal")
        holds(text_of(value, 100).isprintable(), "text that is not printable")
    kept = firewalled(head, Rights.NONE, authserv_id="ours.example")
    holds(set(headers.raw_fields(kept)) <= set(raw), "the firewall wrote something")
    again = firewalled(kept, Rights.NONE, authserv_id="ours.example")
    holds(again == kept, "the firewall left something to remove")


def addresses(data: bytes) -> None:
    """An address is read again as itself."""
    text = data.decode("utf-8", "replace")
    try:
        path, _ = split_path(text, RECIPIENT_INVALID)
        sender = parse_sender(path, utf8=True)
        if sender.local or sender.domain:
            holds(parse_sender(str(sender), utf8=True) == sender, f"{sender} is read otherwise again")
    except PeerFault:
        pass
    try:
        mailbox = parse_mailbox(text)
    except PeerFault:
        return
    holds(parse_mailbox(str(mailbox)) == mailbox, f"{mailbox} is read otherwise again")
    holds(
        mailbox.domain.isascii() and mailbox.domain == mailbox.domain.lower(), "a domain not in its one form"
    )


def proxy_header(data: bytes) -> None:
    """A header is found as soon as it is whole, and bytes behind it change nothing."""
    try:
        header = read_proxy_header(data)
    except ValueError:
        for end in range(len(data)):
            try:
                holds(read_proxy_header(data[:end]) is None, "a header that more bytes make wrong")
            except ValueError:
                break
        return
    if header is not None:
        holds(0 < header.size_bytes <= len(data), "a header of more bytes than came")
        holds(read_proxy_header(data[: header.size_bytes]) == header, "another header without what follows")
        holds(read_proxy_header(data[: header.size_bytes - 1]) is None, "a header before its end")


TARGETS: Final = (
    Target(
        "commands",
        commands,
        (
            b"MAIL FROM:<",
            b"RCPT TO:<",
            b">",
            b" SIZE=",
            b" BODY=8BITMIME",
            b" ORCPT=rfc822;",
            b" NOTIFY=",
            b"AUTH PLAIN ",
            b"BDAT ",
            b" LAST",
            b"XCLIENT ADDR=",
            b"\r\n",
            b'"',
            b"\\",
            b"@",
            b"+2B",
            b"\xc3\xa9",
        ),
    ),
    Target("replies", replies, (b"250", b"250-", b"250 ", b"\r\n", b"421 4.3.2 ", b"5.1.1", b"\n", b"\xff")),
    Target("framing", framing, (b"\r\n", b".", b"\r\n.\r\n", b"\n.\n", b"\r", b"\n", b"..", b"\0", b"x")),
    Target(
        "header-index",
        header_index,
        (
            b"\r\n",
            b": ",
            b"Received: ",
            b"X-Gatepost-",
            b"Authentication-Results: ours.example;",
            b"(",
            b")",
            b"\\",
            b"\r\n ",
            b"\n",
            b"=?utf-8?Q?",
            b"?=",
            b"\0",
        ),
    ),
    Target(
        "addresses",
        addresses,
        (b"@", b"<", b">", b'"', b"\\", b".", b"[IPv6:", b"]", b"a@b", b"xn--", b"\xc3\xa9", b":", b",@"),
    ),
    Target(
        "proxy-header",
        proxy_header,
        (
            b"PROXY TCP4 ",
            b"PROXY TCP6 ",
            b"PROXY UNKNOWN",
            b"\r\n",
            b"192.0.2.1 ",
            b"\r\n\r\n\0\r\nQUIT\n",
            b"\x21\x11\0\x0c",
            b"::1 ",
            b"\x03\0\x04",
        ),
    ),
    *(
        Target(name, run, words)
        for name, run, words in (
            *more_targets.TARGETS,
            *sender_targets.TARGETS,
            *peer_targets.TARGETS,
            *content_targets.TARGETS,
            *structure_targets.TARGETS,
        )
    ),
)
BY_NAME: Final = {target.name: target for target in TARGETS}
