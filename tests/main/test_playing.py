"""A gateway without sockets: what it remembers of one visit, it knows at the next."""

from __future__ import annotations

import asyncio

import pytest

from gatepost.control.scenario import Key
from gatepost.lab.made_mail import KeyRing, key_records, signed
from gatepost.lab.zone import NoRecord, ZoneDns
from gatepost.main.configuration import load_to_try
from gatepost.main.playing import Heard, PlayClock, PlayGateway, Visit
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.policy.explain import explain
from gatepost.policy.order import fact_types
from gatepost.policy.third_party import ThirdParty
from gatepost.ports.resolver import LookedUp, Mx, RecordType, Tlsa

CONFIGURATION = """
[server]
hostname = "mx.gate.test"
[accepted-domains."gate.test"]
[receive-connectors.internet]
listen = ["0.0.0.0:25"]
[agents.dkim]
replay-recipients = 2
"""
NOW = 1_790_000_000.0


def findings(heard: Heard) -> list[str]:
    assert heard.dossier is not None
    tree = explain(heard.dossier, fact_types(ThirdParty()))
    return [name for stage in tree.stages for opinion in stage.opinions for name, _ in opinion.findings]


@pytest.mark.threat("J20")
def test_a_signed_mail_that_is_sent_again_and_again_is_marked() -> None:
    wanted = [Key.model_validate({"domain": "friend.test", "key": "ed25519"})]
    ring = KeyRing.of(wanted)
    zone, clock = ZoneDns(""), PlayClock(NOW)
    for name, data in key_records(ring, wanted).items():
        zone.add(name, "TXT", data)
    gateway = PlayGateway(load_to_try("here", CONFIGURATION, {}), zone, clock)
    message = b"From: ann@friend.test\r\nSubject: good news\r\n\r\nBuy.\r\n"
    letter = signed(message, [ring.find(wanted[0])], NOW)

    def sent(client: str, octets: bytes) -> list[str]:
        visit = Visit(
            client=client, helo="a.test", sender="x@evil.test", recipients=("r@gate.test",), message=octets
        )
        return findings(asyncio.run(gateway.receive(visit)))

    # Given a mail that two people got, from two places
    assert "dkim-replayed" not in sent("192.0.2.1", letter) + sent("192.0.2.2", letter)
    # Then the third copy is marked, another mail of the same author is not
    assert "dkim-replayed" in sent("192.0.2.3", letter)
    assert "dkim-replayed" not in sent("192.0.2.1", signed(message, [ring.find(wanted[0])], NOW + 1))
    # and after some days the first one is forgotten
    clock.passed_s = 4 * 86400
    assert "dkim-replayed" not in sent("192.0.2.4", letter)


ZONE = """
# a comment
a.test MX 10 Mx.a.test.   # another
mx.a.test A 192.0.2.1
mx.a.test AAAA 2001:db8::1
b.test CNAME a.test.
loop.test CNAME loop.test.
t.test TXT "one # two" "three"
*.w.test A 192.0.2.9
1.2.0.192.in-addr.arpa PTR mx.a.test.
_25._tcp.mx.a.test TLSA 3 1 0 abcd
"""
QUESTIONS = [
    ("b.test", RecordType.MX, (Mx(10, "mx.a.test"),), True),
    ("A.test.", RecordType.A, (), True),
    ("none.test", RecordType.A, (), False),
    ("x.w.test", RecordType.A, ("192.0.2.9",), True),
    ("t.test", RecordType.TXT, (b"one # twothree",), True),
    ("in-addr.arpa", RecordType.TXT, (), True),
    (
        "_25._tcp.mx.a.test",
        RecordType.TLSA,
        (Tlsa(usage=3, selector=1, matching=0, data=b"\xab\xcd"),),
        True,
    ),
]


@pytest.mark.parametrize(("name", "kind", "records", "exists"), QUESTIONS)
def test_a_text_answers_as_a_name_server(
    name: str, kind: RecordType, records: tuple[object, ...], exists: bool
) -> None:
    found: LookedUp = asyncio.run(ZoneDns(ZONE).look_up(name, kind, timeout_s=1))
    assert (found.records, found.exists) == (records, exists)


def test_names_addresses_and_silence() -> None:
    async def scene() -> None:
        zone = ZoneDns(ZONE, silent=("a.test",))
        with pytest.raises(WorldFault, match="no name server answers"):
            await zone.mail_exchangers("mx.a.test", timeout_s=1)
        with pytest.raises(WorldFault, match="CNAMEs"):
            await zone.texts("loop.test", timeout_s=1)
        for odd in ("", "a..test", "x" * 64 + ".test", "a." * 130):
            with pytest.raises(PeerFault):
                await zone.addresses(odd, timeout_s=1)
        assert await zone.names("192.0.2.1", timeout_s=1) == ("mx.a.test",)
        assert await ZoneDns(ZONE).addresses("mx.a.test", timeout_s=1) == ("192.0.2.1", "2001:db8::1")
        # What the text does not know, somebody else is asked
        beyond = ZoneDns('c.test TXT "there"')
        assert await ZoneDns(ZONE, beyond=beyond).texts("c.test", timeout_s=1) == (b"there",)
        assert not await ZoneDns(ZONE).exists("c.test", timeout_s=1)

    asyncio.run(scene())


@pytest.mark.parametrize(
    "line", ["a.test", "a.test MX", "a.test A 1.2.3", "a.test NONE x", 'a.test TXT "open']
)
def test_a_line_that_is_no_record_is_named(line: str) -> None:
    with pytest.raises(NoRecord) as caught:
        ZoneDns(f"x.test A 192.0.2.1\n{line}")
    assert caught.value.number == 2
