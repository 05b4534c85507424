"""Mail as a well-behaved server gets it: every extension, large bodies, LMTP, many recipients."""

from __future__ import annotations

import asyncio
import time
import zlib
from dataclasses import replace
from typing import Any

import pytest
from tests.delivery.fakes import CONTENT, Yard, mail_to, parcel_of, to_port, yard
from tests.fakes import FakeStore

from gatepost.delivery.outcome import Attempt, Fate
from gatepost.lab.sink import Behaviour, Sink
from gatepost.model.content import Content, SpooledBody
from gatepost.model.envelope import BodyType, Notify, Recipient, Ret
from gatepost.model.queued import QueuedMail


async def hand_over(
    behaviour: Behaviour,
    mail: QueuedMail,
    content: Content,
    *,
    store: FakeStore | None = None,
    **connector: Any,
) -> tuple[Attempt, Sink]:
    sink = Sink(behaviour)
    await sink.start()
    lmtp = {"delivery": "lmtp"} if behaviour.lmtp else {}
    made: Yard = yard(to_port(sink.port, **lmtp, **connector), store=store, monotonic=time.monotonic)
    try:
        done, line = await made.attempts.make(parcel_of(mail, content), made.router.by_key("out:smart"), None)
        if line is not None:
            line.connection.close()
    finally:
        await sink.stop()
        made.store.close()
    return done, sink


def run(
    mail: QueuedMail, content: Content = CONTENT, behaviour: Behaviour | None = None, **more: Any
) -> tuple[Attempt, Sink]:
    return asyncio.run(hand_over(behaviour or Behaviour(), mail, content, **more))


def test_every_parameter_arrives() -> None:
    mail = replace(mail_to("b@b.example"), envid="id 1", ret=Ret.FULL, smtputf8=True)
    asked = Recipient(
        address=mail.recipients[0].recipient.address, notify=Notify.FAILURE, orcpt="rfc822;old@b.example"
    )
    mail = replace(mail, recipients=(replace(mail.recipients[0], recipient=asked),))
    _, sink = run(mail, replace(CONTENT, body="ä\r\n".encode()))
    assert set(sink.mails[0].mail_parameters.split()) == {
        f"SIZE={CONTENT.size_bytes - 2}", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=id+201"
    }  # fmt: skip
    assert sink.mails[0].rcpt_parameters[0].split() == ["NOTIFY=FAILURE", "ORCPT=rfc822;old@b.example"]


def test_binary_mail_goes_by_bdat_octet_for_octet() -> None:
    body = bytes(range(256)) * 40 + b"\r\n.\r\n\n.\n\r"
    mail = replace(mail_to("b@b.example"), body_type=BodyType.BINARY_MIME)
    done, sink = run(mail, Content(head=b"\r\n", body=body))
    assert done.outcomes[0].fate is Fate.DELIVERED
    assert sink.mails[0].content == b"\r\n" + body
    assert sink.mails[0].by_bdat


@pytest.mark.threat("N07")
def test_a_refused_bdat_fails_the_mail_and_closes_the_connection() -> None:
    mail = replace(mail_to("b@b.example"), body_type=BodyType.BINARY_MIME)
    done, _ = run(mail, CONTENT, Behaviour(replies={"BDAT": "502 5.5.1 no BDAT"}))
    assert done.outcomes[0].fate is Fate.FAILED


def spooled(body: bytes, *, crc32: int | None = None) -> tuple[FakeStore, Content]:
    store = FakeStore()
    store.bodies["x"] = body
    kept = SpooledBody("x", len(body), zlib.crc32(body) if crc32 is None else crc32)
    return store, Content(head=b"A: b\r\n\r\n", body=kept)


@pytest.mark.parametrize("delivery", ["DATA", "BDAT"])
def test_a_body_in_a_file(delivery: str) -> None:
    body = b".dots\r\n.\r\nand text\r\n" * 20_000
    store, content = spooled(body)
    mail = mail_to("b@b.example")
    if delivery == "BDAT":
        mail = replace(mail, body_type=BodyType.BINARY_MIME)
    done, sink = run(mail, content, store=store)
    assert done.outcomes[0].fate is Fate.DELIVERED
    assert sink.mails[0].content == content.head + body


@pytest.mark.parametrize("binary", [False, True])
def test_a_damaged_body_is_never_finished(binary: bool) -> None:
    store, content = spooled(b"text\r\n" * 1000, crc32=1)
    mail = mail_to("b@b.example")
    if binary:
        mail = replace(mail, body_type=BodyType.BINARY_MIME)
    done, sink = run(mail, content, store=store)
    assert done.outcomes[0].fate is Fate.DEFERRED
    assert "damaged" in done.outcomes[0].reply
    assert sink.mails == []


@pytest.mark.threat("N06")
def test_lmtp_recipients_stand_alone() -> None:
    behaviour = Behaviour(
        lmtp=True,
        recipients={"b@x.example": "550 5.1.1 nobody"},
        after_data={"c@x.example": "452 4.2.2 full", "d@x.example": "552 5.2.2 full for good"},
    )
    done, sink = run(mail_to("a@x.example", "b@x.example", "c@x.example", "d@x.example"), CONTENT, behaviour)
    assert [o.fate for o in done.outcomes] == [Fate.DELIVERED, Fate.FAILED, Fate.DEFERRED, Fate.FAILED]
    assert sink.mails[0].helo == "gate.example"


def test_many_recipients_go_in_several_transactions_of_one_connection() -> None:
    mail = mail_to(*(f"u{n}@x.example" for n in range(250)))
    done, sink = run(mail)
    assert [len(m.recipients) for m in sink.mails] == [100, 100, 50]
    assert {o.fate for o in done.outcomes} == {Fate.DELIVERED}
    assert sink.connections == 1


def test_a_limit_of_recipients_is_respected() -> None:
    _, sink = run(
        mail_to(*(f"u{n}@x.example" for n in range(5))),
        CONTENT,
        Behaviour(extensions=("PIPELINING", "LIMITS RCPTMAX=2")),
    )
    assert [len(m.recipients) for m in sink.mails] == [2, 2, 1]


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)])
@pytest.mark.parametrize("cut", range(0, 240, 7))
def test_a_connection_cut_anywhere_delivers_to_nobody_twice_and_loses_nobody(
    extensions: tuple[str, ...], cut: int
) -> None:
    # Whatever octet is the last to arrive: everybody is delivered and kept, or nobody is
    from gatepost.delivery.courier import NoHost

    behaviour = Behaviour(extensions=extensions, cut_after_bytes=cut)
    try:
        done, sink = run(mail_to("a@x.example", "b@x.example"), CONTENT, behaviour)
    except NoHost:
        return
    fates = {o.fate for o in done.outcomes}
    assert len(fates) == 1
    assert bool(sink.mails) >= (fates == {Fate.DELIVERED})
    assert fates <= {Fate.DELIVERED, Fate.DEFERRED}


PLAIN: dict[str, Any] = {"force-helo": True}


def test_a_host_that_wants_helo_is_greeted_so_and_offered_nothing() -> None:
    mail = replace(mail_to("b@b.example"), envid="id 1")
    done, sink = run(mail, **PLAIN)
    assert done.outcomes[0].fate is Fate.DELIVERED
    (got,) = sink.mails
    assert (got.helo, got.mail_parameters, got.tls) == ("gate.example", "", False)


def test_a_mail_larger_than_the_connector_takes_is_returned_without_a_try() -> None:
    limit = CONTENT.size_bytes
    limited: dict[str, Any] = {"message-size": f"{limit}B"}
    mail = replace(mail_to("b@b.example"), size_bytes=limit)
    done, sink = run(mail, **limited)
    assert (done.outcomes[0].fate, len(sink.mails)) == (Fate.DELIVERED, 1)
    done, sink = run(replace(mail, size_bytes=limit + 1), **limited)
    assert (done.outcomes[0].fate, sink.connections) == (Fate.FAILED, 0)
    assert done.outcomes[0].reply.startswith("552 5.3.4 ")
    # But not a notice of ours: nobody would hear of it
    done, _ = run(replace(mail, size_bytes=limit + 1, is_notice=True), **limited)
    assert done.outcomes[0].fate is Fate.DELIVERED


@pytest.mark.parametrize("lmtp", [False, True], ids=["SMTP", "LMTP"])
@pytest.mark.parametrize("too_many", ["452 4.5.3 Too many", "452 Too many", "552 5.5.3 Too many"])
def test_who_was_too_many_has_the_next_transaction(too_many: str, lmtp: bool) -> None:
    """RFC 5321 4.5.3.1.10: what is left goes in further transactions, not hours later."""
    mail = mail_to(*(f"u{n}@b.example" for n in range(25)))
    done, sink = run(mail, behaviour=Behaviour(lmtp=lmtp, recipients_limit=10, too_many=too_many))
    assert {o.fate for o in done.outcomes} == {Fate.DELIVERED}
    assert sorted(o.recipient.number for o in done.outcomes) == list(range(25))
    assert [len(m.recipients) for m in sink.mails] == [10, 10, 5]
    assert sink.connections == 1


def test_a_full_mailbox_is_not_one_too_many() -> None:
    mail = mail_to("a@b.example", "full@b.example", "c@b.example")
    behaviour = Behaviour(recipients={"full@b.example": "452 4.2.2 Mailbox full"})
    done, sink = run(mail, behaviour=behaviour)
    assert [o.fate for o in done.outcomes] == [Fate.DELIVERED, Fate.DEFERRED, Fate.DELIVERED]
    assert len(sink.mails) == 1


def test_somebody_who_is_always_too_many_waits() -> None:
    mail = mail_to("a@b.example", "b@b.example", "c@b.example")
    done, sink = run(mail, behaviour=Behaviour(recipients={"b@b.example": "452 no"}))
    assert {o.recipient.number: o.fate for o in done.outcomes} == {
        0: Fate.DELIVERED, 1: Fate.DEFERRED, 2: Fate.DELIVERED
    }  # fmt: skip
    assert len(sink.mails) == 1


def test_a_next_hop_that_takes_one_at_a_time() -> None:
    mail = mail_to(*(f"u{n}@b.example" for n in range(20)))
    done, sink = run(mail, behaviour=Behaviour(recipients_limit=1))
    assert {o.fate for o in done.outcomes} == {Fate.DELIVERED}
    assert [len(m.recipients) for m in sink.mails] == [1] * 20
