"""A next hop proves who it is: by fingerprint, by authorities of ours, and for mail with REQUIRETLS in any case."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from tests.certificates import authority, ca_file, in_file, leaf
from tests.delivery.fakes import CONTENT, PlainBodyFiles, Yard, mail_to, parcel_of, to_port, yard

from gatepost.adapters.certificates import fingerprints_of
from gatepost.delivery.authentication import Credentials
from gatepost.delivery.courier import Line, NoHost
from gatepost.delivery.outcome import Attempt, Fate
from gatepost.lab.sink import EXTENSIONS, Behaviour, Sink

HOST = leaf("127.0.0.1")
WITH_REQUIRETLS = (*EXTENSIONS, "REQUIRETLS")


def showing(certificate: trustme.LeafCert, **more: Any) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(made)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def fingerprints(certificate: trustme.LeafCert) -> list[str]:
    """Of the certificate and of the key, sorted so that neither has its place."""
    return sorted(fingerprints_of(x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes())))


class Place:
    """A sink and a yard that sends to it."""

    def __init__(self, sink: Sink, made: Yard) -> None:
        self.sink, self.yard = sink, made

    async def send(self, line: Line | None = None, **mail: Any) -> tuple[Attempt, Line | None]:
        parcel = parcel_of(replace(mail_to("b@b.example"), **mail))
        return await self.yard.attempts.make(parcel, self.yard.router.by_key("out:smart"), line)


def at_place(scenario: Any, behaviour: Behaviour, connector: dict[str, Any], **more: Any) -> None:
    async def run() -> None:
        sink = Sink(behaviour)
        await sink.start()
        made = yard(to_port(sink.port, **connector), monotonic=time.monotonic, **more)
        try:
            await scenario(Place(sink, made))
        finally:
            made.attempts.courier.parked.close_all()
            await sink.stop()

    asyncio.run(run())


@pytest.mark.parametrize("which", [0, 1])
def test_a_known_fingerprint_is_enough(which: int) -> None:
    """Of the certificate or of its key; nobody vouches for it."""

    async def scenario(place: Place) -> None:
        done, line = await place.send()
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert place.sink.mails[0].tls
        assert line is not None
        line.connection.close()

    at_place(
        scenario,
        Behaviour(tls=showing(HOST)),
        {"tls": "fingerprint", "fingerprints": [fingerprints(HOST)[which], "00" * 32]},
    )


@pytest.mark.threat("D22")
def test_another_fingerprint_is_not() -> None:
    async def scenario(place: Place) -> None:
        with pytest.raises(NoHost, match="fingerprints"):
            await place.send()
        assert not place.sink.mails

    # Given a certificate of an authority that we would believe, but not the one we know
    at_place(
        scenario,
        Behaviour(tls=showing(leaf("127.0.0.1"))),
        {"tls": "fingerprint", "fingerprints": fingerprints(HOST)},
    )


@pytest.mark.threat("D22")
def test_a_known_fingerprint_is_no_use_in_the_clear() -> None:
    async def scenario(place: Place) -> None:
        with pytest.raises(NoHost, match="STARTTLS"):
            await place.send()
        assert not place.sink.mails

    at_place(scenario, Behaviour(), {"tls": "fingerprint", "fingerprints": fingerprints(HOST)})


CERTIFICATES = {
    "for its name": (HOST, ""),
    "for another name": (leaf("192.0.2.7"), "CERTIFICATE_VERIFY_FAILED"),
    "of another authority": (leaf("127.0.0.1", by="stranger"), "CERTIFICATE_VERIFY_FAILED"),
}


@pytest.mark.threat("D22")
@pytest.mark.parametrize("case", CERTIFICATES)
def test_authorities_of_our_own_decide(tmp_path: Path, case: str) -> None:
    certificate, refusal = CERTIFICATES[case]

    async def scenario(place: Place) -> None:
        if refusal:
            with pytest.raises(NoHost, match=refusal):
                await place.send()
        else:
            done, line = await place.send()
            assert done.outcomes[0].fate is Fate.DELIVERED
            assert line is not None
            line.connection.close()
        assert len(place.sink.mails) == (0 if refusal else 1)

    connector = {"tls": "verified", "ca-file": ca_file(tmp_path / "ca.pem")}
    at_place(scenario, Behaviour(tls=showing(certificate)), connector)


@pytest.mark.threat("D22")
@pytest.mark.parametrize(
    ("name", "by", "refusal"),
    [
        ("mx1.bank.example", "ours", ""),
        ("127.0.0.1", "ours", "not for .*bank.example"),
        ("mx.other.example", "ours", "not for .*bank.example"),
        ("mx1.bank.example", "stranger", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_names_of_our_own_go_before_what_dns_says(tmp_path: Path, name: str, by: str, refusal: str) -> None:
    async def scenario(place: Place) -> None:
        if refusal:
            with pytest.raises(NoHost, match=refusal):
                await place.send()
            assert not place.sink.mails
        else:
            done, line = await place.send()
            assert done.outcomes[0].fate is Fate.DELIVERED
            assert line is not None
            assert line.connection.peer_is_proven
            line.connection.close()

    names = {"certificate-names": ["bank.example", "*.bank.example"], "ca-file": ca_file(tmp_path / "ca.pem")}
    at_place(scenario, Behaviour(tls=showing(leaf(name, by=by))), {"tls": "verified", **names})


def test_new_authorities_count_at_the_next_connection(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"

    async def scenario(place: Place) -> None:
        with pytest.raises(NoHost):
            await place.send()
        ca_file(file, "stranger", "ours")
        done, line = await place.send()
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert line is not None
        line.connection.close()

    at_place(
        scenario, Behaviour(tls=showing(HOST)), {"tls": "verified", "ca-file": ca_file(file, "stranger")}
    )


@pytest.mark.threat("D11")
def test_the_minimum_holds_for_next_hops_too() -> None:
    async def scenario(place: Place) -> None:
        with pytest.raises(NoHost, match="TLS"):
            await place.send()

    old = showing(HOST, maximum_version=ssl.TLSVersion.TLSv1_2)
    at_place(scenario, Behaviour(tls=old), {"tls": "required", "tls-minimum": "1.3"})


def test_our_certificate_is_shown(tmp_path: Path) -> None:
    asks = showing(HOST, verify_mode=ssl.CERT_REQUIRED)
    authority().configure_trust(asks)

    async def scenario(place: Place) -> None:
        done, line = await place.send()
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert line is not None
        line.connection.close()

    own = in_file(tmp_path / "own.pem", leaf("gate.example"))
    at_place(scenario, Behaviour(tls=asks), {"tls": "required", "certificate-file": own})


@pytest.mark.threat("D23")
def test_a_broken_file_of_ours_is_no_reason_for_the_clear(tmp_path: Path) -> None:
    """The configuration would refuse it; it broke since."""
    broken = tmp_path / "own.pem"
    broken.write_bytes(b"hello")

    async def scenario(place: Place) -> None:
        with pytest.raises(NoHost, match=r"TLS cannot be prepared with .*own\.pem"):
            await place.send()
        assert not place.sink.mails
        assert place.sink.connections == 1

    at_place(
        scenario, Behaviour(tls=showing(HOST)), {"tls": "opportunistic", "certificate-file": str(broken)}
    )


# REQUIRETLS.


@pytest.mark.threat("D22")
@pytest.mark.parametrize("tls", ["none", "opportunistic", "required"])
def test_requiretls_goes_to_a_proven_next_hop_whatever_the_connector_says(tmp_path: Path, tls: str) -> None:
    async def scenario(place: Place) -> None:
        _, line = await place.send()
        done, line = await place.send(line, require_tls=True)
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert [mail.tls for mail in place.sink.mails] == [tls != "none", True]
        assert "REQUIRETLS" in place.sink.mails[1].mail_parameters
        assert place.sink.connections == 2
        # And the connection that is safer serves the others as well
        done, line = await place.send(line)
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert place.sink.connections == 2
        assert line is not None
        line.connection.close()

    behaviour = Behaviour(tls=showing(HOST), extensions=WITH_REQUIRETLS)
    at_place(scenario, behaviour, {"tls": tls, "ca-file": ca_file(tmp_path / "ca.pem")})


@pytest.mark.threat("D22")
@pytest.mark.parametrize("tls", ["none", "opportunistic", "required"])
def test_requiretls_waits_for_a_next_hop_that_proves_nothing(tls: str) -> None:
    """It says REQUIRETLS in the clear and under TLS, and may be anybody; other mail goes on."""

    async def scenario(place: Place) -> None:
        _, line = await place.send()
        done, line = await place.send(line, require_tls=True)
        assert done.outcomes[0].fate is Fate.DEFERRED
        assert "4.7.10" in done.outcomes[0].reply
        done, line = await place.send(line)
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert len(place.sink.mails) == 2
        assert line is not None
        line.connection.close()

    at_place(scenario, Behaviour(tls=showing(HOST), extensions=WITH_REQUIRETLS), {"tls": tls})


@pytest.mark.threat("D22", "D23")
def test_requiretls_does_not_fall_back_to_the_clear(tmp_path: Path) -> None:
    """The handshake fails for everybody: the other mail goes in the clear, this one waits."""
    old = showing(HOST, maximum_version=ssl.TLSVersion.TLSv1_2)

    async def scenario(place: Place) -> None:
        done, line = await place.send()
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert not place.sink.mails[0].tls
        done, line = await place.send(line, require_tls=True)
        assert done.outcomes[0].fate is Fate.DEFERRED
        assert len(place.sink.mails) == 1
        assert line is not None
        line.connection.close()

    connector = {"tls": "opportunistic", "tls-minimum": "1.3", "ca-file": ca_file(tmp_path / "ca.pem")}
    at_place(scenario, Behaviour(tls=old, extensions=WITH_REQUIRETLS), connector)


@pytest.mark.threat("D22")
@pytest.mark.parametrize("is_parked", [True, False])
def test_requiretls_is_proven_again_when_a_connection_has_died(tmp_path: Path, is_parked: bool) -> None:
    async def scenario(place: Place) -> None:
        courier, hop = place.yard.attempts.courier, place.yard.router.by_key("out:smart")
        _, line = await place.send(require_tls=True)
        if is_parked and line is not None:  # and the lane has one that proves nothing
            courier.park(line)
            line = await courier.line_to(hop, pipelining=False)
        await place.sink.stop()
        await place.sink.start(port=place.sink.port)
        done, line = await place.send(line, require_tls=True)
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert place.sink.mails[-1].tls
        assert line is not None
        assert line.connection.peer_is_proven
        line.connection.close()

    behaviour = Behaviour(tls=showing(HOST), extensions=WITH_REQUIRETLS)
    at_place(scenario, behaviour, {"tls": "required", "ca-file": ca_file(tmp_path / "ca.pem")})


@pytest.mark.threat("D22")
def test_a_connection_that_proves_nothing_takes_no_requiretls_from_anybody() -> None:
    """Whatever the courier does: the connection itself says no."""

    async def scenario(place: Place) -> None:
        line = await place.yard.attempts.courier.line_to(place.yard.router.by_key("out:smart"))
        mail = replace(mail_to("b@b.example"), require_tls=True)
        store = place.yard.store
        outcomes = await line.connection.hand_over(
            mail, mail.recipients, CONTENT, PlainBodyFiles(), store.body_path
        )
        assert [outcome.fate for outcome in outcomes] == [Fate.DEFERRED]
        assert not place.sink.mails
        line.connection.close()

    at_place(scenario, Behaviour(tls=showing(HOST), extensions=WITH_REQUIRETLS), {"tls": "required"})


def test_requiretls_fails_where_it_is_not_known() -> None:
    async def scenario(place: Place) -> None:
        done, line = await place.send(require_tls=True)
        assert done.outcomes[0].fate is Fate.FAILED
        assert "5.7.30" in done.outcomes[0].reply
        assert not place.sink.mails
        assert line is not None
        line.connection.close()

    at_place(scenario, Behaviour(tls=showing(HOST)), {"tls": "required"})


# Connections that are kept open.


def test_a_parked_connection_is_used_by_mail_with_the_same_demands_only(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        courier, hop = place.yard.attempts.courier, place.yard.router.by_key("out:smart")
        line = await courier.line_to(hop)
        courier.park(line)
        better = await courier.line_to(hop, proven=True)
        assert better.connection is not line.connection
        assert better.connection.peer_is_proven
        courier.park(better)
        again = await courier.line_to(hop, proven=True)
        assert again.connection is better.connection
        again.connection.close()

    behaviour = Behaviour(tls=showing(HOST))
    at_place(scenario, behaviour, {"tls": "required", "ca-file": ca_file(tmp_path / "ca.pem")})


def test_a_login_by_certificate(tmp_path: Path) -> None:
    asks = showing(HOST, verify_mode=ssl.CERT_REQUIRED)
    authority().configure_trust(asks)
    behaviour = Behaviour(
        tls=asks, extensions=(*EXTENSIONS, "AUTH PLAIN EXTERNAL"), replies={"AUTH": "235 2.7.0 welcome"}
    )

    async def scenario(place: Place) -> None:
        done, line = await place.send()
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert any("AUTH EXTERNAL" in said for said in place.yard.said)
        assert line is not None
        line.connection.close()

    own = in_file(tmp_path / "own.pem", leaf("gate.example"))
    at_place(
        scenario,
        behaviour,
        {"tls": "required", "certificate-file": own, "user": "us", "protocol-log": True},
        credentials={"out": Credentials(user="us", has_certificate=True)},
    )
