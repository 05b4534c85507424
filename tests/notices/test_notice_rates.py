"""Nobody is flooded with notices of ours: so many an hour to a domain, fewer to one address."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.notices.test_notices import CONTENT, MAIL, NO_USER, NOW, TOKEN, house

from gatepost.model.address import Address
from gatepost.model.queued import Accept, QueuedMail
from gatepost.notices.compose import House, compose_delay, compose_failure
from gatepost.notices.policy import Silence
from gatepost.notices.rate import WINDOW_S, NoticeRate

ANN, CARL = Address("ann", "example.net"), Address("carl", "example.net")


def failure(mail: QueuedMail, at: House, now: float = NOW) -> Accept | Silence:
    failed = [(mail.recipients[0], NO_USER)]
    return compose_failure(mail, failed, CONTENT, house=at, now=now, mail_id=99, token=TOKEN)


@pytest.mark.threat("L11", "L06")
def test_one_sender_has_fewer_than_its_domain() -> None:
    # Given two notices an hour for an address, three for a domain
    at = replace(house(), rate=NoticeRate(limit=3), sender_rate=NoticeRate(limit=2))
    told = [failure(replace(MAIL, sender=sender), at) for sender in (ANN, ANN, ANN, CARL, CARL)]
    # Then the third to ann is not written, and does not count for the domain
    assert [silence if isinstance(silence, Silence) else None for silence in told] == [
        None,
        None,
        Silence.SENDER_RATE,
        None,
        Silence.RATE,
    ]
    # And an hour later it is
    assert isinstance(failure(replace(MAIL, sender=ANN), at, NOW + WINDOW_S), Accept)


def test_an_address_is_one_address_in_any_case() -> None:
    at = replace(house(), sender_rate=NoticeRate(limit=1))
    assert isinstance(failure(replace(MAIL, sender=ANN), at), Accept)
    assert failure(replace(MAIL, sender=Address("Ann", "example.net")), at) is Silence.SENDER_RATE


def test_every_kind_of_notice_counts() -> None:
    at = replace(house(), sender_rate=NoticeRate(limit=1))
    waiting = [(MAIL.recipients[0], "451 4.4.1 no answer")]
    assert isinstance(
        compose_delay(MAIL, waiting, CONTENT, house=at, now=NOW, mail_id=98, token=TOKEN), Accept
    )
    assert failure(MAIL, at) is Silence.SENDER_RATE


def test_silence_for_another_reason_counts_nothing() -> None:
    at = replace(house(), sender_rate=NoticeRate(limit=1))
    assert failure(replace(MAIL, authenticated=False), at) is Silence.UNKNOWN_SENDER
    assert isinstance(failure(MAIL, at), Accept)
