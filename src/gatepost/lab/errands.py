"""What the lab sends through the gateway: one function an errand, each knows what must become of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from gatepost.lab.configuration import DOWN, ELSEWHERE, OFFICE_IP, OURS
from gatepost.lab.senders import Said, message
from gatepost.lab.sink import Sink, SinkMail
from gatepost.lab.world import UNKNOWN_ABROAD, LabWorld

_MAIL_ID: Final = re.compile(r"\b[0-9a-hjkmnp-tv-z]{13}\b")
_ATTACHMENT_BYTES: Final = 10 * 1024 * 1024
_BATCH: Final = 10
_HOPS: Final = 101
_ARRIVAL_S: Final = 30.0
ANN: Final = f"ann@{OURS}"
BOB: Final = f"bob@{OURS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One errand: what was sent, what the gateway said, what became of it and why; whether that is right."""

    sent: str
    reply: str
    became: str
    why: str = ""
    is_right: bool
    mail_id: str = ""
    is_explained: bool = False
    """The lab prints the explanation of this one below the table."""


Errand = Callable[[LabWorld], Awaitable[Row]]


async def plain_mail(world: LabWorld) -> Row:
    """An ordinary mail from outside to a user of ours."""
    text = message("Plain mail", sender=f"plain@{ELSEWHERE}", recipient=ANN)
    return await _deliver(world, f"plain mail to {ANN}", f"plain@{ELSEWHERE}", [ANN], text)


async def large_mail(world: LabWorld) -> Row:
    """10 MB in one attachment: goes by a file on disk."""
    encoded = base64.encodebytes(hashlib.shake_128(b"lab").digest(_ATTACHMENT_BYTES)).replace(b"\n", b"\r\n")
    text = message("Holiday pictures", sender=f"large@{ELSEWHERE}", recipient=ANN) + encoded
    return await _deliver(world, "10 MB attachment", f"large@{ELSEWHERE}", [ANN], text)


async def half_known(world: LabWorld) -> Row:
    """Two recipients, one of whom does not exist: the other gets the mail all the same."""
    sender = f"half@{ELSEWHERE}"
    client = await world.client()
    replies = await client.mail(
        sender, [BOB, f"nobody@{OURS}"], message("Half", sender=sender, recipient=BOB)
    )
    await client.quit()
    found = await _arrived(world.mailboxes, _sent_by(sender))
    refused, final = replies[2], replies[-1]
    return Row(
        sent=f"mail to {BOB} and nobody@{OURS}",
        reply=f"nobody: {refused}",
        became=f"delivered to {', '.join(found[0].recipients)}" if found else "not delivered",
        why=(await world.witness.objection(sender)).why,
        is_right=refused.code == 550
        and final.code == 250
        and [mail.recipients for mail in found] == [(BOB,)],
        mail_id=_id_in(final),
    )


async def relay_attempt(world: LabWorld) -> Row:
    """A stranger wants us to send to somebody else's user."""
    sender = f"spammer@{ELSEWHERE}"
    client = await world.client()
    replies = await client.envelope(sender, [f"victim@{ELSEWHERE}"])
    await client.quit()
    return await _refused(world, f"relay attempt to victim@{ELSEWHERE}", sender, replies[-1], code=550)


async def spoofed_mail(world: LabWorld) -> Row:
    """A stranger writes in the name of our boss. The return path is the stranger's own, and passes SPF."""
    sender, boss = f"invoices@{ELSEWHERE}", f"boss@{OURS}"
    client = await world.client()
    replies = await client.mail(sender, [BOB], message("Pay at once", sender=boss, recipient=BOB))
    await client.quit()
    row = await _refused(world, f"spoofed mail: From {boss} to {BOB}", sender, replies[-1], code=550)
    return replace(row, is_explained=True)


async def smuggling_attempt(world: LabWorld) -> Row:
    """A second mail hidden behind an end of data that is none (LF . CR LF)."""
    sender, forged = f"smuggler@{ELSEWHERE}", f"boss@{OURS}"
    client = await world.client()
    await client.envelope(sender, [ANN])
    await client.say("DATA")
    hidden = f"MAIL FROM:<{forged}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nSubject: Pay at once\r\n\r\nNow.\r\n.\r\n"
    client.push(b"Subject: Hello\r\n\r\nHello.\n.\r\n" + hidden.encode())
    reply = await client.read()
    closed = not (await client.read()).code
    client.close()
    why = await world.witness.violation(str(reply))
    smuggled = [mail for mail in world.mailboxes.mails if mail.sender in (sender, forged)]
    end = "connection closed" if closed else "CONNECTION STAYS OPEN"
    return Row(
        sent="smuggling attempt (LF . CR LF)",
        reply=str(reply),
        became=f"{'SMUGGLED MAIL DELIVERED' if smuggled else 'refused'}, {end}",
        why=why,
        is_right=reply.code == 521 and closed and not smuggled and bool(why),
    )


async def bounce(world: LabWorld) -> Row:
    """A notice of somebody else's server about a mail of ours: the null sender must get through."""
    text = message("Undelivered Mail", sender=f"mailer-daemon@{ELSEWHERE}", recipient=BOB)
    return await _deliver(world, f"bounce: null sender to {BOB}", "", [BOB], text)


async def office_mail(world: LabWorld) -> Row:
    """A mail of our office to the internet, by MX."""
    text = message("From the office", sender=ANN, recipient=f"carol@{ELSEWHERE}")
    return await _deliver(
        world,
        f"the office to carol@{ELSEWHERE}",
        ANN,
        [f"carol@{ELSEWHERE}"],
        text,
        source=OFFICE_IP,
        into=world.internet,
    )


async def undeliverable(world: LabWorld) -> Row:
    """A mail of our office to a person who does not exist: its sender must hear of it."""
    client = await world.client(source=OFFICE_IP)
    text = message("Are you there?", sender=BOB, recipient=UNKNOWN_ABROAD)
    reply = (await client.mail(BOB, [UNKNOWN_ABROAD], text))[-1]
    await client.quit()
    mail_id = _id_in(reply)
    records = await world.witness.records(mail_id, "RECEIVE", "FAIL")
    notices = await _arrived(world.mailboxes, lambda mail: b"multipart/report" in mail.content)
    told = [(mail.sender, mail.recipients) for mail in notices] == [("", (BOB,))] and (
        UNKNOWN_ABROAD.encode() in notices[0].content
    )
    return Row(
        sent=f"the office to {UNKNOWN_ABROAD}",
        reply=str(reply),
        became=f"came back to {BOB} as a non-delivery report" if told else "lost without a word",
        why=_status(records.get("FAIL")),
        is_right=reply.code == 250 and told and "FAIL" in records,
        mail_id=mail_id,
    )


async def international(world: LabWorld) -> Row:
    """Addresses beyond ASCII (SMTPUTF8)."""
    sender, recipient = f"élodie@{ELSEWHERE}", f"jürgen@{OURS}"
    text = message("Grüße", sender=sender, recipient=recipient)
    return await _deliver(
        world, f"SMTPUTF8 mail to {recipient}", sender, [recipient], text, parameters="SMTPUTF8 BODY=8BITMIME"
    )


async def server_down(world: LabWorld) -> Row:
    """The next hop is down: the mail waits, and the queue shows it."""
    client = await world.client(source=OFFICE_IP)
    recipient = f"dave@{DOWN}"
    reply = (await client.mail(ANN, [recipient], message("Wait", sender=ANN, recipient=recipient)))[-1]
    await client.quit()
    mail_id = _id_in(reply)
    records = await world.witness.records(mail_id, "RECEIVE", "DEFER")
    queued = [mail for mail in await world.witness.queued() if mail["id"] == mail_id]
    states = [one["state"] for mail in queued for one in mail["recipients"]]
    return Row(
        sent=f"the office to {recipient}, whose server is down",
        reply=str(reply),
        became=f"in the queue: {', '.join(states)}" if states else "not in the queue",
        why=_status(records.get("DEFER")),
        is_right=reply.code == 250 and states == ["deferred"] and "DEFER" in records,
        mail_id=mail_id,
    )


async def pipelined_batch(world: LabWorld) -> Row:
    """Ten mails on one connection, each command group in one packet (PIPELINING)."""
    sender = f"batch@{ELSEWHERE}"
    client = await world.client()
    codes: list[int] = []
    last = Said(0)
    for number in range(_BATCH):
        client.push(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n".encode())
        group = [await client.read() for _ in range(4)]
        client.push(message(f"Batch {number}", sender=sender, recipient=ANN) + b".\r\n")
        last = await client.read()
        codes += [reply.code for reply in (*group, last)]
    await client.quit()
    found = await _arrived(world.mailboxes, _sent_by(sender), count=_BATCH)
    subjects = {mail.header("Subject") for mail in found}
    return Row(
        sent=f"{_BATCH} mails in one pipelined session",
        reply=str(last),
        became=f"{len(found)} delivered, each to {len(found[0].recipients)} recipients"
        if found
        else "nothing",
        why=await _last_status(world, _id_in(last)),
        is_right=codes == [250, 250, 250, 354, 250] * _BATCH and len(found) == len(subjects) == _BATCH,
        mail_id=_id_in(last),
    )


async def by_bdat(world: LabWorld) -> Row:
    """Content by octets instead of lines (CHUNKING): dots need no care."""
    sender = f"bdat@{ELSEWHERE}"
    client = await world.client()
    text = message("By BDAT", sender=sender, recipient=ANN, body=".\r\n..\r\n.end\r\n")
    first, second = text[:100], text[100:]
    await client.envelope(sender, [ANN])
    client.push(b"BDAT %d\r\n%b" % (len(first), first))
    chunk = await client.read()
    client.push(b"BDAT %d LAST\r\n%b" % (len(second), second))
    reply = await client.read()
    await client.quit()
    found = await _arrived(world.mailboxes, _sent_by(sender))
    same = bool(found) and found[0].content.endswith(text)
    return Row(
        sent="two BDAT chunks with lines of dots",
        reply=str(reply),
        became="delivered, octet for octet" if same else "not delivered as sent",
        why=await _last_status(world, _id_in(reply)),
        is_right=chunk.code == reply.code == 250 and same,
        mail_id=_id_in(reply),
    )


async def loop(world: LabWorld) -> Row:
    """A mail that has been everywhere 101 times."""
    sender = f"loop@{ELSEWHERE}"
    trace = "".join(
        f"Received: from a by b{n}.example; Sun, 22 Nov 2026 12:00:00 +0000\r\n" for n in range(_HOPS)
    )
    client = await world.client()
    text = trace.encode() + message("Round and round", sender=sender, recipient=ANN)
    replies = await client.mail(sender, [ANN], text)
    await client.quit()
    return await _refused(world, f"mail with {_HOPS} Received fields", sender, replies[-1], code=554)


async def by_tls(world: LabWorld) -> Row:
    """The same as a plain mail, encrypted; the Received field says so."""
    sender = f"tls@{ELSEWHERE}"
    client = await world.client()
    hello = await client.start_tls()
    reply = (await client.mail(sender, [ANN], message("By TLS", sender=sender, recipient=ANN)))[-1]
    await client.quit()
    found = await _arrived(world.mailboxes, _sent_by(sender))
    trace = found[0].header("Received") if found else ""
    return Row(
        sent="mail by STARTTLS",
        reply=str(reply),
        became="delivered, received with ESMTPS"
        if "ESMTPS" in trace
        else f"not delivered as ESMTPS: {trace}",
        why=await _last_status(world, _id_in(reply)),
        is_right=hello.code == reply.code == 250 and "ESMTPS" in trace,
        mail_id=_id_in(reply),
    )


ERRANDS: Final[tuple[Errand, ...]] = (
    plain_mail,
    large_mail,
    half_known,
    relay_attempt,
    spoofed_mail,
    smuggling_attempt,
    bounce,
    office_mail,
    undeliverable,
    international,
    server_down,
    pipelined_batch,
    by_bdat,
    loop,
    by_tls,
)


async def _deliver(
    world: LabWorld,
    sent: str,
    sender: str,
    recipients: list[str],
    text: bytes,
    *,
    parameters: str = "",
    source: str = "127.0.0.1",
    into: Sink | None = None,
) -> Row:
    """A mail that must arrive: with the same octets, below what the gateway put on top."""
    client = await world.client(source=source)
    reply = (await client.mail(sender, recipients, text, parameters=parameters))[-1]
    await client.quit()
    subject = re.search(rb"Subject: (.*)\r\n", text)
    found = await _arrived(
        into or world.mailboxes,
        lambda mail: mail.sender == sender and subject is not None and subject[0] in mail.content,
    )
    whole = [mail for mail in found if mail.content.endswith(text) and mail.recipients == tuple(recipients)]
    size = f"{len(text):,} octets".replace(",", " ")
    return Row(
        sent=sent,
        reply=str(reply),
        became=f"delivered, {size} as sent" if whole else "not delivered as sent",
        why=await _last_status(world, _id_in(reply)),
        is_right=reply.code == 250 and len(found) == len(whole) == 1 and "Received:" in _head_of(whole),
        mail_id=_id_in(reply),
    )


async def _refused(world: LabWorld, sent: str, sender: str, reply: Said, *, code: int) -> Row:
    """A mail that must not come in, and the agent log must say why."""
    objection = await world.witness.objection(sender)
    arrived = [*_among(world.mailboxes, _sent_by(sender)), *_among(world.internet, _sent_by(sender))]
    return Row(
        sent=sent,
        reply=str(reply),
        became="DELIVERED" if arrived else "refused",
        why=objection.why,
        is_right=reply.code == code and not arrived and bool(objection.why),
        mail_id=objection.mail_id,
    )


async def _last_status(world: LabWorld, mail_id: str) -> str:
    """What the next hop said when it took the mail, from tracking."""
    if not mail_id:
        return ""
    return _status((await world.witness.records(mail_id, "RECEIVE", "SEND")).get("SEND"))


def _status(record: dict[str, object] | None) -> str:
    """ "connector: reply" of a tracking record."""
    if not record:
        return ""
    status = record.get("recipient-status")
    words = status[0] if isinstance(status, list) and status else status
    return f"{record.get('event')} {record.get('connector-id')}".rstrip() + f": {words}"


async def _arrived(sink: Sink, is_it: Callable[[SinkMail], bool], *, count: int = 1) -> list[SinkMail]:
    """The mails that are meant, as soon as there are that many; fewer when they do not come."""
    try:
        async with asyncio.timeout(_ARRIVAL_S):
            while len(_among(sink, is_it)) < count:
                await sink.wait_for(len(sink.mails) + 1, timeout_s=_ARRIVAL_S)
    except TimeoutError:
        pass
    return _among(sink, is_it)


def _among(sink: Sink, is_it: Callable[[SinkMail], bool]) -> list[SinkMail]:
    return [mail for mail in sink.mails if is_it(mail)]


def _sent_by(sender: str) -> Callable[[SinkMail], bool]:
    return lambda mail: mail.sender == sender


def _head_of(mails: Iterable[SinkMail]) -> str:
    return "".join(mail.content.partition(b"\r\n\r\n")[0].decode("utf-8", "replace") for mail in mails)


def _id_in(reply: Said) -> str:
    """The mail id that the reply to the end of data names."""
    found = _MAIL_ID.findall(" ".join(reply.lines))
    return found[-1] if found else ""
