"""Internal relays that cannot be meant are refused; rights that make them useless are pointed at."""

from __future__ import annotations

import pytest
from tests.config.mistakes import DOOR, SERVER
from tests.config.test_mistakes import loaded

from gatepost.config.errors import ConfigurationErrors

RIGHTS = '[receive-connectors.internet.ranges.relay]\naddresses = ["10.0.0.5"]\nrights = ["submit"{more}]\n'


def relays(text: str) -> str:
    return f"{SERVER}internal-relays = [{text}]\n{DOOR}"


@pytest.mark.threat("Q09")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"0.0.0.0/0"', "g.toml:3: server.internal-relays"),
        ('"10.0.0.1", "::/0"', "names everybody"),
        ('"10.0.0.1/8"', "has host bits set"),
        ('"relay.example"', "'relay.example' does not appear to be"),
        ('"10.0.0.9-10.0.0.1"', "is not a range from a lower to a higher address"),
    ],
)
def test_relays_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigurationErrors) as raised:
        loaded(relays(text))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("listed", "more", "warned"),
    [
        ('"10.0.0.0/8"', ', "bypass-filters"', True),
        ('"10.0.0.0/8"', "", False),
        ("", ', "bypass-filters"', False),
    ],
)
def test_a_relay_that_bypasses_filters(listed: str, more: str, warned: bool) -> None:  # a table
    warnings = map(str, loaded(relays(listed) + RIGHTS.format(more=more)).warnings)
    assert any("what they bring is not judged at all" in warning for warning in warnings) is warned
