"""A gateway whose DNS is dead for a minute: mail flows as each agent says, nothing piles up, it recovers by itself."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable

import psutil
import pytest
from tests.services.background import Background
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.lab.dns_server import Fault, LabDns, drop
from gatepost.lab.senders import RawClient, message
from gatepost.lab.sink import Sink

Gateways = Callable[..., GatewayUnderTest]
LISTED = ("127.0.0.66", "127.0.0.67", "127.0.0.68")
"""One for each part of the test: what was answered is remembered."""
ZONE = """
2.0.0.127.bl.lab.example A 127.0.0.2
66.0.0.127.bl.lab.example A 127.0.0.2
67.0.0.127.bl.lab.example A 127.0.0.2
68.0.0.127.bl.lab.example A 127.0.0.2
relay.lab.example A 127.0.0.1
*.there.example MX 10 mail.there.example.
*.there.example TXT "v=spf1 ip4:127.0.0.0/8 -all"
mail.there.example A 127.0.0.5
"""
MORE = """
[block-list-providers.lab]
zone = "bl.lab.example"
ip-versions = [4]
[dns-lists]
rest = "5s"
longest-rest = "10s"
[agents.helo-check]
look-up = true
[agents.spf]
reject-on-fail = true
[accepted-domains."branch.example"]
type = "internal-relay"
[send-connectors.branch]
address-spaces = ["branch.example"]
smart-hosts = ["relay.lab.example:{port}"]
allow-loopback = true
[queue]
first-retry = "1s"
retry-factor = 1.0
"""
SENDERS = 8


class Outage:
    """Mail that goes on while the DNS is dead: each from a domain that nobody has asked for yet."""

    def __init__(self, gateway: GatewayUnderTest) -> None:
        self._gateway = gateway
        self.said: Counter[str] = Counter()
        self.taken = 0

    async def mail(
        self, source: str = "127.0.0.5", recipient: str = "ann@ours.example"
    ) -> tuple[float, float]:
        """One mail; seconds to the greeting, and to the last answer."""
        began = time.perf_counter()
        client = await RawClient.connect(self._gateway.host, self._gateway.port, source=source)
        await client.hello("mail.there.example")
        greeted = time.perf_counter() - began
        self.taken += 1
        sender = f"you@d{self.taken}.there.example"
        text = message(f"{self.taken} {recipient}", sender=sender, recipient=recipient)
        replies = await client.mail(sender, [recipient], text)
        self.said[str(replies[-1])[:9]] += 1
        spent = time.perf_counter() - began
        await client.quit()
        return greeted, spent

    async def go_on(self, for_s: float) -> str:
        """Mails from several clients, for so long; figures for a person."""
        until, times = time.monotonic() + for_s, []

        async def sender(number: int) -> None:
            while time.monotonic() < until:
                times.append(await self.mail(f"127.0.7.{number + 1}"))

        await asyncio.gather(*map(sender, range(SENDERS)))
        greeted, spent = (sorted(kind) for kind in zip(*times, strict=True))
        return (
            f"{len(times) / for_s:.1f} mails a second, greeted within {greeted[-1]:.2f} s, "
            f"median {statistics.median(spent):.2f} s, at most {spent[-1]:.2f} s"
        )


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.threat("M01", "M14", "I9")
def test_with_the_dns_dead_for_a_minute_mail_flows_and_all_recovers_by_itself(
    gateway: Gateways, sink: Sink, lab_dns: LabDns, background: Background, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a gateway that asks the DNS of every client and mail
    lab_dns.add(ZONE)
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", more=MORE.format(port=sink.port))
    (worker,) = (psutil.Process(w["process_id"]) for w in running.ask("status")["workers"])
    mails = Outage(running)

    def send(source: str = "127.0.0.5", recipient: str = "ann@ours.example") -> str:
        mails.said.clear()
        asyncio.run(mails.mail(source, recipient))
        (said,) = mails.said
        return said

    assert send().startswith("250")
    assert send(LISTED[0]) == "550 5.7.1"
    figures = [asyncio.run(mails.go_on(3))]
    files, threads = worker.num_fds(), worker.num_threads()
    mails.said.clear()
    # When nobody answers any more for half a minute
    asked = len(lab_dns.asked)
    lab_dns.faults[""] = Fault(drop)
    figures.append(asyncio.run(mails.go_on(30)))
    figures.append(f"{len(lab_dns.asked) - asked} questions were sent")
    silent = Counter(mails.said)
    # Then all mail is taken: whom a list would have named, too, and mail for a host that has no address now
    assert set(silent) <= {"250 2.0.0"}, silent
    assert send(LISTED[1]).startswith("250")
    assert send(recipient="bob@branch.example").startswith("250")
    assert "workers hear no server" in running.cli("dns", "statistics").stdout
    assert worker.num_threads() <= threads + 2
    assert worker.num_fds() < files + 200
    # And for another half, when the port is closed
    port = lab_dns.port
    background.run(lab_dns.stop())
    mails.said.clear()
    figures.append(asyncio.run(mails.go_on(30)))
    assert set(mails.said) <= {"250 2.0.0"}, mails.said
    assert not [mail for mail in sink.mails if "branch" in mail.header("Subject")]
    # And when it is back, the list names again, what waited leaves, and nothing is left behind
    lab_dns.faults.clear()
    background.run(lab_dns.start(port=port))
    wait_until(lambda: send(LISTED[2]) == "550 5.7.1", timeout_s=60)
    wait_until(lambda: [mail for mail in sink.mails if "branch" in mail.header("Subject")], timeout_s=60)
    wait_until(lambda: not running.ask("dns", "statistics")["cache"]["waiting"])
    assert worker.is_running()
    with capsys.disabled():
        print("\n" + "\n".join(figures))
