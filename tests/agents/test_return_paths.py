"""Notices about mail that was never ours, and notices too large to be led back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import site, view
from tests.standards.test_return_paths import NOW, OUT, PATHS, STRANGER

from gatepost.agents.return_paths import ReturnPaths
from gatepost.facts.bounce_tags import BounceTags, read_bounce_tags
from gatepost.model.address import Address
from gatepost.model.verdict import Stage, Verdict

REFUSE: dict[str, Any] = {"untagged-notices": "refuse"}
SMALL: dict[str, Any] = {"srs-size": "1KiB"}
BOB, LED_BACK = Address("bob", "gate.test"), Address("SRS0=AAAAAAAA=AA=a.test=b", "gate.test")


def judge(fact: BounceTags, *, head: bytes = b"From: a@b.test\r\n\r\n", **wishes: Any) -> Verdict:
    return ask(ReturnPaths(settings(ReturnPaths, wishes), site()), view(Stage.END_OF_DATA, head=head), fact)


@pytest.mark.threat("L08")
def test_an_untagged_notice_is_weighed_or_refused_for_whom_it_is_about() -> None:
    fact = BounceTags(untagged=(BOB,))
    weighed, refused = judge(fact), judge(fact, **REFUSE)
    assert (said(weighed), weighed.recipients) == ("pass", (BOB,))
    assert [found.name for found in weighed.findings] == ["untagged-notice"]
    assert (said(refused), refused.recipients) == ("550 5.7.1", (BOB,))


@pytest.mark.threat("L14")
def test_a_large_notice_is_not_led_back() -> None:
    fact = BounceTags(led_back=(LED_BACK,))
    assert said(judge(fact)) == "pass"
    refused = judge(fact, head=b"X: " + b"x" * 2000 + b"\r\n\r\n", **SMALL)
    assert (said(refused), refused.recipients) == ("552 5.3.4", (LED_BACK,))


def test_other_mail_is_left_alone() -> None:
    assert judge(BounceTags()).findings == ()


def test_the_fact_is_about_notices_and_rewritten_paths() -> None:
    path = PATHS.leaving(STRANGER, [OUT], NOW)
    to = ("bob@gate.test", "ann@elsewhere.test", f"{path.local}@{path.domain}")
    notice = read_bounce_tags(view(Stage.END_OF_DATA, sender="", recipients=to), PATHS)
    assert (notice.untagged, notice.led_back) == ((BOB,), (path,))
    other = read_bounce_tags(view(Stage.END_OF_DATA, recipients=to), PATHS)
    assert (other.untagged, other.led_back) == ((), (path,))
    assert read_bounce_tags(view(Stage.END_OF_DATA, sender="", recipients=to), None) == BounceTags()
