"""What a running gateway can go on with, and what needs a restart."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gatepost.config.load import load_text
from gatepost.config.settings import Settings
from gatepost.main.lasting import needs_restart, unchanged

NOW = """
[server]
hostname = "mx.example.com"
state-directory = "/var/lib/gatepost"
workers = 2
[accepted-domains."example.com"]
[receive-connectors.internet]
listen = ["127.0.0.1:25"]
[dns]
servers = ["127.0.0.1"]
"""


SECOND = '[receive-connectors.x]\nlisten = ["127.0.0.1:25"]\nremote-ranges = ["10.0.0.0/8"]\n[dns]'


def settings(text: str = NOW) -> Settings:
    return load_text(text, file="g.toml", agent_settings={}).settings


@dataclass(frozen=True)
class Change:
    name: str
    before: str
    after: str
    said: str = ""


CHANGES = (
    Change("nothing", "workers = 2", "workers = 2"),
    Change("a name", "mx.example.com", "mail.example.com"),
    Change("a domain", "example.com", "example.net"),
    Change("a limit of the disk", "[dns]", '[queue]\ndisk-low = "1GiB"\n[dns]'),
    Change("another connector on the same port", "[dns]", SECOND),
    Change("the place", "/var/lib", "/srv", "server.state-directory is another"),
    Change("how many", "workers = 2", "workers = 3", "server.workers is another"),
    Change("the loop", "workers = 2", 'workers = 2\nevent-loop = "asyncio"', "server.event-loop is another"),
    Change("the account", "workers = 2", 'workers = 2\nuser = "nobody"', "server.user is another"),
    Change("a port", "127.0.0.1:25", "127.0.0.1:26", "other addresses to listen on (127.0.0.1:25, 127.0.0.1:26)"),
    Change("the size of a group", "[dns]", "[queue]\nbatch-mails = 1\n[dns]", "queue.batch-mails is another"),
)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.name)
def test_what_needs_a_restart_is_named(change: Change) -> None:
    why_not = needs_restart(settings(), settings(NOW.replace(change.before, change.after)))
    assert why_not.startswith(change.said) if change.said else why_not == ""


def test_what_is_the_same_may_be_kept() -> None:
    other = settings(NOW.replace("127.0.0.1", "127.0.0.2"))
    assert unchanged(settings(), settings(), "dns", "users")
    assert not unchanged(settings(), other, "users", "dns")
    assert unchanged(settings(), other, "users")
    assert not unchanged(None, other, "users")
