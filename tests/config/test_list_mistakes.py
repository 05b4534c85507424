"""Mistakes about lists are said with their line, as all others are."""

from __future__ import annotations

import pytest
from tests.config.mistakes import Mistake

from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.policy.order import agent_settings

FEED = '[list-feeds.a]\nurl = "https://lists.example.org/a"\n'
LISTS = [
    Mistake(
        "a feed from nowhere",
        "[list-feeds.a]\n",
        ("g.toml:3: list-feeds.a: has one source: either file or url",),
    ),
    Mistake(
        "a feed in the clear",
        '[list-feeds.a]\nurl = "http://lists.example.org/a"\n',
        ("g.toml:4: list-feeds.a.url: 'http://lists.example.org/a' does not begin with https://",),
    ),
    Mistake(
        "a relative file",
        '[list-feeds.a]\nfile = "a"\n',
        ("g.toml:4: list-feeds.a.file: must be an absolute path",),
    ),
    Mistake(
        "domains on a list of addresses",
        FEED + 'format = "dnset"\n',
        (
            "g.toml:3: list-feeds.a.counts-as: a list of domains (dnset) cannot be on a list of addresses "
            "(accepted: provider)",
        ),
    ),
    Mistake(
        "a list of addresses among those of domains",
        FEED
        + 'counts-as = "provider"\n[domain-list-providers.d]\nfeeds = ["a"]\nreply = "{nam}"\nasked = []\n',
        (
            "g.toml:7: domain-list-providers.d.feeds[0]: list-feeds.a (text) lists addresses; here belong domains",
            "g.toml:8: domain-list-providers.d.reply: {nam} is no placeholder: there are {name}, {ip}, "
            "{provider}, {zone}, {code}, {text}",
            "g.toml:9: domain-list-providers.d.asked: is empty: it would never be asked (accepted: helo, reverse-dns, "
            "sender, author)",
        ),
    ),
    Mistake(
        "a provider without a zone",
        "[block-list-providers.a]\n",
        ("g.toml:3: block-list-providers.a: is asked in one way: either zone or feeds",),
    ),
    Mistake(
        "a provider with half a zone",
        '[allow-list-providers.a]\nzone = "a..b"\n',
        (
            "g.toml:4: allow-list-providers.a.zone: 'a..b': not a domain name: labels of letters, digits and hyphens, "
            "joined by dots",
        ),
    ),
    Mistake(
        "an answer that never counts",
        '[block-list-providers.a]\nzone = "bl.test"\nanswers = ["127.255.255.254"]\n',
        (
            "g.toml:5: block-list-providers.a.answers: '127.255.255.254' never counts: listings are in 127.0.0.0/8, "
            "and 127.255.255.0/24 means that the provider does not answer us",
        ),
    ),
    Mistake(
        "a mask without bits",
        '[block-list-providers.a]\nzone = "bl.test"\nbitmask = "127.0.0.0"\n',
        (
            "g.toml:5: block-list-providers.a.bitmask: '127.0.0.0' is no mask such as 127.0.0.6: its last octet has "
            "the bits that count",
        ),
    ),
    Mistake(
        "an unknown placeholder",
        '[block-list-providers.a]\nzone = "bl.test"\nreply = "{0}"\n',
        (
            "g.toml:5: block-list-providers.a.reply: {0} is no placeholder: there are {ip}, {provider}, {zone}, "
            "{code}, {text}",
        ),
    ),
    Mistake(
        "a feed that is not there",
        FEED + 'counts-as = "provider"\n[block-list-providers.b]\nfeeds = ["aa"]\n',
        (
            "g.toml:7: block-list-providers.b.feeds[0]: there is no list-feeds.aa, did you mean a? (accepted: a)",
        ),
    ),
    Mistake(
        "a feed that is a list itself",
        FEED + '[block-list-providers.b]\nfeeds = ["a"]\n',
        (
            "g.toml:6: block-list-providers.b.feeds[0]: list-feeds.a counts as block: a provider's feed has "
            "counts-as = provider",
        ),
    ),
    Mistake(
        "an allow list that skips nobody",
        '[agents.ip-lists]\nallow-skips = ["greylistng"]\n',
        (
            'g.toml:4: agents.ip-lists.allow-skips[0]: there is no agent "greylistng", did you mean greylisting? '
            "(accepted: authentication-results, automatic-replies, block-list-providers, connection-control, dkim, "
            "dmarc, domain-list-providers, greylisting, header-sender, helo-check, ip-lists, loop-detection, ...)",
        ),
    ),
    Mistake(
        "rests that shrink",
        '[dns-lists]\nrest = "1h"\n',
        ("g.toml:4: dns-lists.rest: is longer than longest-rest",),
    ),
]


@pytest.mark.parametrize("mistake", LISTS, ids=lambda m: m.name)
def test_a_mistake_is_refused_with_its_line(mistake: Mistake) -> None:
    with pytest.raises(ConfigurationErrors) as caught:
        load_text(mistake.file, file="g.toml", agent_settings=agent_settings)
    said = tuple(str(error) for error in caught.value.errors)
    assert tuple(line.split(" (accepted: automatic-replies")[0] for line in said) == mistake.said
