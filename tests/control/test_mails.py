"""One view of the mails of several workers, and commands that reach the right one."""

from __future__ import annotations

from itertools import islice

import pytest
from tests.control.mailroom import CONTENT, NOW, Worker

from gatepost.control.commands import AskStatus, Refused, RemoveMail, RetryHop, RetryMail, Target
from gatepost.control.links import SocketLink, act, changed, tell_all
from gatepost.control.mails import (
    content_of,
    dossier_of,
    each_mail,
    mail_of,
    records_of,
    summary_of,
)
from gatepost.model.fault import WorldFault
from gatepost.model.queued import KeepDossier, KeepRecords, MailState, StoredRecord
from gatepost.ports.store import MailFilter, RecordFilter


def two() -> tuple[Worker, Worker]:
    return Worker(0), Worker(1)


def test_mails_of_all_workers_are_listed_by_age() -> None:
    one, other = two()
    ids = [w.put("bob@example.org", age_s=age) for w, age in ((one, 40), (other, 30), (one, 20), (other, 10))]
    found = list(islice(each_mail([one.store, other.store], MailFilter()), 3))
    assert [f.mail.mail_id for f in found] == ids[:3]


def test_pages_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.control.mails.PAGE", 2)
    one, other = two()
    ids = {w.put("bob@example.org", age_s=age) for age in range(1, 6) for w in (one, other)}
    assert {f.mail.mail_id for f in each_mail([one.store, other.store], MailFilter())} == ids


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (MailFilter(recipient="bob@example.org"), (0,)),
        (MailFilter(recipient="*@EXAMPLE.org"), (0, 1)),
        (MailFilter(recipient="*"), ()),
        (MailFilter(next_hop="old:example.net"), (2,)),
        (MailFilter(recipient="*b@*.or*"), (0,)),
        (MailFilter(state=MailState.DEFERRED), ()),
    ],
)
def test_a_target_names_the_recipients_that_fit(wanted: MailFilter, numbers: tuple[int, ...]) -> None:
    worker = Worker()
    worker.put("bob@example.org", "carl@example.org", "dan@example.net")
    assert [f.target.numbers for f in each_mail([worker.store], wanted)] == [numbers]


def test_one_mail_is_found_wherever_it_is() -> None:
    one, other = two()
    mail_id = other.put("bob@example.org")
    readers = [one.store, other.store]
    mail, content = mail_of(readers, mail_id), content_of(readers, mail_id)
    assert mail is not None
    assert mail.mail_id == mail_id
    assert content == (other.store, CONTENT)
    assert mail_of(readers, 5) is None
    assert content_of(readers, 5) is None


def test_a_next_hop_is_one_line_over_all_workers() -> None:
    one, other = two()
    one.put("bob@example.org", "carl@example.net", age_s=10)
    other.put("bob@example.org", age_s=99, state=MailState.SUSPENDED)
    hops = summary_of([one.store, other.store])
    assert [(h.next_hop, h.mails, h.recipients) for h in hops] == [
        ("old:example.org", 2, 2),
        ("old:example.net", 1, 1),
    ]
    assert dict(hops[0].states) == {"deferred": 1, "suspended": 1}
    assert (hops[0].oldest_at, hops[0].next_due_at) == (NOW - 99, NOW + 500)


def test_records_of_all_workers_are_newest_first() -> None:
    one, other = two()
    for worker, at in ((one, 1.0), (other, 2.0), (one, 3.0)):
        worker.store.commit([KeepRecords(records=(StoredRecord(kind="track", at=at, event="SEND"),))])
    found = records_of([one.store, other.store], RecordFilter(), limit=2)
    assert [record.at for record in found] == [3.0, 2.0]


def test_a_dossier_is_found_wherever_it_is() -> None:
    one, other = two()
    other.store.commit([KeepDossier(mail_id=7, at=NOW, data=b"why")])
    assert dossier_of([one.store, other.store], 7) == b"why"
    assert dossier_of([one.store, other.store], 8) is None


def test_a_command_reaches_the_worker_that_holds_the_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.control.links.BATCH_TARGETS", 2)
    one, other = two()
    ids = [w.put("bob@example.org") for w in (one, other, one, one)]
    done = act([one, other], [Target(i) for i in ids], lambda targets: RemoveMail(targets=targets))
    assert (done.mails, done.skipped) == (4, ())


def test_a_worker_that_is_not_there_is_said() -> None:
    one, other = two()
    mail_id = other.put("bob@example.org")
    done = act([one], [Target(mail_id)], lambda targets: RetryMail(targets=targets))
    assert [(s.mail_id, s.reason) for s in done.skipped] == [(mail_id, "worker 1 cannot be reached")]


def test_a_command_for_all_is_added_up() -> None:
    one, other = two()
    one.put("bob@example.org")
    other.put("bob@example.org")
    assert tell_all([one, other], RetryHop()).mails == 2


def test_a_refusal_is_a_world_fault() -> None:
    with pytest.raises(WorldFault, match="no"):
        changed(Refused("no"))


@pytest.mark.parametrize("answer", [b"", b"garbage", b"\xc0"])
def test_a_worker_that_answers_nonsense_is_a_world_fault(answer: bytes) -> None:
    with pytest.raises(WorldFault, match="something else"):
        SocketLink(0, lambda request: answer).ask(AskStatus())
