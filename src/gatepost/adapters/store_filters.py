"""What a search for mails or records means: texts whole or with * as wildcard, ASCII case ignored."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gatepost.model.queued import QueuedMail, QueuedRecipient, StoredRecord
from gatepost.ports.store import SEARCH_LIMIT_CHARACTERS, MailFilter, RecordFilter
from gatepost.protocol.addresses import searched_address

_FOLD: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def matches(text: str, pattern: str) -> bool:
    """Linear in the text for each part of the pattern: the parts between stars are sought from left to right."""
    text, pattern = text.translate(_FOLD), pattern.translate(_FOLD)
    if "*" not in pattern:
        return text == pattern
    first, *middle, last = pattern.split("*")
    if not text.startswith(first) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return text.endswith(last)


def sender_text(pattern: str) -> str:
    """A sender as an administrator writes it: "<>" is the null sender, which is stored as ""."""
    return "" if pattern == "<>" else address_text(pattern)


@lru_cache(maxsize=64)  # one search asks for it once a mail
def address_text(pattern: str) -> str:
    """An address, a domain or a part of one as an administrator writes it; domains are stored as A-labels."""
    return searched_address(pattern)


def like(pattern: str) -> str:
    """The same pattern for SQL LIKE with ESCAPE '~'. Raises ValueError when it is too long."""
    if len(pattern) > SEARCH_LIMIT_CHARACTERS:
        raise ValueError(f"a search text has at most {SEARCH_LIMIT_CHARACTERS} characters")
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    for special in "~%_":
        pattern = pattern.replace(special, "~" + special)
    return pattern.replace("*", "%")


def mail_matches(mail: QueuedMail, wanted: MailFilter) -> bool:
    """Every condition about the mail holds, and one recipient fulfils every condition about recipients."""
    return (
        (wanted.mail_id is None or mail.mail_id == wanted.mail_id)
        and (wanted.sender is None or matches(str(mail.sender), sender_text(wanted.sender)))
        and (wanted.older_than_at is None or mail.received_at < wanted.older_than_at)
        and (not wanted.source or matches(mail.source, wanted.source))
        and (not wanted.client_ip or matches(mail.client_ip, wanted.client_ip))
        and any(_recipient_matches(r, wanted) for r in mail.recipients)
    )


def _recipient_matches(recipient: QueuedRecipient, wanted: MailFilter) -> bool:
    return (
        (not wanted.next_hop or matches(recipient.next_hop, address_text(wanted.next_hop)))
        and (
            not wanted.recipient or matches(str(recipient.recipient.address), address_text(wanted.recipient))
        )
        and (wanted.state is None or recipient.state is wanted.state)
    )


def _any_matches(recipients: str, pattern: str) -> bool:
    wanted = address_text(pattern)
    return any(matches(one, wanted) for one in recipients.split(";"))


def record_matches(record: StoredRecord, wanted: RecordFilter) -> bool:
    """Every condition holds; `recipient` for one of the record's recipients."""
    return (
        record.kind == wanted.kind
        and (wanted.since_at is None or record.at >= wanted.since_at)
        and (wanted.until_at is None or record.at < wanted.until_at)
        and (wanted.mail_id is None or record.mail_id == wanted.mail_id)
        and (not wanted.event or matches(record.event, wanted.event))
        and (wanted.sender is None or matches(record.sender, sender_text(wanted.sender)))
        and (not wanted.recipient or _any_matches(record.recipients, wanted.recipient))
        and (not wanted.message_id or matches(record.message_id, wanted.message_id))
    )
