"""What a mail needs of a next hop against what the next hop offers: the parameters of MAIL, or why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from gatepost.model.content import Content
from gatepost.model.envelope import BodyType, Recipient
from gatepost.model.queued import QueuedMail
from gatepost.model.reply import Reply
from gatepost.protocol.smtp_client_commands import MailOptions, PeerOffers

NO_8BITMIME: Final = Reply(554, "5.6.3", "8-bit content, and the next hop does not announce 8BITMIME")
NO_BINARYMIME: Final = Reply(554, "5.6.1", "Binary content, and the next hop does not announce BINARYMIME")
NO_SMTPUTF8: Final = Reply(
    553, "5.6.7", "Internationalized mail, and the next hop does not announce SMTPUTF8"
)
NO_REQUIRETLS: Final = Reply(554, "5.7.30", "REQUIRETLS was asked for, and the next hop does not support it")
TOO_LARGE: Final = Reply(552, "5.3.4", "Message is larger than the next hop announces to take")
TEXT_LINE_LIMIT_BYTES: Final = 998  # RFC 5322 §2.1.1, without CR LF


class Needs(msgspec.Struct, frozen=True, gc=False):
    """What the mail is, whoever carries it."""

    size_bytes: int
    is_binary: bool
    """Declared so by the client."""
    is_text: bool
    """Lines as DATA carries them, whatever was declared (RFC 2045 §2.7, §2.8)."""
    has_8bit: bool
    needs_smtputf8: bool
    """Not only asked for by the client: an address or the header section is really not ASCII."""


def needs_of(mail: QueuedMail, recipients: Sequence[Recipient], content: Content) -> Needs:
    """Looked up in the content itself: what a client declared is only a promise."""
    head_is_ascii = content.head.isascii()
    body_has_8bit = content.form.has_8bit or (isinstance(content.body, bytes) and not content.body.isascii())
    form = content.form
    is_text = not (form.has_nul or form.bare_newlines or form.longest_line_bytes > TEXT_LINE_LIMIT_BYTES)
    addresses_are_ascii = mail.sender.is_ascii and all(r.address.is_ascii for r in recipients)
    return Needs(
        size_bytes=content.size_bytes,
        is_binary=mail.body_type is BodyType.BINARY_MIME,
        is_text=is_text,
        has_8bit=body_has_8bit or not head_is_ascii,
        needs_smtputf8=not addresses_are_ascii or (mail.smtputf8 and not head_is_ascii),
    )


def options_for(
    mail: QueuedMail, needs: Needs, offers: PeerOffers, when_no_8bitmime: Literal["send", "fail"]
) -> MailOptions | Reply:
    """The parameters of MAIL, or the refusal that ends the mail without sending it (RFC 5321 §2.2.2)."""
    by_bdat = needs.is_binary and offers.binary_mime and offers.chunking
    if refusal := _obstacle(mail, needs, offers, when_no_8bitmime, by_bdat=by_bdat):
        return refusal
    return MailOptions(
        size_bytes=needs.size_bytes if offers.size_bytes else None,
        body=_body(needs, offers, by_bdat=by_bdat),
        smtputf8=offers.smtputf8 and (mail.smtputf8 or needs.needs_smtputf8),
        require_tls=mail.require_tls,
        ret=mail.ret if offers.dsn else None,
        envid=mail.envid if offers.dsn else "",
    )


def _obstacle(
    mail: QueuedMail, needs: Needs, offers: PeerOffers, when_no_8bitmime: str, *, by_bdat: bool
) -> Reply | None:
    if mail.require_tls and not offers.require_tls:
        return NO_REQUIRETLS  # RFC 8689 §4.2.1
    if offers.size_bytes and needs.size_bytes > offers.size_bytes:
        return TOO_LARGE  # RFC 1870 §6.1
    if needs.is_binary and not by_bdat and not needs.is_text:
        return NO_BINARYMIME  # RFC 3030 §3
    if needs.needs_smtputf8 and not offers.smtputf8:
        return NO_SMTPUTF8  # RFC 6531 §3.6
    if needs.has_8bit and not offers.eight_bit_mime and not by_bdat and when_no_8bitmime == "fail":
        return NO_8BITMIME  # RFC 6152 §3
    return None


def _body(needs: Needs, offers: PeerOffers, *, by_bdat: bool) -> BodyType | None:
    if by_bdat:
        return BodyType.BINARY_MIME
    return BodyType.EIGHT_BIT_MIME if needs.has_8bit and offers.eight_bit_mime else None
