"""DANE towards next hops: real STARTTLS servers, a zone in memory that says what is proven."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests import certificates
from tests.delivery.published import DOMAIN, ENFORCE, MX, Scene, play

from gatepost.delivery.courier import NoHost
from gatepost.delivery.outcome import Fate
from gatepost.ports.resolver import Tlsa

pytestmark = pytest.mark.filterwarnings(
    # A sink's TLS may still be saying goodbye when its loop ends
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
LEAF = certificates.leaf(MX)
STRANGER = certificates.leaf(MX, by="stranger")
OTHER_NAME = certificates.leaf("other.example", by="stranger")
EXPIRED = certificates.expired("other.example")


def der(certificate: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())


def of_leaf(certificate: trustme.LeafCert, usage: int = 3) -> Tlsa:
    return Tlsa(usage=usage, selector=0, matching=1, data=hashlib.sha256(der(certificate)).digest())


def of_authority(name: str) -> Tlsa:
    whole = ssl.PEM_cert_to_DER_cert(certificates.authority(name).cert_pem.bytes().decode())
    return Tlsa(usage=2, selector=0, matching=0, data=whole)


def publish(scene: Scene, *records: Tlsa, base: str = MX) -> str:
    """Everything is signed, and the server has these records; their name."""
    name = f"_{scene.sink.port}._tcp.{base}"
    scene.zone.tlsa_of[name] = records
    scene.zone.secure |= {DOMAIN, MX, base, name}
    return name


# What the server shows, the records, whether the mail goes, what is noted.
CASES: list[tuple[str, trustme.LeafCert, tuple[Tlsa, ...], bool, tuple[str, str]]] = [
    ("3: the certificate", LEAF, (of_leaf(LEAF),), True, ("tlsa", "")),
    ("3: neither name nor authority counts", OTHER_NAME, (of_leaf(OTHER_NAME),), True, ("tlsa", "")),
    ("3: dates do not count", EXPIRED, (of_leaf(EXPIRED),), True, ("tlsa", "")),
    ("3: one of two", LEAF, (of_leaf(STRANGER), of_leaf(LEAF)), True, ("tlsa", "")),
    ("3: another certificate", LEAF, (of_leaf(STRANGER),), False, ("tlsa", "validation-failure")),
    ("2: the authority", STRANGER, (of_authority("stranger"),), True, ("tlsa", "")),
    ("2: another authority", LEAF, (of_authority("stranger"),), False, ("tlsa", "validation-failure")),
    (
        "2: another name",
        OTHER_NAME,
        (of_authority("stranger"),),
        False,
        ("tlsa", "certificate-host-mismatch"),
    ),
    ("no record can be used: any certificate", OTHER_NAME, (of_leaf(LEAF, usage=1),), True, ("tlsa", "")),
    ("no record: as the settings say", OTHER_NAME, (), True, ("no-policy-found", "")),
]


@pytest.mark.threat("D22", "D25")
@pytest.mark.parametrize(
    ("shown", "records", "goes", "noted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_the_records_decide(
    tmp_path: Path, shown: trustme.LeafCert, records: tuple[Tlsa, ...], goes: bool, noted: tuple[str, str]
) -> None:
    async def script(scene: Scene) -> None:
        publish(scene, *records)
        if goes:
            done = await scene.deliver()
            assert done.outcomes[0].fate is Fate.DELIVERED
            assert done.tls
        else:
            with pytest.raises(NoHost, match="DANE"):
                await scene.deliver()
            assert scene.sink.mails == []
        assert scene.noted.lines == [noted]

    play(tmp_path, script, mail_certificate=shown)


@pytest.mark.threat("D22")
@pytest.mark.parametrize("record", [of_leaf(LEAF), of_leaf(LEAF, usage=0)], ids=["usable", "unusable"])
def test_a_server_with_records_and_without_starttls_gets_nothing(tmp_path: Path, record: Tlsa) -> None:
    async def script(scene: Scene) -> None:
        publish(scene, record)
        with pytest.raises(NoHost, match="STARTTLS"):
            await scene.deliver()
        assert scene.noted.lines == [("tlsa", "starttls-not-supported")]

    play(tmp_path, script, starttls=False)


# What is not signed, and whether records that do not fit count all the same.
PROOFS: list[tuple[str, set[str], bool]] = [
    ("everything is signed", set(), False),
    ("the domain is not", {DOMAIN}, True),
    ("the server's address is not", {MX}, True),
    ("the records are not", {"tlsa"}, True),
    ("the resolver does not validate", {"org"}, True),
]


@pytest.mark.threat("M11")
@pytest.mark.parametrize(("unsigned", "goes"), [p[1:] for p in PROOFS], ids=[p[0] for p in PROOFS])
def test_only_what_is_proven_counts(tmp_path: Path, unsigned: set[str], goes: bool) -> None:
    async def script(scene: Scene) -> None:
        name = publish(scene, of_leaf(STRANGER))
        scene.zone.secure -= {name if one == "tlsa" else one for one in unsigned}
        if goes:
            assert (await scene.deliver()).outcomes[0].fate is Fate.DELIVERED
        else:
            with pytest.raises(NoHost):
                await scene.deliver()

    play(tmp_path, script, mail_certificate=LEAF)


@pytest.mark.threat("D25")
@pytest.mark.parametrize("what", ["records", "address", "domain"])
def test_an_answer_that_is_unknown_is_never_none(tmp_path: Path, what: str) -> None:
    async def script(scene: Scene) -> None:
        name = publish(scene, of_leaf(LEAF))
        scene.zone.unknown.add({"records": name, "address": MX, "domain": DOMAIN}[what])
        with pytest.raises(NoHost):
            await scene.deliver()
        assert scene.sink.connections == 0

    play(tmp_path, script, mail_certificate=LEAF)


ALIASES: list[tuple[str, str, bool, bool]] = [
    ("records at the end of a signed alias", "host.c.example", True, True),
    ("records at the alias itself", MX, True, True),
    ("the alias leads out of what is signed, records at its own name", MX, False, True),
    ("the alias leads out of what is signed, records at its end", "host.c.example", False, False),
]


@pytest.mark.parametrize(
    ("base", "end_signed", "counts"), [a[1:] for a in ALIASES], ids=[a[0] for a in ALIASES]
)
def test_aliases(tmp_path: Path, base: str, end_signed: bool, counts: bool) -> None:
    async def script(scene: Scene) -> None:
        zone = scene.zone
        zone.alias_of[MX] = "host.c.example"
        zone.addresses_of["host.c.example"] = zone.addresses_of[MX]
        publish(scene, of_leaf(STRANGER), base=base)
        zone.secure |= {"host.c.example"}
        zone.secure -= set() if end_signed else {"host.c.example"}
        if counts:
            with pytest.raises(NoHost, match="DANE"):
                await scene.deliver()
        else:
            await scene.deliver()

    play(tmp_path, script, mail_certificate=LEAF)


def test_the_server_is_asked_for_the_name_the_records_stand_at(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        names: list[str] = []
        context = scene.sink.behaviour.tls
        assert context is not None
        context.sni_callback = lambda _, name, __: names.append(name)
        scene.zone.alias_of[MX] = "host.c.example"
        scene.zone.addresses_of["host.c.example"] = scene.zone.addresses_of[MX]
        publish(scene, of_leaf(LEAF), base="host.c.example")
        await scene.deliver()
        assert names == ["host.c.example"]

    play(tmp_path, script, mail_certificate=LEAF)


SETTINGS: list[tuple[str, dict[str, Any], bool, bool]] = [
    # outbound-tls, whether the domain has records (which do not fit), whether the mail goes
    ("off", {"dane": "off"}, True, True),
    ("off for the domain", {"domains": {DOMAIN: {"dane": "off"}}}, True, True),
    ("required for the domain, which has none", {"domains": {DOMAIN: {"dane": "required"}}}, False, False),
    ("required, and the resolver validates", {"dane": "required"}, False, True),
    (
        "required, and the resolver does not",
        {"dane": "required", "dane-probe": "unsigned.example"},
        False,
        False,
    ),
]


@pytest.mark.parametrize(("outbound", "has", "goes"), [s[1:] for s in SETTINGS], ids=[s[0] for s in SETTINGS])
def test_an_administrator_has_the_last_word(
    tmp_path: Path, outbound: dict[str, Any], has: bool, goes: bool
) -> None:
    async def script(scene: Scene) -> None:
        if has:
            publish(scene, of_leaf(STRANGER))
        if goes:
            await scene.deliver()
        else:
            with pytest.raises(NoHost, match=r"DANE|TLSA"):
                await scene.deliver()

    play(tmp_path, script, mail_certificate=LEAF, outbound=outbound)


def test_dane_goes_before_mta_sts(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        scene.zone.texts_of[f"_mta-sts.{DOMAIN}"] = (b"v=STSv1; id=1",)
        scene.server.body = ENFORCE.replace(b"mx: mx.", b"mx: m2.")
        with pytest.raises(NoHost, match="MTA-STS"):
            await scene.deliver()
        publish(scene, of_leaf(OTHER_NAME))
        assert (await scene.deliver()).outcomes[0].fate is Fate.DELIVERED
        publish(scene, of_leaf(STRANGER))
        with pytest.raises(NoHost, match="DANE"):
            await scene.deliver()

    play(tmp_path, script, mail_certificate=OTHER_NAME)


def test_requiretls_is_content_with_a_server_that_dane_proved(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        publish(scene, of_leaf(OTHER_NAME))
        done = await scene.deliver(require_tls=True)
        assert done.outcomes[0].reply.startswith("554 5.7.30")  # proven; it only does not offer REQUIRETLS

    play(tmp_path, script, mail_certificate=OTHER_NAME)


@pytest.mark.threat("M11")
def test_a_resolver_that_falls_silent_is_no_downgrade_and_one_that_stops_validating_is_told(
    tmp_path: Path,
) -> None:
    async def script(scene: Scene) -> None:
        publish(scene, of_leaf(STRANGER))
        proof, zone = scene.proof, scene.zone
        held = [await proof.ready()]
        zone.unknown.add("org")
        await scene.pass_probe()
        held.append(proof.holds)
        zone.unknown.clear()
        zone.secure.discard("org")
        await scene.pass_probe()
        held.append(proof.holds)
        zone.secure.add("org")
        await scene.pass_probe()
        assert [*held, proof.holds] == [True, True, False, True]
        assert [event for event, _ in scene.log.lines if event.startswith("dane-")] == [
            "dane-proven",
            "dane-proven",  # with why it could not be looked at
            "dane-unavailable",
            "dane-proven",
        ]

    play(tmp_path, script, mail_certificate=LEAF)
