"""What a notice says to people: plain sentences, what happened and what to do. Long because it is a table."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gatepost.message.dsn import Outcome, ReportedRecipient, clean_diagnostic, status_of
from gatepost.message.headers import HeaderIndex
from gatepost.message.words import printable

_SHOWN_RECIPIENTS_LIMIT: Final = 100
_ADDRESS_LIMIT_CHARS: Final = 320
_SUBJECT_LIMIT_CHARS: Final = 200
_LANGUAGES_LIMIT: Final = 20
_LANGUAGES_LIMIT_BYTES: Final = 1000

SUBJECTS: Final = {
    Outcome.FAILED: "Your mail was not delivered",
    Outcome.DELAYED: "Your mail is not delivered yet",
    Outcome.DELIVERED: "Your mail was delivered",
    Outcome.RELAYED: "Your mail was handed on",
}
_OPENINGS: Final = {
    Outcome.FAILED: "Your mail could not be delivered to:",
    Outcome.DELAYED: "Your mail could not be delivered yet to the following. You need not do anything: we keep trying.",
    Outcome.DELIVERED: "Your mail was delivered to:",
    Outcome.RELAYED: (
        "Your mail was handed on to a mail system that sends no notices of delivery. You may hear no more of it:"
    ),
}
_CLOSINGS: Final = {
    Outcome.FAILED: "We have given up on the recipients above. Others, if there were any, are not concerned.",
    Outcome.DELAYED: "You will hear from us again if we have to give up.",
    Outcome.DELIVERED: "",
    Outcome.RELAYED: "",
}
# By enhanced code without its class (RFC 3463): the last two numbers, else the middle one.
_REASONS: Final = {
    "1.1": "There is no such mailbox. Please check the part before the @.",
    "1.2": "There is no such domain. Please check the part behind the @.",
    "1.3": "The address is not written as an address must be.",
    "1.6": "The mailbox has moved and left no new address.",
    "1.10": "The domain takes no mail at all.",
    "2.1": "The mailbox is closed.",
    "2.2": "The mailbox is full. Please try again later.",
    "2.3": "The mail is too large for the mailbox.",
    "3.4": "The mail is too large for the recipient's mail system.",
    "4.1": "The recipient's mail system did not answer.",
    "4.4": "No mail system could be found for the recipient's domain.",
    "4.6": "The mail went in a circle. The recipient's mail system is set up wrongly.",
    "4.7": "The recipient's mail system could not be reached for so long that we gave up.",
    "6.3": "The recipient's mail system cannot take this form of mail.",
    "6.7": "The recipient's mail system cannot take addresses with letters beyond ASCII.",
    "7.1": "The recipient's mail system refused the mail by its rules.",
    "7.30": "The mail asked for a protected connection that the recipient's mail system does not offer.",
    "1": "Something is wrong with the address.",
    "2": "The mailbox cannot take the mail.",
    "3": "The recipient's mail system cannot take the mail.",
    "4": "The recipient's mail system could not be reached.",
    "5": "The two mail systems did not understand each other.",
    "6": "The recipient's mail system cannot take the form or content of the mail.",
    "7": "The recipient's mail system refused the mail by its rules.",
}
_UNKNOWN_REASON: Final = "The recipient's mail system did not say why in a way we understand."
_CODE: Final = re.compile(r"[245]\.([0-9]+)\.([0-9]+)")


BUILT_IN: Final[Mapping[str, str]] = MappingProxyType({})
"""No words of the administrator's own."""


def reason_in_words(status: str, own_texts: Mapping[str, str] = BUILT_IN) -> str:
    """One or two sentences for an enhanced status code such as "5.1.1".

    own_texts: the administrator's, by code; "5.1" and "5" stand for all codes below them.
    """
    own = own_texts.get(status) or own_texts.get(status.rpartition(".")[0]) or own_texts.get(status[:1])
    if own:
        return own
    match = _CODE.fullmatch(status)
    if match is None:
        return _UNKNOWN_REASON
    return _REASONS.get(f"{match[1]}.{match[2]}") or _REASONS.get(match[1], _UNKNOWN_REASON)


def text_for_people(
    recipients: Sequence[ReportedRecipient],
    *,
    hostname: str,
    subject: str,
    footer: str,
    mail_id: str,
    own_texts: Mapping[str, str] = BUILT_IN,
) -> str:
    """The notice's human part, lines separated by LF.

    subject: the mail's, peer's text, cleaned here.  own_texts: by enhanced code, and by outcome the opening.
    """
    outcome = recipients[0].outcome
    opening = own_texts.get(outcome.value) or _OPENINGS[outcome]
    lines = [f"This is the mail system {hostname}.", "", printable_lines(opening), ""]
    for recipient in recipients[:_SHOWN_RECIPIENTS_LIMIT]:
        lines += _lines_about(recipient, own_texts)
    if len(recipients) > _SHOWN_RECIPIENTS_LIMIT:
        lines += [
            f"  and {len(recipients) - _SHOWN_RECIPIENTS_LIMIT} more, listed in the part for machines",
            "",
        ]
    if subject:
        lines += [f"Subject of your mail: {printable(subject, _SUBJECT_LIMIT_CHARS)}", ""]
    if _CLOSINGS[outcome]:
        lines += [_CLOSINGS[outcome], ""]
    if footer:
        lines += [printable_lines(footer), ""]
    lines.append(f"If you ask your administrator about this, mention {mail_id}.")
    return "\n".join(lines)


def language_of(index: HeaderIndex, languages: Collection[str]) -> str:
    """The first of these languages that the mail's author reads or writes (RFC 3282, RFC 8255); "" when none is.

    "de" serves who asks for "de-at". At most 20 languages of a field are looked at; their order counts, not q.
    """
    for name in (b"accept-language", b"content-language"):
        value = (index.first(name) or b"")[:_LANGUAGES_LIMIT_BYTES].decode("ascii", "replace").lower()
        for asked in value.split(",")[:_LANGUAGES_LIMIT]:
            tag = asked.partition(";")[0].strip()
            for wanted in (tag, tag.partition("-")[0]):
                if wanted in languages:
                    return wanted
    return ""


def printable_lines(text: str) -> str:
    """Text of several lines, each of them cleaned."""
    return "\n".join(printable(line, 998) for line in text.split("\n"))


def _lines_about(recipient: ReportedRecipient, own_texts: Mapping[str, str]) -> list[str]:
    lines = [f"  {printable(str(recipient.address), _ADDRESS_LIMIT_CHARS)}"]
    if recipient.outcome in (Outcome.FAILED, Outcome.DELAYED):
        reason = reason_in_words(status_of(recipient.reply, recipient.outcome), own_texts)
        lines += [f"    {line}" for line in printable_lines(reason).split("\n")]
        if recipient.reply:
            lines.append(f"    The answer was: {clean_diagnostic(recipient.reply)}")
    return [*lines, ""]
