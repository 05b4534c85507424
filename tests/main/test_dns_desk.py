"""The monitor of own domains, and publishing on a real name server (Knot) with a TSIG key."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import dns.message
import dns.query
import pytest
from tests.control.test_dns_survey import D, Published
from tests.delivery.fakes import ListLog, NoCounters, settings_of
from tests.fakes import FakeClock
from tests.services.foreground import wait_for_end
from tests.services.gateway import wait_until
from tests.services.validating import _answer

from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.dns_update import parse_key
from gatepost.control.dns_survey import Survey
from gatepost.control.dns_wizard import Answers, Plan, plan
from gatepost.lab.ports import free_port
from gatepost.main.dns_desk import DnsAtHand, DnsMonitorDuty, own_domains
from gatepost.model.fault import WorldFault
from gatepost.ports.wire import Dialer


def settings(tmp_path: Path) -> Any:
    return settings_of(
        None,
        **{
            "server": {"hostname": "gate.example", "state-directory": str(tmp_path)},
            "accepted-domains": {D: {}, "*.c.example": {}, "r.example": {"type": "external-relay"}},
            "dns-monitor": {"domains": ["News.example"], "dkim-selectors": ["k1"]},
            "dkim-signing": {"domains": {D: {"selectors": {"s2026": {"key-file": "/none"}}}}},
        },
    )


def test_whose_records_are_looked_at(tmp_path: Path) -> None:
    assert own_domains(settings(tmp_path)) == (D, "news.example")


def test_the_monitor_looks_once_a_day_and_tells_what_changed(tmp_path: Path) -> None:
    async def run() -> None:
        zone, clock, log = Published(), FakeClock(), ListLog()
        made = settings(tmp_path)
        resolver, nobody = cast(DnsResolver, zone), cast(Dialer, None)
        duty = DnsMonitorDuty(made, resolver, dialer=nobody, clock=clock, log=log, counters=NoCounters())
        for _ in range(5):
            clock.advance(60)
            await duty.tick()
        assert f"TXT s2026._domainkey.{D}" in zone.asked
        asked = len(zone.asked)
        first = [fields for event, fields in log.lines if event == "dns-problem" and fields["domain"] == D]
        await duty.tick()
        assert len(zone.asked) == asked, "both were looked at today"
        zone.texts_of[D] = (b"v=spf1 +all",)
        clock.advance(86400)
        await duty.tick()
        await duty.tick()
        (changed,) = [fields for event, fields in log.lines if event == "dns-changed"]
        assert (changed["kind"], changed["new"]) == ("SPF", ["v=spf1 +all"])
        told = [fields for event, fields in log.lines if event == "dns-problem" and fields["domain"] == D]
        assert len(told) == len(first) + 1
        # A restart goes on from the file
        again = DnsMonitorDuty(made, resolver, dialer=nobody, clock=clock, log=log, counters=NoCounters())
        asked = len(zone.asked)
        await again.tick()
        assert len(zone.asked) == asked
        held = DnsAtHand(made).history(D)
        assert held is not None
        assert [change.kind for change in held.changes] == ["SPF"]
        assert DnsAtHand(made).history("../../etc/passwd") is None

    asyncio.run(run())


KEYS = [
    ("", "holds no key"),
    ('key "a" { algorithm hmac-md5; secret "AAAA"; };', "is not one of"),
]


@pytest.mark.parametrize(("text", "why"), KEYS)
def test_a_key_that_is_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_key(text)


_SECRET = "c2VjcmV0IG9mIHRoZSB6b25lJ3Mgb3duIHNlcnZlciE="
_KNOT = """\
server:
  listen: 127.0.0.1@{port}
  rundir: {dir}
  user: root
database:
  storage: {dir}/db
key:
  - id: wizard
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: wizard
    key: wizard
    action: update
template:
  - id: default
    storage: {dir}
    zonefile-sync: -1
    acl: wizard
zone:
  - domain: b.example
"""
_ZONE = """\
$ORIGIN b.example.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
@ MX 10 mx
@ TXT "v=spf1 " "a ~all"
@ TXT "verification=1"
ns A 127.0.0.1
mx A 192.0.2.1
s1._domainkey TXT "k=rsa; p=OLD"
"""


@pytest.fixture
def primary() -> Iterator[tuple[int, Path]]:
    directory = Path(tempfile.mkdtemp(prefix="gp-primary-"))
    port = free_port()
    (directory / "db").mkdir()
    (directory / "knot.conf").write_text(_KNOT.format(port=port, dir=directory, secret=_SECRET))
    (directory / "b.example.zone").write_text(_ZONE)
    key = directory / "key"
    key.write_text(f'key "wizard" {{\n\talgorithm hmac-sha256;\n\tsecret "{_SECRET}";\n}};\n')
    key.chmod(0o600)
    with (directory / "out").open("wb") as out:
        process = subprocess.Popen(
            ["knotd", "-c", str(directory / "knot.conf")], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        wait_until(lambda: bool(_answer(port, "b.example", "SOA")))
        yield port, key
    finally:
        process.terminate()
        wait_for_end(process)


@pytest.mark.slow
@pytest.mark.service("knotd")
def test_records_are_published_by_update(primary: tuple[int, Path], tmp_path: Path) -> None:
    port, key = primary
    made = settings_of(
        None,
        server={"hostname": "gate.example", "state-directory": str(tmp_path)},
        dns={"servers": [f"127.0.0.1:{port}"]},
    )
    desk = DnsAtHand(made)
    found: Survey = desk.survey("b.example", selectors=(), addresses=())
    assert found.spf == ("v=spf1 a ~all",)
    wanted: Plan = plan(
        found,
        Answers(
            dmarc="reject",
            dmarc_to="d@b.example",
            hosts=tuple(f"host-{n}.of-a-long-name.b.example" for n in range(8)),
            sts="testing",
            tlsa=(("mx.b.example", "3 1 1 " + "ab" * 32),),
            dkim=(("s1", "v=DKIM1; k=rsa; p=" + "A" * 400),),
        ),
        today="20261127",
    )
    assert len(wanted.spf) > 255
    server = f"127.0.0.1:{port}"
    done = desk.publish(wanted, zone="b.example", server=server, key_file=str(key))
    assert sum(line.startswith("removed") for line in done) == 2
    after = desk.survey("b.example", selectors=(), addresses=())
    assert after.spf == (wanted.spf,)
    assert after.dmarc == ("v=DMARC1; p=reject; rua=mailto:d@b.example",)
    assert after.hosts[0].tlsa == ("3 1 1 " + "ab" * 32,)
    texts = dns.query.udp(dns.message.make_query("b.example", "TXT"), "127.0.0.1", port=port).answer[0]
    assert any("verification=1" in record.to_text() for record in texts)
    assert desk.publish(wanted, zone="b.example", server=server, key_file=str(key)) == []
    # Nothing to receive: the null MX takes the place of the others
    closed = plan(after, Answers(sends=False, receives=False), today="20261127")
    desk.publish(closed, zone="b.example", server=server, key_file=str(key))
    end = desk.survey("b.example", selectors=(), addresses=())
    assert (end.null_mx, end.hosts, end.spf) == (True, [], ("v=spf1 -all",))

    other = key.with_name("other")
    other.write_text(key.read_text().replace("c2Vj", "AAAA"))
    other.chmod(0o600)
    with pytest.raises(WorldFault):
        desk.publish(wanted, zone="b.example", server=server, key_file=str(other))
    other.chmod(0o644)
    with pytest.raises(WorldFault, match="other"):
        desk.publish(wanted, zone="b.example", server=server, key_file=str(other))
    nobody = replace(wanted, records=tuple(replace(r, name="x.elsewhere.example") for r in wanted.records))
    with pytest.raises(WorldFault):
        desk.publish(nobody, zone="b.example", server=server, key_file=str(key))
