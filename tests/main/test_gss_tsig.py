"""Publishing with a Kerberos ticket (GSS-TSIG): a real key distribution centre, a real BIND, and servers that lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TKEY
import dns.tsig
import pytest
from tests.delivery.fakes import settings_of
from tests.main.test_dns_desk import _ZONE
from tests.services.background import Background
from tests.services.bind import BindServer
from tests.services.kdc import REALM, Kdc

from gatepost.control.dns_wizard import Answers, Plan, plan
from gatepost.lab.dns_server import Exchange, Fault, LabDns
from gatepost.main.dns_desk import DnsAtHand
from gatepost.model.fault import WorldFault

NS = "ns.ours.example"
Policy = Literal["none", "reject"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.service("named", "krb5kdc", "kdb5_util", "kadmin.local", "kinit"),
]


@dataclass
class Office:
    """A realm with two people, and a name server of which one of them may change the zone."""

    kdc: Kdc
    bind: BindServer

    def become(self, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = self.kdc.log_in(user, "secret", user)
        assert seen is not None
        for name, value in seen.items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    pytest.importorskip("gssapi", exc_type=ImportError)
    kdc = Kdc()
    try:
        kdc.start()
        for user in ("ann", "eve"):
            kdc.add(user, "secret")
        keytab = kdc.keytab(f"DNS/{NS}")
        kdc._admin("add_principal -randkey DNS/other.ours.example")  # a service whose key BIND does not have
        bind = BindServer(
            _ZONE,
            keytab=keytab,
            policy=f'grant "ann@{REALM}" zonesub ANY;',
            environment=kdc.environment,
        )
        try:
            yield Office(kdc, bind)
        finally:
            bind.stop()
    finally:
        kdc.stop()


def publish(tmp_path: Path, port: int, *, name: str = NS, policy: Policy = "reject") -> list[str]:
    made = settings_of(
        None,
        server={"hostname": "gate.example", "state-directory": str(tmp_path)},
        dns={"servers": [f"127.0.0.1:{port}"]},
    )
    desk = DnsAtHand(made)
    found = desk.survey("b.example", selectors=(), addresses=())
    wanted: Plan = plan(found, Answers(dmarc=policy, dmarc_to="d@b.example"), today="20261127")
    return desk.publish(wanted, zone="b.example", server=f"127.0.0.1:{port}", key_file="", kerberos=name)


def test_records_are_published_with_a_ticket(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.become("ann", monkeypatch)
    done = publish(tmp_path, office.bind.port)
    assert 'added _dmarc.b.example. TXT "v=DMARC1; p=reject; rua=mailto:d@b.example"' in done
    assert office.bind.records("_dmarc.b.example", "TXT") == ['"v=DMARC1; p=reject; rua=mailto:d@b.example"']
    assert '"verification=1"' in office.bind.records("b.example", "TXT")
    assert publish(tmp_path, office.bind.port) == []


def test_who_may_not_change_the_zone_is_refused(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.become("eve", monkeypatch)
    with pytest.raises(WorldFault, match=r"refused the update of b\.example: REFUSED"):
        publish(tmp_path, office.bind.port, policy="none")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("other.ours.example", "no Kerberos|does not take"),
        ("nobody.ours.example", "is that the server's own name"),
    ],
    ids=["another server's name", "a name nobody has"],
)
def test_a_server_of_another_name_is_not_believed(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    office.become("ann", monkeypatch)
    with pytest.raises(WorldFault, match=why):
        publish(tmp_path, office.bind.port, name=name)


def test_without_a_ticket_it_is_said_what_is_missing(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.become("ann", monkeypatch)
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/none")
    with pytest.raises(WorldFault, match="is there a ticket"):
        publish(tmp_path, office.bind.port)


def _tkey(exchange: Exchange, token: bytes, error: int = 0) -> Sequence[bytes]:
    """An answer that nobody signed."""
    asked = dns.message.from_wire(exchange.query)
    answer = dns.message.make_response(asked)
    name = asked.question[0].name
    rrset = answer.find_rrset(
        answer.answer, name, dns.rdataclass.ANY, dns.rdatatype.TKEY, create=True, force_unique=True
    )
    rrset.add(
        dns.rdtypes.ANY.TKEY.TKEY(  # type: ignore[no-untyped-call]  # dnspython's
            dns.rdataclass.ANY, dns.rdatatype.TKEY, dns.tsig.GSS_TSIG, 0, 2**31, 3, error, token
        )
    )
    return (answer.to_wire(),)


LIARS = [
    ("no Kerberos here", lambda e: (e.with_rcode(5),), "does not take Kerberos: REFUSED"),
    ("no TKEY", lambda e: (e.answer,), "does not take Kerberos"),
    ("an error", lambda e: _tkey(e, b"", 17), "does not take our Kerberos ticket: BADKEY"),
    ("nonsense for a token", lambda e: _tkey(e, b"\x60\x03abc"), "no Kerberos with"),
    ("half an answer", lambda e: (e.answer[:20],), "port"),
]


@pytest.mark.parametrize(("twist", "why"), [liar[1:] for liar in LIARS], ids=[liar[0] for liar in LIARS])
def test_servers_that_lie(
    office: Office,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    background: Background,
    twist: object,
    why: str,
) -> None:
    office.become("ann", monkeypatch)
    lab = LabDns("b.example TXT v=spf1", {"sig-gatepost": Fault(twist)})  # type: ignore[arg-type]  # of the table
    background.run(lab.start())
    try:
        with pytest.raises(WorldFault, match=why):
            publish(tmp_path, lab.port)
    finally:
        background.run(lab.stop())
