"""The lab's configuration: a gatepost.toml like any other, with ports of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

OURS: Final = "ours.example"
ELSEWHERE: Final = "elsewhere.example"
DOWN: Final = "down.example"
MAILBOXES: Final = ("ann", "bob", "postmaster", "jürgen")
OFFICE_IP: Final = "127.0.0.2"
"""Clients from here are the office: they may send to everybody."""
NOBODY_IP: Final = "127.0.0.9"
"""No server listens here: where the mail for down.example would go."""

ZONE: Final = f"""
{OURS} MX 10 mx.{OURS}.
{OURS} TXT "v=spf1 ip4:{OFFICE_IP} -all"
_dmarc.{OURS} TXT "v=DMARC1; p=reject"
mx.{OURS} A 127.0.0.1
{ELSEWHERE} MX 10 mx.{ELSEWHERE}.
{ELSEWHERE} TXT "v=spf1 ip4:127.0.0.1 -all"
mx.{ELSEWHERE} A 127.0.0.1
{DOWN} MX 10 mx.{DOWN}.
mx.{DOWN} A {NOBODY_IP}
client.lab.example A 127.0.0.1
1.0.0.127.in-addr.arpa PTR client.lab.example.
office.{OURS} A {OFFICE_IP}
2.0.0.127.in-addr.arpa PTR office.{OURS}.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where everything listens on 127.0.0.1."""

    smtp: int
    metrics: int
    dns: int
    mailboxes: int
    internet: int


def configuration(directory: Path, ports: Ports) -> str:
    """The text of gatepost.toml. directory: where state and recipients are."""
    return f"""\
# Written by `gatepost lab`: a gateway for {OURS} in an internet of its own on loopback.

[server]
hostname = "mx.{OURS}"
state-directory = "{directory / "state"}"
workers = 1
stop-timeout = "5s"

[accepted-domains."{OURS}"]
type = "authoritative"

[recipients]
file = "{directory / "recipients.txt"}"

# The door: anybody may send to {OURS}, the office ({OFFICE_IP}) to everybody.
[receive-connectors.lab]
listen = ["127.0.0.1:{ports.smtp}"]
tls = "optional"
tarpit = "0s"

[receive-connectors.lab.ranges.office]
addresses = ["{OFFICE_IP}"]
rights = ["submit", "relay", "any-sender", "own-domain-sender", "routing-headers", "internal"]

# The ways out: to the mailbox server, and to the internet by MX.
[send-connectors.mailboxes]
address-spaces = ["{OURS}"]
smart-hosts = ["[127.0.0.1]:{ports.mailboxes}"]

[send-connectors.internet]
address-spaces = ["*"]
port = {ports.internet}
allow-loopback = true      # the lab's internet is on loopback; a real one never is

# Mail in the name of a domain that asks to refuse what it does not stand behind is refused.
[agents.dmarc]
honour-policy = "as-published"

[spf]
unchecked-networks = []    # everybody is on loopback here, strangers too

[queue]
first-retry = "30s"

[dns]
servers = ["127.0.0.1:{ports.dns}"]

[metrics]
listen = "127.0.0.1:{ports.metrics}"
"""


def recipients() -> str:
    """The text of the recipient file."""
    return "# Mailboxes of the lab\n" + "".join(f"{name}@{OURS}\n" for name in MAILBOXES)
