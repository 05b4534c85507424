"""One mail transaction while it is being spoken: sender, recipients, content. Empty after its end (I4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatepost.intake.limit_hit import BEYOND
from gatepost.intake.reception import Reception
from gatepost.intake.watching import SessionWatch
from gatepost.model.address import Address
from gatepost.model.envelope import Envelope, Recipient
from gatepost.model.reply import Reply
from gatepost.protocol.events import EndOfData, Mail
from gatepost.protocol.refusals import TEXT_LINE_TOO_LONG


@dataclass(slots=True)
class Transaction:
    """From MAIL to its end. mail_id: the name the mail will have if we take it."""

    mail_id: int
    mail: Mail
    reception: Reception
    watch: SessionWatch | None = None
    """Of its session: told what agents think of the mail."""
    recipients: dict[Address, Recipient] = field(default_factory=dict)
    refusals: int = 0
    """RCPTs we refused: a transaction of refusals only is recorded, too."""
    _envelope: Envelope | None = None

    def add(self, recipient: Recipient) -> None:
        """Accept a recipient; the same address again changes nothing (threats B26)."""
        if self.recipients.setdefault(recipient.address, recipient) is recipient:
            self._envelope = None

    @property
    def envelope(self) -> Envelope:
        """With the recipients accepted so far."""
        if self._envelope is None:
            self._envelope = self._made()
        return self._envelope

    def _made(self) -> Envelope:
        mail = self.mail
        return Envelope(
            sender=mail.sender,
            recipients=tuple(self.recipients.values()),
            body=mail.body,
            smtputf8=mail.smtputf8,
            require_tls=mail.require_tls,
            ret=mail.ret,
            envid=mail.envid,
        )


def measured(ended: tuple[Transaction, EndOfData] | None, reply: Reply) -> float | str:
    """The actual value behind a refusal by a limit, where it is known."""
    if ended is None:
        return BEYOND
    form = ended[1].form
    if reply == TEXT_LINE_TOO_LONG:
        return form.longest_line_bytes
    return ended[0].reception.refused_bytes or form.size_bytes
