"""Looks at every transaction when it is durable: does it follow from what clients sent and next hops said?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final

from gatepost.model.content import SpooledBody
from gatepost.model.envelope import Notify
from gatepost.model.queued import Accept, Change, KeepDossier, MailState, Settle, Settlement
from gatepost.queue.states import settled
from sim.boxes import Boxes
from sim.facts import Dossier
from sim.journal import Journal, Kept, Said
from sim.plan import SRS_DOMAIN

MARK: Final = b"X-Sim: "
_MARKED: Final = re.compile(rb"^X-Sim: (\S+)\r\n", re.MULTILINE)
_TOKEN: Final = re.compile(r"\bt\d+t\b")
_PLACE: Final = re.compile(r"/\S*?/sim-[^/\s]+")
"""Of the run: another one every time."""
_LATE_S: Final = 120.0
_EXPIRED: Final = "550 4.4.7 Not delivered in time"
_MALFORMED: Final = "malformed reply: "


class Durable:
    """body: the octets of a body file by its path."""

    def __init__(self, journal: Journal, body: Callable[[str], bytes], boxes: Boxes) -> None:
        self._journal = journal
        self._boxes = boxes
        self._body = body
        self.credit_s = 0.0
        """The longest outage a life found at its start: mails live longer by it."""

    def durable(self, changes: Sequence[Change]) -> None:
        """What one caller asked for is on the disk: take note, and look whether it may be so."""
        notices = [c for c in changes if isinstance(c, Accept) and c.mail.is_notice]
        dossiers = {c.mail_id: c.data for c in changes if isinstance(c, KeepDossier)}
        for change in changes:
            match change:
                case Accept(mail=mail):
                    self._accepted(change)
                    if mail.mail_id in dossiers:
                        sent = self._journal.sent.get(self._journal.kept[mail.mail_id].name)
                        Dossier(mail, sent, self._journal).check(dossiers[mail.mail_id])
                case Settle():
                    self._settled(change, notices)

    def _accepted(self, change: Accept) -> None:
        mail, content, journal = change.mail, change.content, self._journal
        body = content.body
        data = self._body(body.path) if isinstance(body, SpooledBody) else body
        marked = None if mail.is_notice else _MARKED.search(content.head)
        digest = hashlib.sha256(content.head + data).hexdigest()
        kept = Kept(
            mail=mail,
            name=marked[1].decode() if marked else "",
            digest=digest,
            at=journal.now(),
            addresses=tuple(str(r.recipient.address) for r in mail.recipients),
            states={r.number: r.state for r in mail.recipients},
        )
        if mail.mail_id in journal.kept:
            journal.find(f"mail id {mail.mail_id} was used twice")
        journal.kept[mail.mail_id] = kept
        journal.by_digest[digest] = mail.mail_id
        journal.tell(f"kept {mail.mail_id} {kept.name or 'notice'} for {len(mail.recipients)}")
        journal.count("notices kept" if mail.is_notice else "mails kept")
        sent = journal.sent.get(kept.name)
        if not mail.is_notice:
            if sent is None:
                journal.find(f"invented: {kept.name!r} was never sent")
            elif marked and (content.head + data)[marked.start() :] != sent.part:
                journal.find(f"altered: {kept.name} is not what was sent")

    def _settled(self, change: Settle, notices: list[Accept]) -> None:
        kept = self._journal.kept.get(change.mail_id)
        if kept is None:
            self._journal.find(f"mail {change.mail_id} was settled and never kept")
            return
        told = bool(notices)
        if told and kept.mail.is_notice:
            self._journal.find(f"a notice about the notice {change.mail_id}")
        for settlement in change.settlements:
            self._one_settled(kept, settlement, told=told)

    def _one_settled(self, kept: Kept, one: Settlement, *, told: bool) -> None:
        journal, who = self._journal, f"{kept.mail.mail_id}/{one.number} {kept.name}"
        journal.tell(f"settled {who} {one.state.value} {_PLACE.sub('', one.last_reply)[:80]}")
        # A malformed reply is quoted to everybody whose answer did not come: it says where the conversation broke off.
        quoted = one.state is MailState.DEFERRED and _MALFORMED in one.last_reply
        token = None if quoted else _TOKEN.search(one.last_reply)
        before = kept.states.get(one.number)
        if before is not None and before.is_final:
            journal.find(f"{who}: settled as {one.state.value} after it was {before.value}")
        if before is not None:
            kept.states[one.number] = settled(before, one.state) or one.state
        if one.state.is_final:
            kept.ends.setdefault(one.number, []).append(one.state)
            journal.count(f"recipients {one.state.value}")
        expires_at = kept.mail.expires_at + self.credit_s
        now = journal.wall_at()
        if one.state is MailState.DEFERRED and now > expires_at + _LATE_S:
            journal.find(f"{who}: deferred {now - expires_at:.0f} s after its expiry")
        if token and (said := journal.said.get(token[0])) is not None:
            if one.state is MailState.DELIVERED:
                journal.settled.setdefault(token[0], journal.now())
            if fault := _contradiction(kept, one, said, srs=journal.srs):
                journal.find(f"{who}: {fault}")
        elif one.state is MailState.DELIVERED and not self._boxes.has(
            kept.addresses[one.number], kept.digest
        ):
            journal.find(f"{who}: delivered, and no next hop said so: {one.last_reply}")
        if one.state in (MailState.FAILED, MailState.DEAD):
            self._given_up(kept, one, who, told=told)

    def _given_up(self, kept: Kept, one: Settlement, who: str, *, told: bool) -> None:
        journal, mail = self._journal, kept.mail
        recipient = next(r for r in mail.recipients if r.number == one.number)
        if one.last_reply.startswith(_EXPIRED) and journal.wall_at() < mail.expires_at:
            journal.find(f"{who}: given up {mail.expires_at - journal.wall_at():.0f} s before its expiry")
        wanted = recipient.recipient.notify is Notify.DEFAULT or Notify.FAILURE in recipient.recipient.notify
        owed = mail.authenticated and not mail.is_notice and bool(mail.sender.domain) and wanted
        if owed and not told:
            journal.find(f"{who}: {one.state.value} and its sender was not told: {one.last_reply}")
        if one.state is MailState.FAILED and not told and Notify.NEVER not in recipient.recipient.notify:
            journal.find(f"{who}: failed, no notice and no dead letter")


def _is_sender(said: str, kept: Kept, recipient: str, *, srs: bool) -> bool:
    """Whether a next hop was told the mail's own return path, or the one that leads to it through us (SRS)."""
    sender = kept.mail.sender
    if not srs or not recipient.endswith("@relay.example") or sender.domain in ("", "ours.example"):
        return said == str(sender)
    local, _, domain = said.rpartition("@")
    return (
        local.upper().startswith("SRS0=")
        and local.endswith(f"={sender.domain}={sender.local}")
        and domain == SRS_DOMAIN
    )


def _contradiction(kept: Kept, one: Settlement, said: Said, *, srs: bool) -> str:
    """Why a settlement cannot stand on that reply; "" when it can."""
    address = kept.addresses[one.number]
    if said.recipient and said.recipient.lower() != address.lower():
        return f"settled by the reply {said.token} to {said.recipient}"
    if said.stage in ("rcpt", "dot") and not _is_sender(said.sender, kept, address, srs=srs):
        return f"settled by the reply {said.token} to a mail of {said.sender}"
    if one.state is MailState.DELIVERED and (said.stage != "dot" or not 200 <= said.code < 300):
        return f"delivered, but {said.token} is {said.code} to {said.stage}"
    if one.state in (MailState.FAILED, MailState.DEAD):
        expired = one.last_reply.startswith(_EXPIRED)
        if not expired and not 500 <= said.code < 600:
            return f"given up, but {said.token} is {said.code} to {said.stage}"
        if not expired and said.stage in ("greeting", "ehlo"):
            return f"given up because a host does not serve us: {said.token} to {said.stage}"
    return ""
