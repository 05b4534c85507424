"""What is remembered of the answers to EHLO never announces more, or less, than is offered now."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.address import Address
from gatepost.model.content import BodyForm
from gatepost.model.envelope import Recipient
from gatepost.protocol.announcement import CACHED_ANNOUNCEMENTS, announced
from gatepost.protocol.events import EndOfData, Event, Hello, Mail, Offer, Other, Rcpt, Verb

OFFER = Offer(hostname="ours.example", size_bytes=1000)

ANN = Address("ann", "a.example")
EVENTS: list[tuple[Event, str]] = [
    (Hello(Verb.EHLO, "a.example"), "name"),
    (Mail(sender=ANN), "sender"),
    (Rcpt(Recipient(address=ANN)), "recipient"),
    (EndOfData(BodyForm()), "refusal"),
    (Other(Verb.NOOP), "argument"),
]


@pytest.mark.parametrize(("event", "name"), EVENTS, ids=lambda x: x if isinstance(x, str) else None)
def test_what_the_client_said_cannot_be_changed(event: Event, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(event, name, "other")


@given(
    starttls=st.booleans(),
    require_tls=st.booleans(),
    auth=st.sampled_from([(), ("PLAIN",), ("PLAIN", "LOGIN")]),
    tls=st.booleans(),
    authenticated=st.booleans(),
    size_bytes=st.sampled_from([0, 1000, 2000]),
)
def test_each_state_of_a_session_has_its_own_words(
    *,
    starttls: bool,
    require_tls: bool,
    auth: tuple[str, ...],
    tls: bool,
    authenticated: bool,
    size_bytes: int,
) -> None:
    offer = replace(OFFER, starttls=starttls, require_tls=require_tls, auth=auth, size_bytes=size_bytes)
    # When the same question comes twice, others between
    first = announced(offer, "Hello", tls=tls, authenticated=authenticated)
    announced(offer, "Hello", tls=not tls, authenticated=authenticated)
    announced(offer, "Hello", tls=tls, authenticated=not authenticated)
    lines = announced(offer, "Hello", tls=tls, authenticated=authenticated).more
    # Then
    assert lines == first.more
    assert ("STARTTLS" in lines) == (starttls and not tls)
    assert ("REQUIRETLS" in lines) == (require_tls and tls)
    assert (f"AUTH {' '.join(auth)}" in lines) == (bool(auth) and not authenticated)
    assert f"SIZE {size_bytes}" in lines


def test_no_more_answers_are_remembered_than_the_limit() -> None:
    for number in range(CACHED_ANNOUNCEMENTS + 10):
        announced(OFFER, f"Hello {number}", tls=False, authenticated=False)
    assert announced.cache_info().currsize == CACHED_ANNOUNCEMENTS


@pytest.mark.parametrize(
    ("messages", "said"), [(0, ""), (1, " MAILMAX=1"), (999_999, " MAILMAX=999999"), (1_000_000, "")]
)
def test_a_limit_of_more_than_six_digits_is_not_announced(messages: int, said: str) -> None:
    lines = announced(replace(OFFER, messages=messages), "Hello", tls=False, authenticated=False).more
    assert f"LIMITS RCPTMAX=1000{said}" in lines
