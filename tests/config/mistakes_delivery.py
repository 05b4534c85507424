"""Mistakes about how mail leaves, and exactly what is said about each."""

from __future__ import annotations

from tests.config.mistakes import DOOR, WAY, Mistake

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
    Mistake(
        "TLS of domains that makes no sense",
        WAY
        + '[outbound-tls]\ndane = "off"\nmta-sts-ca-file = "/nowhere/ca.pem"\nreports = { sender = "us" }\n'
        + '[outbound-tls.domains."a.example"]\nmta-sts = "enforce"\ndane = "required"\n'
        + '[outbound-tls.domains."b.example"]\nmx = ["*.b.example", "*"]\n'
        + '[outbound-tls.domains."a b"]\n',
        (
            "g.toml:7: outbound-tls.mta-sts-ca-file: /nowhere/ca.pem cannot be read: No such file or directory",
            "g.toml:8: outbound-tls.reports.sender: 'us' is not an address (accepted: such as "
            '"tls-reports@example.com")',
            'g.toml:10: outbound-tls.domains."a.example".mta-sts: enforce needs mx: the mail servers that count',
            'g.toml:11: outbound-tls.domains."a.example".dane: required, and outbound-tls.dane is off',
            'g.toml:13: outbound-tls.domains."b.example".mx: has no meaning with mta-sts = follow',
            "g.toml:13: outbound-tls.domains.\"b.example\".mx[1]: '*': not a domain name: labels of letters, digits "
            'and hyphens, joined by dots (accepted: "mail.example.com", "*.example.com")',
            'g.toml:14: outbound-tls.domains."a b": not a domain name: labels of letters, digits and hyphens, '
            "joined by dots",
        ),
    ),
    Mistake(
        "DMARC reports from nobody",
        WAY + '[dmarc-reports]\nsender = "our reports@example.com"\ncontact = "a\\nb"\n',
        (
            "g.toml:6: dmarc-reports.sender: 'our reports@example.com' is not an address (accepted: such as "
            '"dmarc-reports@example.com")',
            "g.toml:7: dmarc-reports.contact: is more than one line of text",
        ),
    ),
    Mistake(
        "own records that cannot be looked at",
        WAY + '[dns-monitor]\ndomains = ["a b"]\naddresses = ["here"]\ndkim-selectors = [""]\n',
        (
            "g.toml:6: dns-monitor.domains[0]: 'a b': not a domain name: labels of letters, digits and hyphens, "
            "joined by dots",
            "g.toml:7: dns-monitor.addresses[0]: 'here' is not an IP address",
            "g.toml:8: dns-monitor.dkim-selectors[0]: '': not a domain name: labels of letters, digits and hyphens, "
            "joined by dots",
        ),
    ),
    Mistake(
        "HELO where TLS is demanded",
        WAY + 'force-helo = true\ntls = "required"\n',
        (
            'g.toml:5: send-connectors.out.force-helo: stands beside tls = "required": whoever says HELO gets no TLS '
            "and no AUTH, and LMTP knows LHLO only",
        ),
    ),
    Mistake(
        "a way out that does not exist",
        DOOR + 'send-connector = "outt"\n' + WAY,
        (
            'g.toml:5: receive-connectors.internet.send-connector: there is no send connector "outt", '
            "did you mean out? (accepted: out)",
        ),
    ),
]
