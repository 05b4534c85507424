"""A mail's priority in its row, and rows written before there were priorities."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from tests.delivery.fakes import mail_to

from gatepost.adapters.sqlite_rows import _rest, mail_from_row
from gatepost.model.proof import ProvenBy, ReturnPathProof
from gatepost.model.queued import Priority, QueuedMail


def row_of(mail: QueuedMail, rest: bytes) -> tuple[object, ...]:
    return (
        mail.mail_id,
        mail.received_at,
        mail.expires_at,
        mail.size_bytes,
        mail.source,
        "",
        "ann@us.example",
        rest,
    )


@pytest.mark.parametrize("priority", list(Priority))
def test_a_priority_comes_back(priority: Priority) -> None:
    mail = replace(mail_to("b@b.example"), priority=priority)
    assert mail_from_row(row_of(mail, _rest(mail, None)), mail.recipients) == mail


@pytest.mark.threat("O14")
def test_a_row_of_the_first_version_is_normal() -> None:
    mail = replace(mail_to("b@b.example"), scl=4, authenticated=True)
    values = msgspec.msgpack.decode(_rest(mail, None))
    old = msgspec.msgpack.encode(tuple(values[:-3]))
    assert mail_from_row(row_of(mail, old), mail.recipients) == mail


@pytest.mark.parametrize("by", list(ProvenBy))
def test_what_proves_a_return_path_comes_back(by: ProvenBy) -> None:
    mail = replace(mail_to("b@b.example"), proof=ReturnPathProof(by=by, detail="a.example"))
    assert mail_from_row(row_of(mail, _rest(mail, None)), mail.recipients) == mail


@pytest.mark.threat("O14")
def test_the_return_path_of_a_row_from_before_is_not_proven() -> None:
    mail = replace(mail_to("b@b.example"), priority=Priority.LOW)
    values = msgspec.msgpack.decode(_rest(mail, None))
    old = msgspec.msgpack.encode(tuple(values[:-2]))
    assert mail_from_row(row_of(mail, old), mail.recipients) == mail
    assert not mail.proof.holds
