"""DANE towards smart hosts: their names, their ports, their MX; never downgraded by a DNS that is silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
from tests import certificates
from tests.delivery.fakes import mail_to, parcel_of
from tests.delivery.published import Scene, play
from tests.delivery.test_dane_out import of_leaf

from gatepost.delivery.courier import NoHost
from gatepost.delivery.outcome import Fate
from gatepost.ports.resolver import Mx, Tlsa

pytestmark = pytest.mark.filterwarnings(
    # A sink's TLS may still be saying goodbye when its loop ends
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
SMART = "smart.example"
BEHIND = "in.provider.example"
LEAF = certificates.leaf(SMART, by="stranger")
OTHER = certificates.leaf(SMART, by="another stranger")


async def delivered(scene: Scene) -> str:
    """ "proven", "delivered", "in the clear", or why not; a new connection each time."""
    hop = "out:smart"
    parcel = parcel_of(mail_to("ann@b.example", next_hop=hop))
    try:
        done, line = await scene.yard.attempts.make(parcel, scene.yard.router.by_key(hop), None)
    except NoHost as fault:
        return fault.reason
    assert done.outcomes[0].fate is Fate.DELIVERED
    assert line is not None
    line.connection.close()
    if line.connection.tls is None:
        return "in the clear"
    return "proven" if line.connection.peer_is_proven else "delivered"


def publish(scene: Scene, *records: Tlsa, name: str = SMART) -> None:
    """The host is in a signed zone, with these records for the sink's port."""
    record = f"_{scene.sink.port}._tcp.{name}"
    scene.zone.tlsa_of[record] = records
    scene.zone.addresses_of[name] = ("127.0.0.1",)
    scene.zone.secure |= {name, record}


def tried(
    tmp_path: Path,
    prepare: Any,
    *,
    smart_host: str = f"[{SMART}]",
    outbound: dict[str, Any] | None = None,
    starttls: bool = True,
    tls: str = "opportunistic",
    shows: trustme.LeafCert = LEAF,
) -> str:
    async def script(scene: Scene) -> str:
        prepare(scene)
        way = scene.yard.router.by_key("out:smart").settings
        assert way.smart_hosts
        return await delivered(scene)

    return str(
        play(
            tmp_path,
            script,
            mail_certificate=shows,
            starttls=starttls,
            connector={"smart-hosts": [smart_host], "tls": tls},
            outbound=outbound or {},
        )
    )


def good(scene: Scene) -> None:
    publish(scene, of_leaf(LEAF))


def wrong(scene: Scene) -> None:
    publish(scene, of_leaf(OTHER))


def unusable(scene: Scene) -> None:
    publish(scene, Tlsa(usage=1, selector=0, matching=1, data=bytes(32)))


def unsigned(scene: Scene) -> None:
    wrong(scene)
    scene.zone.secure.clear()
    scene.zone.secure.add("org")


def silent(scene: Scene) -> None:
    wrong(scene)
    scene.zone.unknown.add(f"_{scene.sink.port}._tcp.{SMART}")


def nothing(scene: Scene) -> None:
    scene.zone.addresses_of[SMART] = ("127.0.0.1",)


CASES = [
    ("the right certificate is proven", good, {}, "proven"),
    ("another one is not spoken to", wrong, {}, "DANE: the certificate"),
    ("records nobody can use ask for any TLS", unusable, {}, "delivered"),
    ("records nobody can use, and no TLS", unusable, {"starttls": False}, "STARTTLS"),
    ("records that are not proven do not count", unsigned, {}, "delivered"),
    ("no answer is not none", silent, {}, "could not be looked up"),
    ("no records", nothing, {}, "delivered"),
    (
        "no records, but they are asked for",
        nothing,
        {"outbound": {"domains": {SMART: {"dane": "required"}}}},
        "asks for them",
    ),
    ("switched off for the host", wrong, {"outbound": {"domains": {SMART: {"dane": "off"}}}}, "delivered"),
    ("switched off", wrong, {"outbound": {"dane": "off"}}, "delivered"),
    ("an administrator's word goes before", good, {"tls": "verified"}, "certificate"),
]


@pytest.mark.threat("D22", "D25")
@pytest.mark.parametrize(("prepare", "more", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_smart_host_by_name(tmp_path: Path, prepare: Any, more: dict[str, Any], said: str) -> None:
    assert said in tried(tmp_path, prepare, **more)


def by_mx(*, secure: bool) -> Any:
    def prepare(scene: Scene) -> None:
        scene.zone.exchangers_of[SMART] = (Mx(10, BEHIND),)
        publish(scene, of_leaf(OTHER), name=BEHIND)
        if secure:
            scene.zone.secure.add(SMART)

    return prepare


def silent_list(scene: Scene) -> None:
    """The list was there when the hosts were looked up, and is not now."""
    by_mx(secure=True)(scene)
    looked_up = scene.zone.look_up

    async def look_up(name: str, kind: Any, *, timeout_s: float) -> Any:
        if kind.name == "MX":
            scene.zone.unknown.add(SMART)
        return await looked_up(name, kind, timeout_s=timeout_s)

    scene.zone.look_up = look_up  # type: ignore[method-assign]  # a resolver that goes silent


@pytest.mark.threat("D22", "D25")
@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (by_mx(secure=True), "DANE: the certificate"),
        (by_mx(secure=False), "delivered"),
        (silent_list, "could not be looked up"),
    ],
    ids=[
        "a proven list leads to proven hosts",
        "a list anybody may have forged does not",
        "a silent one neither",
    ],
)
def test_a_smart_host_by_its_mx(tmp_path: Path, prepare: Any, said: str) -> None:
    assert said in tried(tmp_path, prepare, smart_host=SMART)


@pytest.mark.threat("D25")
def test_a_resolver_that_proves_nothing_makes_required_hosts_wait(tmp_path: Path) -> None:
    def unproven(scene: Scene) -> None:
        good(scene)
        scene.zone.secure.discard("org")

    assert tried(tmp_path, unproven) == "delivered"
    required = {"outbound": {"domains": {SMART: {"dane": "required"}}}}
    assert "the resolver is not shown to validate" in tried(tmp_path, unproven, **required)  # type: ignore[arg-type]
    assert "the resolver is not shown to validate" in tried(tmp_path, unproven, outbound={"dane": "required"})
