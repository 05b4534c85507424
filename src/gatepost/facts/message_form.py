"""Fact: the form of a mail's bytes: what strict readers and lenient ones would read differently (I7, A20, A21)."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from gatepost.facts.gathering import Gathering, Sources
from gatepost.message.headers import FIELDS_LIMIT, Defect, HeaderIndex
from gatepost.message.words import turns_writing
from gatepost.model.envelope import BodyType
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage

ONCE_ONLY: Final = (
    b"bcc",
    b"cc",
    b"content-transfer-encoding",
    b"content-type",
    b"date",
    b"from",
    b"in-reply-to",
    b"message-id",
    b"mime-version",
    b"references",
    b"reply-to",
    b"sender",
    b"subject",
    b"to",
)
"""RFC 5322 §3.6 and RFC 2045: two of these, and one reader takes the first, another the last."""


READ_BY_PEOPLE: Final = (b"from", b"subject")
FIELDS_READ: Final = 5


class MessageForm(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one pass over the header section and the framing learned of the bytes."""

    name: ClassVar[str] = "message-form"

    header_defects: tuple[str, ...] = ()
    """Names of message.headers.Defect, sorted: where the header section ends or a field begins is in doubt."""
    repeated_fields: tuple[str, ...] = ()
    """Fields that may stand once and stand more often."""
    from_fields: int = 1
    header_bytes: int = 0
    nul_in_head: bool = False
    nul_in_body: bool = False
    eight_bit_undeclared: bool = False
    """Octets above 127 in the body without BODY=8BITMIME or BINARYMIME (RFC 6152)."""
    eight_bit_head_undeclared: bool = False
    """Octets above 127 in the header section without SMTPUTF8 (RFC 6532)."""
    bare_newlines: bool = False
    longest_line_bytes: int = 0
    turned_fields: tuple[str, ...] = ()
    """Those of READ_BY_PEOPLE that turn the direction of writing by force."""


def read_message_form(mail: MailView, fields_limit: int) -> MessageForm:
    """fields_limit: header fields beyond it are not read, and `too-many-fields` is among the defects."""
    head, form = mail.head, mail.form
    # With the usual limit it is the index that every other fact has read.
    index = HeaderIndex.parse(head) if fields_limit == FIELDS_LIMIT else HeaderIndex.parse(head, fields_limit)
    is_ascii = head.isascii()
    body_type = mail.envelope.body if mail.envelope is not None else BodyType.SEVEN_BIT
    smtputf8 = mail.envelope is not None and mail.envelope.smtputf8
    nul_in_head = b"\0" in head
    repeated: tuple[str, ...] = ()
    if index.has_repeated_names:  # Received at least, once the mail has passed two hosts
        repeated = tuple(name.decode("ascii") for name in ONCE_ONLY if index.count(name) > 1)
    return MessageForm(
        header_defects=_telling(index, mail) if index.defects else (),
        repeated_fields=repeated,
        from_fields=index.count(b"from"),
        header_bytes=len(head),
        nul_in_head=nul_in_head,
        nul_in_body=form.has_nul and not nul_in_head,
        eight_bit_undeclared=form.has_8bit and body_type is BodyType.SEVEN_BIT and not smtputf8,
        eight_bit_head_undeclared=not smtputf8 and not is_ascii,
        bare_newlines=form.bare_newlines,
        longest_line_bytes=form.longest_line_bytes,
        turned_fields=() if is_ascii and b"=?" not in head else _turned(index),
    )


def _turned(index: HeaderIndex) -> tuple[str, ...]:
    """Of a head with octets above 127 or encoded words: no other can hold what turns the direction."""
    return tuple(
        name.decode("ascii")
        for name in READ_BY_PEOPLE
        if any(map(turns_writing, index.all(name)[:FIELDS_READ]))
    )


def _telling(index: HeaderIndex, mail: MailView) -> tuple[str, ...]:
    """The defects, without the missing end of a message that is nothing but its headers."""
    headers_only = mail.size_bytes <= len(mail.head)
    telling = index.defects - {Defect.NO_END} if headers_only else index.defects
    return tuple(sorted(defect.value for defect in telling))


def gatherer(sources: Sources) -> Gathering:
    """Known at the end of the data."""
    fields_limit = sources.site.header_fields
    return Gathering(
        fact=MessageForm,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_DATA,
        find=lambda mail: read_message_form(mail, fields_limit),
    )
