"""What is probably not meant about how mail leaves: said, and allowed."""

from __future__ import annotations

import pytest
from tests.config.mistakes import DOOR, SERVER, WAY
from tests.config.test_mistakes import loaded

NO_EFFECT = "its limits would have no effect"
BY_SMART_HOST = '[send-connectors.b]\naddress-spaces = ["b.example"]\nsmart-hosts = ["[192.0.2.1]"]\n'
ONLY_BY_SMART_HOST = WAY + 'smart-hosts = ["[192.0.2.1]"]\n'
TAKEN_AND_RETURNED = "or larger mail is taken and then returned"
OURS = "[accepted-domains.'a.example']\n" + DOOR
NOWHERE = 'no enabled send connector has the address space "*"'
INSIDE = "[send-connectors.in]\naddress-spaces = ['--']\nsmart-hosts = ['[192.0.2.1]']\n"
LOG_IN = "[receive-connectors.submission]\nprofile = 'submission'\n"
RELAYING = (
    "[receive-connectors.internet.ranges.app]\naddresses = ['10.0.0.7']\nrights = ['submit', 'relay']\n"
)
CASES = [
    ("limits of a domain sent to by MX", WAY + "[destinations.'a.example']\n", NO_EFFECT, False),
    ("of everybody", ONLY_BY_SMART_HOST + "[destinations.'*']\n", NO_EFFECT, False),
    (
        "of a domain that only a smart host carries",
        ONLY_BY_SMART_HOST + "[destinations.'a.example']\n",
        NO_EFFECT,
        True,
    ),
    ("of subdomains nobody carries by MX", BY_SMART_HOST + "[destinations.'*.c.example']\n", NO_EFFECT, True),
    (
        "reports that nobody signs",
        WAY + "[dmarc-reports]\nsender = 'dmarc@a.example'\n",
        "many refuse reports without signature",
        True,
    ),
    ("no reports", WAY, "many refuse reports without signature", False),
    (
        "an address of ours",
        WAY + 'source-addresses = ["127.0.0.1"]\n',
        "is not an address of this machine",
        False,
    ),
    (
        "of another machine",
        WAY + 'source-addresses = ["192.0.2.77"]\n',
        "is not an address of this machine",
        True,
    ),
    ("less than the door takes", OURS + WAY + 'message-size = "1MiB"\n', TAKEN_AND_RETURNED, True),
    ("as much as the door takes", OURS + WAY + 'message-size = "36MiB"\n', TAKEN_AND_RETURNED, False),
    (
        "less, with another way for the rest",
        OURS + WAY + "message-size = '1MiB'\n[send-connectors.b]\naddress-spaces = ['*;2']\n",
        TAKEN_AND_RETURNED,
        False,
    ),
    (
        "a way of its own that is switched off",
        OURS + "send-connector = 'out'\n" + WAY + "enabled = false\n",
        "is not enabled: mail goes as routing chooses",
        True,
    ),
    ("accounts may relay and nothing leads out", LOG_IN + INSIDE, NOWHERE, True),
    ("a range may", DOOR + RELAYING + INSIDE, NOWHERE, True),
    ("there is a way out", LOG_IN + INSIDE + WAY.replace("out]", "world]"), NOWHERE, False),
    ("the door has one of its own", LOG_IN + "send-connector = 'in'\n" + INSIDE, NOWHERE, False),
    ("nobody may relay", DOOR + INSIDE, NOWHERE, False),
    (
        "left to the system",
        WAY + 'source-addresses = ["0.0.0.0"]\n',
        "is not an address of this machine",
        False,
    ),
]


@pytest.mark.threat("T02")
@pytest.mark.parametrize(("text", "words", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_warnings(text: str, words: str, said: bool) -> None:
    assert any(words in str(warning) for warning in loaded(SERVER + text).warnings) is said
