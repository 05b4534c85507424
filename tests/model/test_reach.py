"""Where a service may be that an administrator names, and where no name of a stranger may lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.config.check_directories import parse_ldap_url
from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.model.https_url import parse_https_url
from gatepost.model.reach import may_be_named
from gatepost.policy.order import agent_settings
from gatepost.routing.addresses import may_be_dialled

ADDRESSES = [
    # address, a service may be named there, the outside may lead there
    ("192.0.2.7", True, True),
    ("2001:db8::1", True, True),
    ("10.0.0.5", True, False),
    ("127.0.0.1", True, False),
    ("::1", True, False),
    ("fd00::5", True, False),
    ("::ffff:10.0.0.5", True, False),
    ("169.254.169.254", False, False),
    ("::ffff:169.254.169.254", False, False),
    ("2002:a9fe:a9fe::1", False, False),
    ("fd00:ec2::254", False, False),
    ("100.100.100.200", False, False),
    ("fe80::1%eth0", False, False),
    ("0.0.0.0", False, False),
    ("::", False, False),
    ("224.0.0.1", False, False),
    ("255.255.255.255", False, False),
    ("lists.example.org", False, False),
]


@pytest.mark.threat("R11")
@pytest.mark.parametrize(("address", "named", "dialled"), ADDRESSES, ids=[row[0] for row in ADDRESSES])
def test_where_a_connection_may_lead(address: str, named: bool, dialled: bool) -> None:
    assert (may_be_named(address), may_be_dialled(address)) == (named, dialled)


URLS = [
    "http://lists.example.org/",
    "file:///etc/passwd",
    "gopher://lists.example.org/",
    "ftp://lists.example.org/",
    "https://user@lists.example.org/",
    "https:///x",
    "//lists.example.org/",
    "https://lists.example.org/\r\nHost: x",
]


@pytest.mark.threat("R11")
@pytest.mark.parametrize("url", URLS)
def test_only_https_is_asked(url: str) -> None:
    with pytest.raises(ValueError):
        parse_https_url(url)


HEAD = '[server]\nhostname = "mx.ours.example"\n'
NAMED = [
    (
        "a feed at a cloud's metadata service",
        '[list-feeds.a]\nurl = "https://169.254.169.254/x"\nallow-internal = true\n',
        "list-feeds.a.url: 169.254.169.254 is no address of a service",
    ),
    (
        "a feed in a network of our own",
        '[list-feeds.a]\nurl = "https://10.0.0.5/x"\n',
        "list-feeds.a.url: 10.0.0.5 is in a network of your own: set allow-internal",
    ),
    (
        "keys of tokens",
        '[users.tokens]\nkeys-url = "https://[fd00:ec2::254]/x"\nissuer = "a"\naudience = "b"\n',
        "users.tokens.keys-url: fd00:ec2::254 is no address of a service",
    ),
    (
        "a directory",
        '[directories.d]\ntype = "ldap"\n[directories.d.ldap]\nservers = ["ldaps://169.254.1.1"]\nbase = "dc=x"\n',
        "169.254.1.1 is no address of a service",
    ),
    ("a DNS list", '[block-list-providers.a]\nzone = "169.254.169.254/x"\n', "zone: "),
]


@pytest.mark.threat("R11")
@pytest.mark.parametrize(("name", "text", "says"), NAMED, ids=[row[0] for row in NAMED])
def test_what_no_service_can_be_is_refused(name: str, text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationErrors) as refused:
        load_text(HEAD + text, file="g.toml", agent_settings=agent_settings)
    assert says in "\n".join(map(str, refused.value.errors))


@pytest.mark.threat("R11")
def test_an_internal_directory_is_allowed_by_naming_it() -> None:
    assert parse_ldap_url("ldaps://10.0.0.5") == ("10.0.0.5", 636, True)
