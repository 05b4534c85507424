"""What was promised at each moment of a trace: which mail had been answered 250, which had been handed on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crash.ledger import Answer, Copy, Sending

from powercut.tracing import Op, Record

_QUEUED: Final = re.compile(rb"250 2\.0\.0 Queued as ([0-9a-z]{13})")


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of a client. recipients: those the gateway did not refuse at RCPT."""

    name: str
    digest: str
    recipients: frozenset[str]
    may_be_there: bool
    """Neither cut off before its end nor refused."""


class Ledger:
    """The promises up to a point of the trace, and what the clients know at its end."""

    def __init__(self, sent: Mapping[str, Sent], names: Mapping[str, str]) -> None:
        """sent: by the message's name. names: of the mails whose 250 the client has read, by the mail's id."""
        self.sent = sent
        self.names = names
        self.acknowledged: dict[str, int] = {}
        """Mail id -> number of the record that says 250."""
        self.delivered: dict[str, set[str]] = {}
        """Mail id -> recipients for whom the next hop has said 250."""

    def apply(self, number: int, record: Record) -> None:
        """One more record, the number-th."""
        if record.op is Op.SAY:
            for found in _QUEUED.findall(record.data):
                self.acknowledged.setdefault(found.decode(), number)
        elif record.op is Op.DELIVERED:
            said = json.loads(record.data)
            self.delivered.setdefault(said["mail_id"], set()).update(said["recipients"])


def pack_delivery(copies: Sequence[Copy], mail_id: str) -> bytes:
    """What the sink notes before it answers 250."""
    return json.dumps({"mail_id": mail_id, "recipients": [c.recipient for c in copies]}).encode()


def pack_sendings(sendings: Sequence[Sending]) -> bytes:
    """What the clients note when everything is over."""
    return json.dumps(
        [
            {
                "name": s.message,
                "digest": s.digest,
                "mail_id": s.queued_as,
                "recipients": {r: a.value for r, a in s.answers.items()},
            }
            for s in sendings
        ]
    ).encode()


def ledger_of(records: Sequence[Record]) -> Ledger:
    """Reads the clients' note at the end of a trace. Raises IndexError when there is none."""
    (note,) = [record for record in records[-1:] if record.op is Op.LEDGER]
    sent, names = {}, {}
    for one in json.loads(note.data):
        answers = {recipient: Answer(value) for recipient, value in one["recipients"].items()}
        kept = frozenset(r for r, a in answers.items() if a in (Answer.ACKNOWLEDGED, Answer.UNKNOWN))
        sent[one["name"]] = Sent(one["name"], one["digest"], kept, bool(kept))
        if one["mail_id"]:
            names[one["mail_id"]] = one["name"]
    return Ledger(sent, names)
