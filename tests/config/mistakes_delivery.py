"""Mistakes about how mail leaves, and exactly what is said about each."""

from __future__ import annotations

from tests.config.mistakes import WAY, Mistake

DELIVERY = [
    Mistake(
        "a Unix socket that is not absolute",
        WAY + 'smart-hosts = ["unix:run/lmtp"]\n',
        (
            "g.toml:5: send-connectors.out.smart-hosts[0]: 'unix:run/lmtp': the path of a Unix socket is absolute "
            'and has at most 107 octets, such as "unix:/run/dovecot/lmtp"',
        ),
    ),
    Mistake(
        "TLS over a Unix socket",
        WAY + 'smart-hosts = ["unix:/run/lmtp"]\ntls = "required"\n',
        (
            "g.toml:5: send-connectors.out.smart-hosts[0]: unix:/run/lmtp: there is no TLS over a Unix socket, and "
            "tls is required (accepted: tls = none, tls = opportunistic)",
        ),
    ),
    Mistake(
        "a source address that is a name",
        WAY + 'source-addresses = ["127.0.0.1", "mx.example.com"]\n',
        ("g.toml:5: send-connectors.out.source-addresses[1]: 'mx.example.com' is not an IP address",),
    ),
    Mistake(
        "destinations that are none, or the same",
        WAY + '[destinations."a b"]\n[destinations."a.example"]\n[destinations."A.Example."]\n',
        (
            'g.toml:5: destinations."a b": not a domain name: labels of letters, digits and hyphens, joined by dots',
            'g.toml:7: destinations."A.Example.": is the same domain as "a.example"',
        ),
    ),
]
