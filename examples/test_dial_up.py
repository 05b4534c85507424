"""Its test: an agent is asked without any gateway."""

from __future__ import annotations

import pytest
from examples.dial_up import Agent

from gatepost.facts.reverse_dns import ReverseDns
from gatepost.lab.trial import ask

CASES = [
    ("no name at all", (), []),
    ("a mail server", ("mx1.friend.example",), []),
    ("its address in its name", ("192-0-2-7.isp.example",), ["dial-up-client"]),
    ("a telling word", ("host7.pool.isp.example",), ["dial-up-client"]),
    ("only a part of a word", ("liverpool.example",), []),
    ("the second of two names", ("mx1.friend.example", "7.dsl.isp.example"), ["dial-up-client"]),
]


@pytest.mark.parametrize(("names", "found"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_dial_up(names: tuple[str, ...], found: list[str]) -> None:
    verdict = ask(Agent, ReverseDns(address="192.0.2.7", names=names))
    assert [finding.name for finding in verdict.findings] == found
