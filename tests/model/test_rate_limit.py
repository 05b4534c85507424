"""What a rate limit counts a mail with."""

from __future__ import annotations

import pytest
from tests.policy.fakes import session, view

from gatepost.model.ip_ranges import IpRanges
from gatepost.model.rate_limit import Counted, RateRule
from gatepost.model.verdict import Stage


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.END_OF_DATA])
@pytest.mark.parametrize(
    ("by", "exempt", "key"),
    [
        ("client", (), "few 10.0.0.5"),
        ("network", (), "few 10.0.0.0/24"),
        ("client", ("192.0.2.7",), "few 10.0.0.5"),
        ("client", ("10.0.0.0/8",), ""),
    ],
)
def test_a_relay_of_ours_is_counted_itself_at_every_stage(
    stage: Stage, by: str, exempt: tuple[str, ...], key: str
) -> None:
    rule = RateRule(
        name="few",
        by=(by,),
        counted=Counted.MAILS,
        amount=1,
        per_s=1.0,
        action="defer",
        exempt=IpRanges(exempt),
    )
    behind = session(client_ip="10.0.0.5", origin_ip="192.0.2.7")
    assert rule.key_for(view(stage, who=behind)) == key
