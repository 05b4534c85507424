"""The counts of one session: what is an error, what is forgiven, and where a limit lies to the octet."""

from __future__ import annotations

import pytest

from gatepost.config.limit_settings import Limits
from gatepost.intake.limit_hit import LimitHit
from gatepost.intake.rates import Minute
from gatepost.intake.session_limits import SessionLimits

STRICT = Limits.model_validate(
    {
        "errors-soft": 2,
        "errors-hard": 4,
        "junk-commands": 3,
        "message-size": "64KiB",
        "session-size": "64KiB",
        "messages-per-session": 2,
        "message-rate-per-source": 2,
        "recipient-rate-per-source": 0,
    }
)


def session() -> SessionLimits:
    return SessionLimits(STRICT)


def name_of(hit: LimitHit | None) -> str:
    return hit.limit if hit else ""


@pytest.mark.threat("B29")
def test_errors_are_slow_after_some_and_close_after_more() -> None:
    made, seen = session(), []
    for _ in range(5):
        hit = made.error()
        seen.append((made.delay_s, name_of(hit)))
    assert seen == [(0.0, ""), (0.0, ""), (1.0, ""), (1.0, ""), (1.0, "errors-hard")]


@pytest.mark.threat("B29")
def test_idle_commands_are_errors_after_some() -> None:
    made = session()
    for _ in range(3):
        made.junk()
    assert made.error() is None
    made.junk()
    made.junk()
    made.junk()
    hit = made.error()
    assert hit is not None
    assert (hit.limit, hit.value, hit.actual) == ("errors-hard", 4, 5)
    assert hit.reply.code == 421


@pytest.mark.threat("B25")
def test_what_is_forgiven_is_no_error() -> None:
    made = session()
    for _ in range(100):
        made.forgive()
        assert made.error() is None
    assert made.delay_s == 0.0


@pytest.mark.parametrize(
    ("content_bytes", "declared_bytes", "limit"),
    [
        (65536, 0, ""),
        (65537, 0, "session-size"),
        (60000, 5536, ""),
        (60000, 5537, "session-size"),
        (0, 65536, ""),
    ],
)
def test_content_of_a_session_to_the_octet(content_bytes: int, declared_bytes: int, limit: str) -> None:
    made = session()
    made.content(content_bytes)
    assert name_of(made.at_mail(declared_bytes, 0.0)) == limit


@pytest.mark.threat("G17")
def test_messages_count_when_they_were_agreed_to() -> None:
    made = session()
    for _ in range(5):
        assert made.at_mail(0, 0.0) is None
    made.message_begun()
    made.message_begun()
    assert name_of(made.at_mail(0, 0.0)) == "messages-per-session"


def test_rates_are_for_sources_that_are_counted_and_limits_that_are_set() -> None:
    made = session()
    assert [name_of(made.at_mail(0, 0.0)) for _ in range(4)] == [""] * 4
    made.minute = Minute()
    rate = "message-rate-per-source"
    assert [name_of(made.at_mail(0, 0.0)) for _ in range(4)] == ["", "", rate, rate]
    assert name_of(made.at_mail(0, 60.0)) == ""
    # 0 is no limit
    assert [name_of(made.at_rcpt(0.0)) for _ in range(100)] == [""] * 100
