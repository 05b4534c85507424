"""Mistakes that beginners make, and the remedy each of them is told: a new user's first hour."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.config.toml_mistakes import remedy
from gatepost.policy.order import agent_settings

SERVER = '[server]\nhostname = "mx.example.com"\n'
DOOR = '[receive-connectors.internet]\nlisten = ["0.0.0.0:25"]\n'


@dataclass(frozen=True)
class Slip:
    name: str
    text: str
    said: str


SLIPS = (
    Slip(
        "a text without quotes",
        f"{SERVER}{DOOR}tls = optional\n",
        'g.toml:5: not TOML: Invalid value: text, durations and sizes stand in quotes: tls = "optional"',
    ),
    Slip("a duration without quotes", f"{SERVER}{DOOR}tarpit = 5s\n", 'stand in quotes: tarpit = "5s"'),
    Slip(
        "an address without quotes",
        "[server]\nhostname = mx.example.com\n",
        'stand in quotes: hostname = "mx.example.com"',
    ),
    Slip(
        "a quote that does not end",
        '[server]\nhostname = "mx.example.com\n',
        "g.toml:2: not TOML: Illegal character '\\n': the text has no \" at its end",
    ),
    Slip(
        "quotes of a word processor",
        "[server]\nhostname = “mx.example.com”\n",
        'straight quotes are needed: "..."',
    ),
    Slip("Python's truth", f"{SERVER}{DOOR}auth = True\n", "write auth = true"),
    Slip("another format's truth", f"{SERVER}{DOOR}auth = yes\n", "write auth = true"),
    Slip("a truth in quotes", f'{SERVER}{DOOR}auth = "yes"\n', 'auth: must be true or false, not "yes"'),
    Slip("no value", f"{SERVER}[log]\nlevel =\n", "level has no value"),
    Slip("a colon", f'{SERVER}[log]\nlevel: "info"\n', "a setting is written level = ..."),
    Slip("no sign at all", f'{SERVER}[log]\nlevel "info"\n', "a setting is written level = ..."),
    Slip("a comment of another language", f"{SERVER}// doors\n", "a comment begins with #"),
    Slip("a table without its bracket", f"{SERVER}[log\n", "a table's name stands in brackets: [name]"),
    Slip(
        "a list without its bracket",
        f'{SERVER}[receive-connectors.internet]\nlisten = ["0.0.0.0:25"\ntls = "none"\n',
        "has no ] at its end, or no comma between two values",
    ),
    Slip("a setting twice", f"{SERVER}workers = 1\nworkers = 2\n", "workers is there already, in line 3"),
    Slip(
        "a table twice",
        f'{SERVER}[log]\nlevel = "info"\n[log]\n',
        "[log] is there already, in line 3: put both together",
    ),
    Slip("a path of Windows", f'{SERVER}[log]\nfile = "C:\\logs"\n', "a backslash is written twice"),
    Slip(
        "a byte order mark",
        f"\ufeff{SERVER}",
        "the file begins with a byte order mark: save it as UTF-8 without one",
    ),
    Slip(
        "a domain without quotes",
        f"{SERVER}[accepted-domains.example.co.uk]\n",
        'a name with dots stands in quotes: [accepted-domains."example.co.uk"]',
    ),
    Slip(
        "a connector without a name",
        f'{SERVER}[receive-connectors]\nlisten = ["0.0.0.0:25"]\n',
        "receive-connectors.listen: stands below a name of your choice: [receive-connectors.NAME]",
    ),
    Slip(
        "connectors as a list",
        f'{SERVER}[[receive-connectors]]\nlisten = ["0.0.0.0:25"]\n',
        "receive-connectors: stands below a name of your choice: [receive-connectors.NAME]",
    ),
    Slip(
        "a setting above its table",
        'hostname = "mx.example.com"\n',
        "g.toml:1: hostname: unknown setting here, did you mean server.hostname?",
    ),
    Slip(
        "a setting of an inner table",
        f'{SERVER}{DOOR}message-size = "10MiB"\n',
        "did you mean receive-connectors.internet.limits.message-size?",
    ),
    Slip(
        "Exchange's name",
        f"{SERVER}{DOOR}MaxMessageSize = 1\n",
        "did you mean receive-connectors.internet.limits.message-size?",
    ),
    Slip(
        "Exchange's spelling",
        f"{SERVER}{DOOR}[receive-connectors.internet.limits]\nHopCount = 1\n",
        "did you mean hop-count?",
    ),
    Slip("underscores", f"{SERVER}{DOOR}remote_ranges = []\n", "did you mean remote-ranges?"),
    Slip(
        "a table's name misspelt",
        f"{SERVER}[receive_connector.internet]\n",
        "did you mean receive-connectors?",
    ),
    Slip(
        "megabytes",
        f'{SERVER}{DOOR}[receive-connectors.internet.limits]\nmessage-size = "10 MB"\n',
        "did you mean 10MiB?",
    ),
    Slip("minutes", f'{SERVER}{DOOR}tarpit = "5 minutes"\n', "did you mean 5m?"),
    Slip(
        "a star for every address",
        f'{SERVER}[receive-connectors.internet]\nlisten = ["*:25"]\n',
        'every address is written "0.0.0.0:PORT" (IPv4) and "[::]:PORT" (IPv6)',
    ),
    Slip(
        "a number in quotes",
        f'{SERVER}workers = "2"\n',
        'server.workers: "2" is not accepted (accepted: auto, a whole number)',
    ),
    Slip(
        "a list for a text", f'{SERVER}[log]\nfile = ["x"]\n', 'log.file: must be text in quotes, not ["x"]'
    ),
    Slip("nothing", "", "g.toml: server: must be given, with hostname"),
)


@pytest.mark.threat("T02")
@pytest.mark.parametrize("slip", SLIPS, ids=lambda s: s.name)
def test_a_beginner_is_told_the_remedy(slip: Slip) -> None:
    with pytest.raises(ConfigurationErrors) as found:
        load_text(slip.text, file="g.toml", agent_settings=agent_settings)
    assert slip.said in str(found.value)


@given(
    text=st.text(max_size=200), line=st.integers(-1, 9), said=st.sampled_from(["Invalid value", "twice", "]"])
)
def test_a_remedy_is_one_sentence_or_none_whatever_the_file(text: str, line: int, said: str) -> None:
    assert "\n" not in remedy(text, line, said)
