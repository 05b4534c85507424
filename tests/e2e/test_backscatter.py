"""The reverse NDR attack against a real gateway: whose mail is answered when the mailbox server refuses it later."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.standards.signing import ed25519_key

from gatepost.lab.dns_server import LabDns
from gatepost.lab.sink import Behaviour, Sink
from gatepost.standards.dkim_sign import pem_of

OPEN = "[spf]\nunchecked-networks = []\n"
REFUSED = Behaviour(recipients={"bob@ours.example": "550 5.1.1 Nobody"})


def send(to: GatewayUnderTest, sender: str) -> None:
    with smtplib.SMTP(to.host, to.port) as client:
        letter = (
            f"From: {sender}\r\nTo: bob@ours.example\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\nhi\r\n"
        )
        client.sendmail(sender, ["bob@ours.example"], letter)


@pytest.mark.slow  # a start, and DNS
@pytest.mark.threat("L06")
def test_a_failure_is_told_to_a_sender_that_spf_vouches_for_and_to_no_victim(
    gateway: Callable[..., GatewayUnderTest], lab_dns: LabDns, sink: Sink
) -> None:
    # Given a mailbox server that refuses what was accepted, one sender whose domain lets the client send, and
    # three whose names anybody may have written there
    lab_dns.add('honest.example. TXT "v=spf1 ip4:127.0.0.1 -all"')
    lab_dns.add('victim.example. TXT "v=spf1 ip4:192.0.2.1 ~all"')
    lab_dns.add('open.example. TXT "v=spf1 +all"')
    sink.behaviour = REFUSED
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", more=OPEN)
    for name in ("victim", "open", "silent", "honest"):
        send(running, f"ann@{name}.example")
    # Then the one gets a notice
    (notice,) = wait_until(lambda: sink.mails)
    assert (notice.sender, notice.recipients) == ("", ("ann@honest.example",))
    assert b"550 5.1.1 Nobody" in notice.content
    # And the others' mail is kept for the administrator, with the reason
    dead = wait_until(lambda: found if len(found := running.ask("dead", "list")) == 3 else [])
    assert {mail["sender"] for mail in dead} == {f"ann@{n}.example" for n in ("victim", "open", "silent")}
    by_sender = {mail["sender"]: mail for mail in dead}
    assert "SPF says softfail" in by_sender["ann@victim.example"]["return_path"]
    assert "SPF passes everybody (+all)" in by_sender["ann@open.example"]["return_path"]
    shown = running.cli("dead", "show", by_sender["ann@victim.example"]["id"]).stdout
    assert "no notice: nobody knows whether the sender is who it says" in shown
    assert (
        "return-path-proof: by nothing" in running.cli("explain", by_sender["ann@open.example"]["id"]).stdout
    )
    assert len(sink.mails) == 1


@pytest.mark.slow  # two gateways and DNS
@pytest.mark.threat("L06")
def test_a_failure_is_told_to_a_sender_whose_domain_signed_the_mail(
    gateway: Callable[..., GatewayUnderTest], lab_dns: LabDns, sink: Sink, tmp_path: Path
) -> None:
    # Given a gateway of the sender's that signs, and a forwarder's address that SPF does not know
    key = ed25519_key("s1", "signed.example")
    file = tmp_path / "s1.pem"
    file.write_bytes(pem_of(key.key))
    file.chmod(0o600)
    lab_dns.add(f's1._domainkey.signed.example. TXT "{key.record}"')
    lab_dns.add('signed.example. TXT "v=spf1 -all"')
    sink.behaviour = REFUSED
    running = gateway(
        smart_host=f"[127.0.0.1]:{sink.port}", connector=('hostname = "mx.theirs.example"',), more=OPEN
    )
    signing = f'[dkim-signing.domains."signed.example".selectors.s1]\nkey-file = "{file}"\n'
    home = gateway(
        smart_host=f"[127.0.0.1]:{running.port}",
        connector=(
            "[receive-connectors.test.ranges.us]",
            'addresses = ["127.0.0.1"]',
            'rights = ["submit", "relay", "any-sender", "internal"]',
        ),
        more=signing,
    )
    send(home, "ann@signed.example")
    # Then the notice goes back, by the signature alone
    (notice,) = wait_until(lambda: sink.mails, timeout_s=60)
    assert notice.recipients == ("ann@signed.example",)
    assert not running.ask("dead", "list")
