"""One mail transaction while it is being spoken: sender, recipients, content. Empty after its end (I4)."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatepost.intake.reception import Reception
from gatepost.model.address import Address
from gatepost.model.envelope import Envelope, Recipient
from gatepost.protocol.events import Mail


@dataclass(slots=True)
class Transaction:
    """From MAIL to its end. mail_id: the name the mail will have if we take it."""

    mail_id: int
    mail: Mail
    reception: Reception
    recipients: dict[Address, Recipient] = field(default_factory=dict)
    refusals: int = 0
    """RCPTs we refused: a transaction of refusals only is recorded, too."""

    def add(self, recipient: Recipient) -> None:
        """Accept a recipient; the same address again changes nothing (threats B26)."""
        self.recipients.setdefault(recipient.address, recipient)

    @property
    def envelope(self) -> Envelope:
        """With the recipients accepted so far."""
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
