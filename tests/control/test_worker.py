"""What each command does to the mails of one worker, and what it leaves alone."""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.control.mailroom import NOW, Worker

from gatepost.control import worker as module
from gatepost.control.commands import (
    AnyCommand,
    AskMetrics,
    AskStatus,
    Changed,
    DeleteQuarantine,
    Refused,
    ReleaseQuarantine,
    RemoveMail,
    ReopenLog,
    ResumeHop,
    ResumeMail,
    RetryHop,
    RetryMail,
    Samples,
    SuspendHop,
    SuspendMail,
    Target,
    WorkerStatus,
    decode_reply,
    encode,
)
from gatepost.model.address import NULL_SENDER
from gatepost.model.fault import WorldFault
from gatepost.model.queued import MailState
from gatepost.ports.store import MailFilter, RecordFilter

S = MailState
STEPS = [
    # command, before, after ("" = left the store)
    (RetryMail, S.DEFERRED, "ready"),
    (RetryMail, S.UNREACHABLE, "ready"),
    (RetryMail, S.POISON, "ready"),
    (RetryMail, S.DEAD, "ready"),
    (RetryMail, S.SUSPENDED, "suspended"),
    (RetryMail, S.QUARANTINED, "quarantined"),
    (SuspendMail, S.READY, "suspended"),
    (SuspendMail, S.DEFERRED, "suspended"),
    (SuspendMail, S.QUARANTINED, "quarantined"),
    (SuspendMail, S.DEAD, "dead"),
    (ResumeMail, S.SUSPENDED, "ready"),
    (ResumeMail, S.DEFERRED, "deferred"),
    (RemoveMail, S.READY, ""),
    (RemoveMail, S.DEFERRED, ""),
    (RemoveMail, S.SUSPENDED, ""),
    (RemoveMail, S.DEAD, ""),
    (RemoveMail, S.POISON, ""),
    (RemoveMail, S.QUARANTINED, "quarantined"),
    (ReleaseQuarantine, S.QUARANTINED, "ready"),
    (ReleaseQuarantine, S.DEFERRED, "deferred"),
    (DeleteQuarantine, S.QUARANTINED, ""),
    (DeleteQuarantine, S.DEFERRED, "deferred"),
]


def about(command: object, mail_id: int, *numbers: int) -> AnyCommand:
    assert callable(command)
    made: AnyCommand = command(targets=(Target(mail_id, numbers),), by="root")
    return made


@pytest.mark.parametrize(("command", "before", "after"), STEPS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_a_command_and_a_state(command: type, before: MailState, after: str) -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org", state=before)
    # When
    reply = worker.ask(about(command, mail_id))
    # Then
    assert worker.states(mail_id) == ([after] if after else [])
    assert isinstance(reply, Changed)
    changed = after != before.value
    assert (reply.mails, len(reply.skipped)) == ((1, 0) if changed else (0, 1))


@pytest.mark.parametrize("command", [RetryMail, SuspendMail, RemoveMail])
def test_only_the_named_recipients_are_changed(command: type) -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org", "carl@example.net", "dan@example.net")
    reply = worker.ask(about(command, mail_id, 1))
    assert isinstance(reply, Changed)
    assert reply.recipients == 1
    assert worker.states(mail_id).count("deferred") == 2


def test_a_mail_that_is_gone_is_skipped() -> None:
    reply = Worker().ask(about(RemoveMail, 12345))
    assert isinstance(reply, Changed)
    assert reply.skipped[0].reason == module.GONE


def test_a_mail_in_flight_is_left_alone() -> None:
    worker = Worker()
    flying, waiting = worker.put("bob@example.org"), worker.put("carl@example.org")
    worker.deliveries.in_flight.add(flying)
    # When
    reply = worker.ask(RemoveMail(targets=(Target(flying), Target(waiting))))
    # Then
    assert isinstance(reply, Changed)
    assert [(s.mail_id, s.reason) for s in reply.skipped] == [(flying, module.IN_FLIGHT)]
    assert worker.states(flying) == ["deferred"]
    assert worker.states(waiting) == []


def test_a_retried_mail_is_due_now_routed_anew_and_looked_for() -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org")
    worker.ask(about(RetryMail, mail_id))
    mail = worker.store.mail(mail_id)
    assert mail is not None
    assert (mail.recipients[0].due_at, mail.recipients[0].next_hop) == (NOW, "new:example.org")
    assert worker.deliveries.retried == [("new:example.org", ()), ("", (mail_id,))]


def test_a_mail_is_sent_another_way_on_record() -> None:
    worker = Worker(0)
    mail_id = worker.put("bob@example.org", state=S.DEFERRED)
    assert isinstance(worker.ask(RetryMail(targets=(Target(mail_id),), via="backup", by="root")), Changed)
    mail = worker.store.mail(mail_id)
    assert mail is not None
    (recipient,) = mail.recipients
    assert (recipient.state, recipient.next_hop) == (S.READY, "backup:example.org")
    assert [r.event for r in worker.store.records(RecordFilter(mail_id=mail_id), limit=9)] == ["RESUBMIT"]


@pytest.mark.parametrize("command", [RemoveMail, SuspendMail])
def test_what_is_left_of_a_changed_mail_goes_on_at_once(command: type) -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org", "carl@example.org")
    worker.ask(about(command, mail_id, 0))
    assert worker.deliveries.withdrawn == [mail_id]
    assert worker.deliveries.retried == [("", (mail_id,))], "no hop is woken up"


@pytest.mark.parametrize(
    ("state", "is_notice", "life_s"),
    [(S.DEAD, True, 86400), (S.POISON, False, 432000), (S.UNREACHABLE, False, 432000)],
)
def test_a_mail_that_was_given_up_lives_anew(state: MailState, is_notice: bool, life_s: float) -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org", state=state, is_notice=is_notice, age_s=5000)
    worker.ask(about(RetryMail, mail_id))
    records = worker.store.records(RecordFilter(), limit=9)
    assert [(r.event, json.loads(r.data)["source-context"]) for r in records] == [("RESUBMIT", "root")]
    settle = worker.store.transactions[-1][0]
    assert getattr(settle, "expires_at", None) == NOW + life_s


def test_a_released_mail_lives_anew_and_is_recorded() -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org", "carl@example.org", state=S.QUARANTINED, age_s=900_000)
    worker.ask(about(ReleaseQuarantine, mail_id, 0))
    assert worker.states(mail_id) == ["ready", "quarantined"]
    assert getattr(worker.store.transactions[-1][0], "expires_at", None) == NOW + 432000
    record = worker.store.records(RecordFilter(), limit=9)[0]
    assert (record.event, record.recipients) == ("RELEASE", "bob@example.org")


def test_a_removal_is_recorded_with_who_asked() -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org")
    worker.ask(about(RemoveMail, mail_id))
    record = worker.store.records(RecordFilter(), limit=9)[0]
    assert (record.event, record.mail_id, json.loads(record.data)["source-context"]) == (
        "REMOVE",
        mail_id,
        "root",
    )


def notices(worker: Worker) -> list[str]:
    return [mail.subject for mail in worker.store.find(MailFilter(), limit=99) if mail.is_notice]


def test_a_removal_with_notice_tells_the_sender_in_the_same_transaction() -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org", "carl@example.org")
    before = len(worker.store.transactions)
    # When
    reply = worker.ask(RemoveMail(targets=(Target(mail_id, (1,)),), notice=True))
    # Then
    assert isinstance(reply, Changed)
    assert reply.notices == 1
    assert notices(worker) == ["carl@example.org 554 5.7.0 Removed from the queue by an administrator"]
    assert len(worker.store.transactions) == before + 1
    assert [r.event for r in worker.store.records(RecordFilter(), limit=9)] == ["DSN", "REMOVE"]
    assert len(worker.deliveries.offered) == 1


@pytest.mark.threat("L04")
@pytest.mark.parametrize("is_notice", [True, False])
def test_nobody_is_told_about_a_notice_or_a_bounce(is_notice: bool) -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org", sender=NULL_SENDER, is_notice=is_notice)
    reply = worker.ask(RemoveMail(targets=(Target(mail_id),), notice=True))
    assert isinstance(reply, Changed)
    assert (reply.mails, reply.notices) == (1, 0)
    assert worker.store.find(MailFilter(), limit=9) == []


def test_a_store_that_fails_changes_nothing_and_says_so() -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org")
    worker.store.failure = WorldFault("disk is full")
    answer = decode_reply(asyncio.run(worker.commands.answer(encode(about(RemoveMail, mail_id)))))
    assert answer == Refused("disk is full")
    assert worker.states(mail_id) == ["deferred"]


def test_retrying_a_hop_frees_all_that_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    worker = Worker()
    here = [worker.put("bob@example.org", "x@example.net") for _ in range(5)]
    other = worker.put("carl@example.net")
    reply = worker.ask(RetryHop(next_hop="old:example.org"))
    assert isinstance(reply, Changed)
    assert (reply.mails, reply.recipients) == (5, 5)
    assert all(worker.states(mail_id) == ["ready", "deferred"] for mail_id in here)
    assert worker.states(other) == ["deferred"]
    assert worker.deliveries.retried == [("old:example.org", ())]


def test_retrying_every_hop() -> None:
    worker = Worker()
    mails = [worker.put("bob@example.org"), worker.put("carl@example.net")]
    worker.ask(RetryHop())
    assert [worker.states(mail_id) for mail_id in mails] == [["ready"], ["ready"]]


def test_a_hop_is_suspended_and_resumed_with_what_was_put_off() -> None:
    worker = Worker()
    mail_id = worker.put("bob@example.org")
    worker.ask(SuspendHop(next_hop="old:example.org"))
    status = worker.ask(AskStatus())
    assert isinstance(status, WorkerStatus)
    assert [hop.next_hop for hop in status.hops if hop.suspended] == ["old:example.org"]
    # When
    worker.ask(ResumeHop(next_hop="old:example.org"))
    assert worker.deliveries.suspended == set()
    assert worker.states(mail_id) == ["ready"]


def test_without_the_gateway_mails_are_changed_and_hops_are_not() -> None:
    worker = Worker(running=False)
    mail_id = worker.put("bob@example.org")
    assert isinstance(worker.ask(SuspendHop(next_hop="old:example.org")), Refused)
    reply = worker.ask(about(RemoveMail, mail_id))
    assert isinstance(reply, Changed)
    assert worker.states(mail_id) == []


def test_status_metrics_and_log() -> None:
    worker = Worker(3)
    worker.store.reason = "disk is low"
    status = worker.ask(AskStatus())
    assert isinstance(status, WorkerStatus)
    assert (status.worker, status.not_accepting) == (3, "disk is low")
    assert worker.ask(AskMetrics()) == Samples()
    assert worker.ask(ReopenLog()) == Changed()
