"""Mail whose next hop is a directory: one file a recipient, with the marks a mailbox wants on top."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from gatepost.delivery.load import Load
from gatepost.delivery.outcome import Attempt, Fate, Outcome
from gatepost.model.address import Address
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import QueuedMail, QueuedRecipient
from gatepost.model.reply import Reply
from gatepost.ports.bodies import BodyFiles
from gatepost.ports.log import Log
from gatepost.ports.maildir import Maildirs
from gatepost.ports.world import Clock
from gatepost.protocol.replies import safe_text
from gatepost.queue.active import Parcel

_UNSAFE: Final = re.compile(r"[^a-z0-9._+@-]")
_NAME_LIMIT: Final = 250  # NAME_MAX is 255; cutting could give one mailbox two owners
_TOO_LONG: Final = Reply(553, "5.1.3", "Address is too long for a mailbox of ours")
_ANY_NEWLINE: Final = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaildirCourier:
    """Deliveries into maildirs. hostname: for the names of the files."""

    maildirs: Maildirs
    bodies: BodyFiles
    body_path: Callable[[SpooledBody], str]
    clock: Clock
    hostname: str
    log: Log

    async def carry(self, parcel: Parcel, content: Content, template: str) -> Attempt:
        """One file for each recipient; each stands or falls alone."""
        load = Load(content=content, binary=False, bodies=self.bodies, body_path=self.body_path)
        outcomes = [await self._lay_down(parcel.mail, r, load, template) for r in parcel.recipients]
        return Attempt(outcomes=tuple(outcomes), host="maildir")

    async def _lay_down(
        self, mail: QueuedMail, recipient: QueuedRecipient, load: Load, template: str
    ) -> Outcome:
        try:
            directory = directory_for(template, recipient.recipient.address)
        except PeerFault as fault:
            return Outcome(recipient, Fate.FAILED, str(fault.reply))
        # The same name at a second attempt: a mail laid down before a crash is found, not doubled.
        name = f"{int(mail.received_at)}.{mail_id_text(mail.mail_id)}_{recipient.number}.{safe_name(self.hostname)}"
        try:
            await self.maildirs.deliver(directory, name, _file_of(mail, recipient.recipient.address, load))
        except WorldFault as fault:
            self.log.write("warning", "maildir-failed", directory=directory, why=fault.reason)
            # A path of ours is nothing for the sender, who may read this in a notice.
            why = fault.facts.get("why", fault.reason)
            return Outcome(
                recipient, Fate.DEFERRED, safe_text(f"451 4.2.0 The mailbox cannot be written: {why}")
            )
        return Outcome(recipient, Fate.DELIVERED, "250 2.0.0 Laid down in the maildir", we_report=True)


def directory_for(template: str, recipient: Address) -> str:
    """The setting with {domain} and {local} replaced; never a path separator, dot-dot or hidden name of the peer's."""
    domain, local = safe_name(recipient.domain), safe_name(recipient.local)
    return template.replace("{domain}", domain).replace("{local}", local)


def safe_name(text: str) -> str:
    """One component of a path: lower case; everything unusual as =HH of its UTF-8, a leading dot too.

    Different mailboxes have different names. Raises PeerFault when the name would be too long.
    """
    folded = "".join(c.lower() if c.isascii() else c for c in text)
    escaped = _UNSAFE.sub(lambda m: "".join(f"={octet:02X}" for octet in m[0].encode()), folded)
    if escaped.startswith("."):
        escaped = "=2E" + escaped[1:]
    if len(escaped) > _NAME_LIMIT:
        raise PeerFault(_TOO_LONG, "address too long for a file name")
    return escaped or "="


async def _file_of(mail: QueuedMail, recipient: Address, load: Load) -> AsyncIterator[bytes]:
    """Marks, then the mail with LF line ends as local mail has them."""
    yield f"Return-Path: <{mail.sender}>\nDelivered-To: {recipient}\n".encode()
    held = b""
    async for piece in load.pieces():
        text = held + piece
        held = b"\r" if text.endswith(b"\r") else b""
        yield _ANY_NEWLINE.sub(b"\n", text[:-1] if held else text)
    if held:
        yield b"\n"
