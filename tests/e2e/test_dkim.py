"""OpenDKIM on both sides of a real gateway: what we send it can check, what it signed we can."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.opendkim import OpenDkim
from tests.services.postfix import PostfixServer
from tests.standards.signing import dns_of, ed25519_key, rsa_key

from gatepost.lab.dns_server import LabDns
from gatepost.standards.dkim_sign import pem_of, txt_strings

Gateways = Callable[..., GatewayUnderTest]
Postfixes = Callable[..., PostfixServer]
OFFICE = (
    "[receive-connectors.test.ranges.office]",
    'addresses = ["127.0.0.1"]',
    'rights = ["submit", "relay", "any-sender", "own-domain-sender", "routing-headers", "internal"]',
)
ANN, BOB = "ann@ours.example", "bob@ours.example"
SMALL_MEMORY = '[queue]\nmemory-body = "8KiB"\n'
KEYS = (rsa_key("r1", "ours.example"), ed25519_key("e1", "ours.example"))


def letter(lines: int) -> bytes:
    head = f"From: Ann <{ANN}>\r\nTo: {BOB}\r\nSubject: hello\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\n"
    return head.encode() + b".  A line  with\tblanks \r\n" * lines + b"\r\n\r\n"


@pytest.mark.slow
@pytest.mark.service("postfix", "opendkim")
def test_what_we_signed_passes_behind_postfix(gateway: Gateways, postfix: Postfixes, tmp_path: Path) -> None:
    hop = postfix(mailboxes=(BOB,))
    tables = ['[dkim-signing.domains."ours.example"]']
    for key in KEYS:
        file = tmp_path / f"{key.selector}.pem"
        file.write_bytes(pem_of(key.key))
        file.chmod(0o600)
        tables += [f'[dkim-signing.domains."ours.example".selectors.{key.selector}]', f'key-file = "{file}"']
    more = "\n".join(tables) + "\n" + SMALL_MEMORY
    running = gateway(smart_host=f"[127.0.0.1]:{hop.port}", connector=OFFICE, more=more)
    for number, lines in enumerate((1, 5000), start=1):
        with smtplib.SMTP(running.host, running.port) as client:
            client.sendmail(ANN, [BOB], letter(lines))
        mails = wait_until(lambda: found if len(found := hop.mails("bob")) == number else [])  # noqa: B023
        mail = max(mails, key=len).replace(b"\n", b"\r\n")
        checker = OpenDkim(tmp_path)
        assert checker.results(mail, dns_of(*KEYS)) == ["pass", "pass"]
        assert checker.results(mail.replace(b"hello", b"hullo"), dns_of(*KEYS)) == ["fail", "fail"]


@pytest.mark.slow
@pytest.mark.service("postfix", "opendkim")
def test_what_opendkim_signed_passes_here(
    gateway: Gateways, postfix: Postfixes, lab_dns: LabDns, tmp_path: Path
) -> None:
    hop = postfix(mailboxes=(BOB,))
    running = gateway(smart_host=f"[127.0.0.1]:{hop.port}", more=SMALL_MEMORY)
    for key in KEYS:
        strings = " ".join(f'"{string}"' for string in txt_strings(key.record))
        lab_dns.add(f"{key.name}. TXT {strings}")
    seen = 0
    for canonical in ("simple/simple", "relaxed/relaxed", "simple/relaxed", "relaxed/simple"):
        for key in KEYS:
            signed = OpenDkim(tmp_path).signed(letter(1 + seen % 2 * 3000), key, canonical=canonical)
            for content, result in ((signed, "pass"), (signed.replace(b"hello", b"hullo"), "fail")):
                with smtplib.SMTP(running.host, running.port) as client:
                    client.sendmail("ann@there.example", [BOB], content)
                seen += 1
                wait_until(lambda: len(hop.mails("bob")) == seen)  # noqa: B023
                newest = max(record["id"] for record in running.ask("track"))
                facts = json.dumps(running.ask("explain", newest))
                assert f'"result": "{result}"' in facts, (canonical, key.algorithm, facts)
