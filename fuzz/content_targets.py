"""Readers of what people and servers write: address fields, words of fields, answers by HTTP."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

from fuzz.oracles import cuts, holds
from fuzz.sender_targets import SEPARATOR
from gatepost.message.leaves import LIMITS, PARTS_LIMIT, Leaf, leaves
from gatepost.message.walk import walk
from gatepost.message.words import text_of
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.protocol.addresses import parse_mailbox
from gatepost.protocol.http_client import ETAG_LIMIT_BYTES, HttpAnswer, HttpExchange
from gatepost.standards.mailboxes import MAILBOXES_LIMIT, NAME_LIMIT_CHARS, addresses_in, read_mailboxes

_PLAIN_BOUNDARY: Final = b"=_a boundary of our own that nobody guesses_="
_BODY_LIMIT_BYTES: Final = 1000


def mailboxes(data: bytes) -> None:
    """Any bytes are read; a field without a problem says the same when it is written again in the plainest way."""
    found = read_mailboxes(data)
    holds(len(found.mailboxes) <= MAILBOXES_LIMIT, "more addresses than the limit")
    for mailbox in found.mailboxes:
        holds(mailbox.name.isprintable() and len(mailbox.name) <= NAME_LIMIT_CHARS, "a name not to be shown")
        if mailbox.address is not None:
            try:
                again = parse_mailbox(str(mailbox.address))
            except PeerFault as fault:
                raise AssertionError(f"{mailbox.address} is no address") from fault
            holds(again == mailbox.address, f"{mailbox.address} is read otherwise again")
    addresses = [mailbox.address for mailbox in found.mailboxes]
    if not found.problem and len(str(addresses)) < 8000:
        plain = ", ".join(f"<{address}>" for address in addresses)
        written = read_mailboxes(plain.encode("utf-8", "surrogateescape"))
        holds([one.address for one in written.mailboxes] == addresses, f"{plain!r} is read otherwise")
    for limit in (10, 100):
        text = text_of(data, limit)
        holds(len(text) <= limit and text.isprintable(), "text not to be shown")
        holds(len(addresses_in(text)) <= 10, "more domains than the limit")


def mime_walk(data: bytes) -> None:
    """Any bytes are a mail; leaves are within the limits, and are found again in a multipart that holds them."""
    found = list(leaves(data))
    holds(len(found) <= PARTS_LIMIT, "more parts than the limit")
    at = 0
    own = len([*walk(data, LIMITS).leaves])  # behind them those of mails that were attached encoded
    for number, leaf in enumerate(found):
        holds(leaf.media_type == leaf.media_type.lower(), "a type not in its one form")
        if number < own:
            at = data.find(leaf.encoded, at)
            holds(at >= 0, "a part that is not in the mail, or not in its order")
        holds(len(leaf.decoded()) <= len(leaf.encoded) + 2, "a part that grows when it is decoded")
    if len(found) > PARTS_LIMIT // 2:
        return
    head = b'Content-Type: multipart/mixed; boundary="' + _PLAIN_BOUNDARY + b'"\r\n\r\n'
    parts = (b"\r\n".join((b"--" + _PLAIN_BOUNDARY, _written(leaf))) for leaf in found)
    whole = head + b"\r\n".join((*parts, b"--" + _PLAIN_BOUNDARY + b"--\r\n"))
    again = [(leaf.media_type, leaf.decoded()) for leaf in leaves(whole)]
    holds(
        again == [("application/octet-stream", leaf.decoded()) for leaf in found],
        "other parts when written again",
    )


def _written(leaf: Leaf) -> bytes:
    head = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + base64.b64encode(leaf.decoded())


def http_answers(data: bytes) -> None:
    """The same answer however the bytes are cut, within its limits, or WorldFault."""
    whole = _answer((data, b""))
    for pieces in cuts(data) if len(data) < 300 else ():
        holds(_answer((*pieces, b"")) == whole, "another answer when cut otherwise")


def _answer(pieces: tuple[bytes, ...]) -> HttpAnswer | None:
    exchange = HttpExchange("GET", "/", (("Host", "a.example"),), b"", body_limit_bytes=_BODY_LIMIT_BYTES)
    try:
        for piece in pieces:
            answer = exchange.receive(piece)
            if answer is not None:
                holds(200 <= answer.status <= 999, f"a status of {answer.status}")
                holds(len(answer.body) <= _BODY_LIMIT_BYTES, "a body beyond its limit")
                holds(answer.etag.isascii() and len(answer.etag) <= ETAG_LIMIT_BYTES, "an etag that is none")
                return answer
    except WorldFault:
        return None
    return None


TARGETS: Final[tuple[tuple[str, Callable[[bytes], None], tuple[bytes, ...]], ...]] = (
    (
        "mime-walk",
        mime_walk,
        (
            b"Content-Type: multipart/mixed; boundary=x\r\n",
            b"Content-Type: message/rfc822\r\n",
            b'; boundary="x y"',
            b"\r\n--x\r\n",
            b"\r\n--x--\r\n",
            b"\n--x \n",
            b"\r\n\r\n",
            b"Content-Transfer-Encoding: base64\r\n",
            b"Content-Transfer-Encoding: quoted-printable\r\n",
            b"=41=\r\n",
            b"QUJD",
            b"--",
        ),
    ),
    (
        "mailboxes",
        mailboxes,
        (
            b"<",
            b">",
            b", ",
            b'"',
            b"(",
            b")",
            b"\\",
            b"a@b.example",
            b"group: ",
            b";",
            b"=?utf-8?B?YQ==?=",
            b"@x:",
            b"\r\n ",
            b"[192.0.2.1]",
            "\u202e".encode(),
        ),
    ),
    (
        "http-answers",
        http_answers,
        (
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"Content-Encoding: gzip\r\n",
            b"ETag: x\r\n",
            b"Content-Type: text/plain; a=b\r\n",
            SEPARATOR,
        ),
    ),
)
