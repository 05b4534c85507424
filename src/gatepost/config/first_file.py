"""The first configuration: five answers become a commented file that says what each of its lines does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gatepost.config.networks import is_everybody, name_problem, parse_range, parse_smart_host

Delivery = Literal["smtp", "lmtp", "maildir"]


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """Where accepted mail goes: how the mailbox server is spoken to, and its host or directory."""

    delivery: Delivery
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAnswers:
    """What an administrator says first. recipients: a file; "" takes everybody at the domains."""

    hostname: str
    domains: tuple[str, ...]
    mailboxes: Mailboxes
    recipients: str
    relay_from: tuple[str, ...]
    state_directory: str
    user: str = ""
    """The account to become when started as root; "" when there is none yet."""


def parse_hostname(text: str) -> str:
    """Our name. Raises ValueError."""
    name = text.strip().rstrip(".").lower()
    if problem := name_problem(name):
        raise ValueError(f"{text!r}: {problem}")
    if "." not in name:
        raise ValueError(f"{text!r} has no dot: other servers want a full name such as mx.example.com")
    return name


def parse_domains(text: str) -> tuple[str, ...]:
    """Domains, with blanks or commas between them. Raises ValueError."""
    names = tuple(dict.fromkeys(name.lower().rstrip(".") for name in text.replace(",", " ").split()))
    if not names:
        raise ValueError("at least one domain is needed, such as example.com")
    for name in names:
        if problem := name_problem(name.removeprefix("*.")):
            raise ValueError(f"{name!r}: {problem}")
    return names


def parse_mailboxes(text: str) -> Mailboxes:
    """[192.0.2.10], mail.example.com:2525, lmtp:[127.0.0.1]:24 or maildir:/path/{domain}/{local}. Raises ValueError."""
    said = text.strip()
    if said.startswith("maildir:"):
        place = said.removeprefix("maildir:")
        if not place.startswith("/") or "{local}" not in place:
            raise ValueError(
                f"{place!r} is no place for mailboxes: /path with {{local}}, as in /var/mail/{{domain}}/{{local}}"
            )
        return Mailboxes("maildir", place)
    delivery: Delivery = "lmtp" if said.startswith("lmtp:") else "smtp"
    host = said.removeprefix("lmtp:")
    parse_smart_host(host)
    return Mailboxes(delivery, host)


def parse_networks(text: str) -> tuple[str, ...]:
    """Addresses and networks, with blanks or commas between them; may be none. Raises ValueError."""
    networks = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for network in networks:
        if is_everybody(parse_range(network)):
            raise ValueError(f"{network} is everybody: that would be an open relay")
    return networks


def first_recipients(answers: FirstAnswers) -> str:
    """A list of recipients to begin with: postmaster of each domain (RFC 5321 §4.5.1)."""
    lines = [
        "# Who exists, one address a line. @example.com is everybody at a domain.",
        "# It is read again when it changes: write a new file and rename it over this one.",
        *(f"postmaster@{domain}" for domain in answers.domains if not domain.startswith("*.")),
    ]
    return "\n".join(lines) + "\n"


def first_file(answers: FirstAnswers) -> str:
    """The text of the configuration."""
    return "\n".join(line for part in _parts(answers) for line in (*part, ""))


def _parts(answers: FirstAnswers) -> Iterator[list[str]]:
    yield [
        "# Gatepost. `gatepost config check` says what is wrong with this file, `gatepost config reference`",
        "# explains every setting, `gatepost reload` has a running gateway go on with it.",
    ]
    yield _server(answers)
    yield from (_domain(answers, domain) for domain in answers.domains)
    if answers.recipients:
        yield [
            "[recipients]",
            "# Anybody else is refused before the mail comes. Read again whenever it changes.",
            f"file = {_text(answers.recipients)}",
        ]
    yield _door(answers)
    if answers.relay_from:
        yield [
            "# Our own machines: what they send goes out to the world, and is not filtered.",
            "[receive-connectors.internet.ranges.ours]",
            f"addresses = {_list(answers.relay_from)}",
            'rights = ["submit", "relay", "any-sender", "own-domain-sender", "bypass-filters", "routing-headers", '
            '"internal"]',
        ]
    yield _mailboxes(answers)
    if answers.relay_from:
        yield [
            "# The way out: everything else goes where the domain's MX records say.",
            "[send-connectors.world]",
            'address-spaces = ["*"]',
        ]
    else:
        yield [
            "# No machine of ours may send through this gateway, so there is no way out to the world, and notices to",
            "# senders out there become dead letters. Accounts, machines in a range, and notices would need one:",
            "#[send-connectors.world]",
            '#address-spaces = ["*"]',
        ]


def _server(answers: FirstAnswers) -> list[str]:
    become = f"user = {_text(answers.user)}" if answers.user else '#user = "gatepost"'
    return [
        "[server]",
        "# Our name in the greeting, in EHLO and in Received. DNS should have it, and our address its PTR.",
        f"hostname = {_text(answers.hostname)}",
        "# Queue, quarantine and records: a local disk, for this gateway alone.",
        f"state-directory = {_text(answers.state_directory)}",
        "# The account to become after the ports are bound, when started as root.",
        become,
    ]


def _domain(answers: FirstAnswers, domain: str) -> list[str]:
    lines = [f"[accepted-domains.{_text(domain)}]", "# We take mail for it."]
    if answers.recipients:
        return lines
    return [
        *lines,
        "# Everybody is taken for existing. With a list in [recipients] strangers' guesses would be refused here.",
        'check-recipients = "no"',
    ]


def _door(answers: FirstAnswers) -> list[str]:
    del answers
    return [
        "# The door for mail from the internet: strangers may bring mail for our domains, and nothing else.",
        "[receive-connectors.internet]",
        'listen = ["0.0.0.0:25", "[::]:25"]',
        "# TLS is offered with a certificate made at the first start, until there is a real one:",
        '#certificate-file = "/etc/gatepost/tls.pem"',
        '#key-file = "/etc/gatepost/tls.key"',
        "",
        "# People with accounts (`gatepost user add`) would send through a door of their own:",
        "#[receive-connectors.submission]",
        '#profile = "submission"              # port 587, TLS and AUTH demanded; the way out below is needed, too',
        '#certificate-file = "/etc/gatepost/tls.pem"',
    ]


def _mailboxes(answers: FirstAnswers) -> list[str]:
    mailboxes = answers.mailboxes
    lines = [
        "# Where the mailboxes are: mail for our domains goes there.",
        "[send-connectors.mailboxes]",
        'address-spaces = ["--"]                # all accepted domains',
    ]
    if mailboxes.delivery == "maildir":
        return [*lines, 'delivery = "maildir"', f"maildir = {_text(mailboxes.place)}"]
    if mailboxes.delivery == "lmtp":
        lines.append('delivery = "lmtp"')
    return [*lines, f"smart-hosts = {_list((mailboxes.place,))}"]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # of printable text the same as TOML's basic string


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_text, values))}]"
