"""One attempt, whatever the next hop is: by wire or into a maildir."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from gatepost.delivery.courier import Courier, Line, NeverThere, refused
from gatepost.delivery.maildir import MaildirCourier
from gatepost.delivery.outcome import Attempt, Fate, all_alike
from gatepost.delivery.report_inbox import ReportInbox
from gatepost.delivery.signing import Signer
from gatepost.delivery.taken import Taken
from gatepost.model.content import Content
from gatepost.model.fault import WorldFault
from gatepost.model.queued import QueuedMail
from gatepost.model.reply import Reply
from gatepost.ports.store import StoreReader
from gatepost.queue.active import Parcel
from gatepost.routing.next_hop import HopKind, NextHop
from gatepost.standards.return_paths import ReturnPaths

TOO_LARGE: Final = Reply(552, "5.3.4", "The mail is larger than the way to this recipient takes")


def is_too_large(mail: QueuedMail, next_hop: NextHop) -> bool:
    """For its send connector; a notice of ours never is (threats L10 bounds it)."""
    limit = next_hop.settings.message_size_bytes
    return 0 < limit < mail.size_bytes and not mail.is_notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Makes attempts with the couriers."""

    store: StoreReader
    courier: Courier
    maildir: MaildirCourier
    signer: Signer | None = None
    """None: no domain has a key."""
    reports: ReportInbox | None = None
    """Reads reports of others; None: no address is for them."""
    return_paths: ReturnPaths | None = None
    """SRS and tags; None: no return path is signed."""
    publishes_spf: Callable[[str], Awaitable[bool]] | None = None
    """Asked of a domain where SRS wants to know; None: all do."""

    async def make(
        self, parcel: Parcel, next_hop: NextHop, line: Line | None, taken: Taken | None = None
    ) -> tuple[Attempt, Line | None]:
        """Deliver once. line: the open connection of the lane, if it has one; its successor is returned.

        taken: hears of recipients that were answered while others are still waited for; None: nobody asks.
        Raises NoHost when the whole next hop cannot be reached: nothing was tried for the mail then.
        """
        if is_too_large(parcel.mail, next_hop):
            return Attempt(outcomes=all_alike(parcel.recipients, Fate.FAILED, TOO_LARGE)), line
        try:
            content = parcel.content or self.store.content(parcel.mail.mail_id)
        except WorldFault as fault:
            text = f"451 4.3.0 The stored mail cannot be read: {fault.reason}"
            return Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, text)), line
        if next_hop.kind is HopKind.REPORTS:
            if self.reports is None:
                return Attempt(outcomes=(), goes_on=True), None
            return await self.reports.take(parcel, content), None
        if next_hop.kind is HopKind.MAILDIR:
            return await self.maildir.carry(parcel, content, next_hop.settings.maildir), None
        try:
            line = line or await self.courier.line_to(next_hop)
            if self.signer is not None:
                signed = await self._signed(self.signer, parcel, content)
                if isinstance(signed, Attempt):
                    return signed, line
                content = signed
            leaving = await self._leaving(parcel, next_hop)
            return await self.courier.carry(leaving, content, line, taken)
        except NeverThere as fault:
            return refused(parcel, fault), None

    async def _signed(self, signer: Signer, parcel: Parcel, content: Content) -> Content | Attempt:
        """The content as it leaves, or the attempt when it cannot be read."""
        try:
            return await signer.sign(parcel.mail, content)
        except WorldFault as fault:
            text = f"451 4.3.0 The stored mail cannot be read: {fault.reason}"
            return Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, text))

    async def _leaving(self, parcel: Parcel, next_hop: NextHop) -> Parcel:
        """With the return path it leaves with; queue, records and notices keep the one it came with."""
        paths, mail = self.return_paths, parcel.mail
        if paths is None:
            return parcel
        addresses = [r.recipient.address for r in parcel.recipients]
        sender = paths.leaving(mail.sender, addresses, mail.received_at, next_hop.settings.srs)
        if sender is mail.sender:
            return parcel
        asked = self.publishes_spf if paths.asks_for_spf(mail.sender) else None
        if asked is not None and not await asked(mail.sender.domain):
            return parcel
        return replace(parcel, mail=replace(mail, sender=sender))
