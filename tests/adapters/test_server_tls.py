"""TLS of a receive connector: versions, suites, server names, client certificates, new files. Handshakes in memory."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.certificates import authority, ca_file, client, expired, in_file, leaf, shake_hands

from gatepost.adapters.certificates import Pair, ServerOptions
from gatepost.adapters.tls import ServerTls
from gatepost.model.fault import WorldFault

NOW = datetime.datetime.now(datetime.UTC).timestamp()
TLS_1_2: dict[str, Any] = {"maximum_version": ssl.TLSVersion.TLSv1_2}


def server(directory: Path, *names: str, more: tuple[str, ...] = (), **options: Any) -> ServerTls:
    """A door with a certificate for `names`, and further certificates for one name each."""
    first = in_file(directory / "first.pem", leaf(*(names or ("mx.ours.example",))))
    others = [Pair(in_file(directory / f"{n}.pem", leaf(name))) for n, name in enumerate(more)]
    return ServerTls(first, more=others, options=ServerOptions(**options))


def names_shown(side: ssl.SSLObject) -> tuple[str, ...]:
    shown: Any = side.getpeercert()
    return tuple(value for kind, value in shown["subjectAltName"] if kind == "DNS")


# Versions and suites.


@pytest.mark.threat("D11")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_refused(tmp_path: Path, version: ssl.TLSVersion) -> None:
    old = client()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = version
    with pytest.raises(WorldFault, match="PROTOCOL"):
        shake_hands(server(tmp_path).pump(), old)


@pytest.mark.threat("D11")
@pytest.mark.parametrize(("minimum", "is_served"), [("1.2", True), ("1.3", False)])
def test_the_minimum_is_a_setting(tmp_path: Path, minimum: str, is_served: bool) -> None:
    door = server(tmp_path, minimum=minimum)
    assert shake_hands(door.pump(), client()).version() == "TLSv1.3"
    if is_served:
        assert shake_hands(door.pump(), client(**TLS_1_2)).version() == "TLSv1.2"
    else:
        with pytest.raises(WorldFault, match="PROTOCOL"):
            shake_hands(door.pump(), client(**TLS_1_2))


@pytest.mark.threat("D12")
@pytest.mark.parametrize(
    "suites", ["aNULL", "eNULL", "AES128-GCM-SHA256", "AES128-SHA", "ECDHE-RSA-AES128-SHA"]
)
def test_weak_suites_are_not_negotiated(tmp_path: Path, suites: str) -> None:
    # An RSA certificate, so that nothing but the suite is in the way
    door = ServerTls(in_file(tmp_path / "rsa.pem", authority().issue_cert("mx.ours.example")))
    weak = client(**TLS_1_2)
    weak.set_ciphers(f"{suites}:@SECLEVEL=0")
    with pytest.raises(WorldFault, match="SHARED_CIPHER"):
        shake_hands(door.pump(), weak)


@pytest.mark.threat("D14")
@pytest.mark.parametrize("more", [{}, TLS_1_2])
def test_nothing_is_compressed(tmp_path: Path, more: dict[str, Any]) -> None:
    assert shake_hands(server(tmp_path).pump(), client(**more)).compression() is None


# Tickets.


@pytest.mark.threat("D19", "D20")
@pytest.mark.parametrize("more", [{}, TLS_1_2])
def test_no_ticket_is_handed_out(tmp_path: Path, more: dict[str, Any]) -> None:
    side = shake_hands(server(tmp_path).pump(), client(**more))
    with pytest.raises(ssl.SSLWantReadError):
        side.read(1)  # a ticket of TLS 1.3 would come behind the handshake
    assert side.session is None or not side.session.has_ticket


@pytest.mark.threat("D19")
def test_a_session_of_one_door_is_not_resumed_at_another(tmp_path: Path) -> None:
    file = in_file(tmp_path / "one.pem", leaf("mx.ours.example"))
    strict, lax = ServerTls(file), ServerTls(file)
    asking = client(**TLS_1_2)
    session = shake_hands(lax.pump(), asking).session
    assert not shake_hands(strict.pump(), asking, session=session).session_reused


# Server names.

SNI = {
    "no name": (None, "mx.ours.example"),
    "the first": ("mx.ours.example", "mx.ours.example"),
    "another": ("mail.second.example", "mail.second.example"),
    "another in capitals": ("MAIL.Second.Example", "mail.second.example"),
    "below a star": ("smtp.third.example", "*.third.example"),
    "two below a star": ("a.smtp.third.example", "mx.ours.example"),
    "the star's own name": ("third.example", "mx.ours.example"),
    "nobody's": ("mx.elsewhere.example", "mx.ours.example"),
}


@pytest.mark.threat("D17")
@pytest.mark.parametrize("case", SNI)
def test_the_certificate_follows_the_server_name(tmp_path: Path, case: str) -> None:
    asked, shown = SNI[case]
    door = server(tmp_path, more=("mail.second.example", "*.third.example"))
    assert names_shown(shake_hands(door.pump(), client(), asked)) == (shown,)


def test_a_whole_name_goes_before_a_star(tmp_path: Path) -> None:
    door = server(tmp_path, more=("*.third.example", "smtp.third.example"))
    assert names_shown(shake_hands(door.pump(), client(), "smtp.third.example")) == ("smtp.third.example",)


def test_the_first_of_two_certificates_for_a_name_is_shown(tmp_path: Path) -> None:
    door = server(tmp_path, "mx.ours.example", "mail.second.example", more=("mail.second.example",))
    shown = names_shown(shake_hands(door.pump(), client(), "mail.second.example"))
    assert shown == ("mx.ours.example", "mail.second.example")


def test_a_login_is_bound_to_the_certificate_that_was_shown(tmp_path: Path) -> None:
    door = server(tmp_path, more=("mail.second.example",))
    pumps = [door.pump(), door.pump()]
    for pump, name in zip(pumps, ("mx.ours.example", "mail.second.example"), strict=True):
        side = shake_hands(pump, client(), name)
        shown = x509.load_der_x509_certificate(side.getpeercert(binary_form=True) or b"")
        assert pump.info.server_end_point == shown.fingerprint(hashes.SHA256())


@pytest.mark.threat("D17")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "name", [b"aa\0.example", b"../../../etc", b"example.org\\", b"\xff\xfe.example", b"%s%s%n%s.ex"]
)
def test_server_names_are_never_more_than_words(tmp_path: Path, name: bytes) -> None:
    door = server(tmp_path, more=("mail.second.example",))
    hello = _hello("x" * (len(name) - 2) + ".y").replace(b"x" * (len(name) - 2) + b".y", name)
    assert name in hello
    pump = door.pump()
    with contextlib.suppress(WorldFault):
        pump.receive(hello)
    assert not pump.established
    # The door is none the worse for it
    assert names_shown(shake_hands(door.pump(), client(), "mail.second.example")) == ("mail.second.example",)


@pytest.mark.threat("D16")
def test_a_client_of_another_protocol_gets_no_other_protocol(tmp_path: Path) -> None:
    web = client()
    web.set_alpn_protocols(["h2", "http/1.1"])
    assert shake_hands(server(tmp_path).pump(), web).selected_alpn_protocol() is None


@pytest.mark.threat("D15")
@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\0" * 16380,
        b"\x16\x03\x01\xff\xff" + b"\0" * 65535,
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00" * 100,
        b"\x16\x03\x01\x00\x00" * 100,
    ],
    ids=["a hello of 16 MiB", "a record that is too long", "hellos without content", "empty records"],
)
def test_a_hello_that_is_too_much_is_an_error(tmp_path: Path, octets: bytes) -> None:
    pump = server(tmp_path).pump()
    with pytest.raises(WorldFault):
        pump.receive(octets)


@pytest.mark.threat("D15")
def test_a_hello_in_pieces_of_one_octet_is_a_hello(tmp_path: Path) -> None:
    hello = _hello("mx.ours.example")
    message = hello[5:]
    records = b"".join(b"\x16\x03\x01\x00\x01" + message[n : n + 1] for n in range(len(message)))
    pump = server(tmp_path).pump()
    answers = [pump.receive(records[n : n + 1])[1] for n in range(len(records))]
    assert not any(answers[:-1])
    assert answers[-1].startswith(b"\x16\x03\x03")


def _hello(name: str) -> bytes:
    outgoing = ssl.MemoryBIO()
    made = client().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        made.do_handshake()
    return outgoing.read()


# Certificates of clients.

RELAY = leaf("relay.partner.example", "ann@partner.example", common_name="relay", by="partner")


def asking(
    directory: Path, ask: str = "required", *, authorities: tuple[str, ...] = ("partner",)
) -> ServerTls:
    return server(directory, ask=ask, ca_file=ca_file(directory / "ca.pem", *authorities))


@pytest.mark.parametrize("more", [{}, TLS_1_2])
@pytest.mark.parametrize("ask", ["optional", "required"])
def test_a_certificate_that_is_vouched_for_is_known(tmp_path: Path, ask: str, more: dict[str, Any]) -> None:
    pump = asking(tmp_path, ask).pump()
    shake_hands(pump, client(shows=RELAY, **more))
    shown = pump.info.client
    assert shown is not None
    assert shown.dns_names == ("relay.partner.example",)
    assert shown.emails == ("ann@partner.example",)
    assert "CN=relay" in shown.subject
    pem = x509.load_pem_x509_certificate(RELAY.cert_chain_pems[0].bytes())
    assert pem.fingerprint(hashes.SHA256()).hex() in shown.fingerprints
    assert len(shown.fingerprints) == 2


@pytest.mark.parametrize(("ask", "is_served"), [("no", True), ("optional", True), ("required", False)])
def test_a_client_without_a_certificate(tmp_path: Path, ask: str, is_served: bool) -> None:
    pump = asking(tmp_path, ask).pump()
    if is_served:
        shake_hands(pump, client())
        assert pump.info.client is None
    else:
        with pytest.raises(WorldFault, match="RETURN_A_CERTIFICATE"):
            shake_hands(pump, client())


def test_a_certificate_that_nobody_asked_for_is_not_looked_at(tmp_path: Path) -> None:
    pump = server(tmp_path).pump()
    shake_hands(pump, client(shows=RELAY))
    assert pump.info.client is None


STRANGERS: dict[str, Callable[[], trustme.LeafCert]] = {
    "of another authority": lambda: leaf("relay.partner.example", by="stranger"),
    "expired": lambda: authority("partner").issue_cert(
        "relay.partner.example",
        not_before=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        not_after=datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
        key_type=trustme.KeyType.ECDSA,
    ),
}


@pytest.mark.threat("D18")
@pytest.mark.parametrize("ask", ["optional", "required"])
@pytest.mark.parametrize("kind", STRANGERS)
def test_a_bad_certificate_ends_the_handshake(tmp_path: Path, kind: str, ask: str) -> None:
    pump = asking(tmp_path, ask).pump()
    with pytest.raises(WorldFault, match="CERTIFICATE_VERIFY_FAILED"):
        shake_hands(pump, client(shows=STRANGERS[kind]()))
    assert not pump.established


def _signed_by_itself(
    directory: Path, *, names: int = 1, common_name: str = "self"
) -> tuple[str, ssl.SSLContext]:
    """The file with the certificate alone, and a client that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(f"n{n}.self.example") for n in range(names)]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = trustme.Blob(made.public_bytes(Encoding.PEM))
    secret = trustme.Blob(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    file = directory / "self.pem"
    file.write_bytes(pem.bytes())
    context = client()
    with secret.tempfile() as key_file, pem.tempfile() as certificate_file:
        context.load_cert_chain(certificate_file, key_file)
    return str(file), context


@pytest.mark.threat("D18")
def test_a_clients_own_certificate_may_be_its_own_authority(tmp_path: Path) -> None:
    file, shows_itself = _signed_by_itself(tmp_path)
    first = in_file(tmp_path / "first.pem", leaf("mx.ours.example"))
    door = ServerTls(first, options=ServerOptions(ask="required", ca_file=file))
    pump = door.pump()
    shake_hands(pump, shows_itself)
    assert pump.info.client is not None
    # Another one that says the same of itself is not it
    _, other = _signed_by_itself(tmp_path)
    with pytest.raises(WorldFault):
        shake_hands(door.pump(), other)


@pytest.mark.threat("D18")
@pytest.mark.parametrize(
    ("names", "common_name"), [(1000, "self"), (1, "relay.partner.example\0.evil.example")]
)
def test_a_strange_certificate_is_read_as_it_stands(tmp_path: Path, names: int, common_name: str) -> None:
    file, shows_itself = _signed_by_itself(tmp_path, names=names, common_name=common_name)
    first = in_file(tmp_path / "first.pem", leaf("mx.ours.example"))
    pump = ServerTls(first, options=ServerOptions(ask="optional", ca_file=file)).pump()
    shake_hands(pump, shows_itself)
    shown = pump.info.client
    assert shown is not None
    assert len(shown.dns_names) == names
    assert shown.subject != "CN=relay.partner.example"


def test_a_clients_certificate_may_stand_in_the_file_instead_of_its_authority(tmp_path: Path) -> None:
    file = tmp_path / "relay-alone.pem"
    file.write_bytes(RELAY.cert_chain_pems[0].bytes())
    door = server(tmp_path, ask="required", ca_file=str(file))
    shake_hands(door.pump(), client(shows=RELAY))
    # Its authority is not believed for anybody else
    with pytest.raises(WorldFault, match="CERTIFICATE_VERIFY_FAILED"):
        shake_hands(door.pump(), client(shows=leaf("other.partner.example", by="partner")))


@pytest.mark.threat("D18")
def test_a_chain_without_end_is_refused(tmp_path: Path) -> None:
    endless = tmp_path / "endless.pem"
    chain = RELAY.cert_chain_pems[0].bytes()
    endless.write_bytes(RELAY.private_key_pem.bytes() + chain * 400)
    context = client()
    context.load_cert_chain(str(endless))
    with pytest.raises(WorldFault, match="EXCESSIVE"):
        shake_hands(asking(tmp_path).pump(), context)


# New files.

_TICK = itertools.count(1)


def replaced(file: str, certificate: trustme.LeafCert) -> None:
    """A second later, as far as the file system can tell."""
    in_file(Path(file), certificate)
    later = os.stat(file).st_mtime + next(_TICK)
    os.utime(file, (later, later))


def test_a_new_certificate_is_for_new_sessions(tmp_path: Path) -> None:
    door = server(tmp_path, "old.ours.example")
    assert not door.refresh(NOW)
    old = door.pump()
    side = shake_hands(old, client())
    replaced(door.pairs[0].certificate_file, leaf("new.ours.example"))
    assert door.refresh(NOW)
    assert not door.refresh(NOW)
    assert names_shown(shake_hands(door.pump(), client())) == ("new.ours.example",)
    # The session that was open goes on
    assert names_shown(side) == ("old.ours.example",)
    assert old.send(b"250 still here\r\n")


BROKEN: dict[str, Callable[[Path], object]] = {
    "no certificate": lambda file: file.write_bytes(b"hello"),
    "empty": lambda file: file.write_bytes(b""),
    "gone": lambda file: file.unlink(),
    "without its key": lambda file: file.write_bytes(leaf("new.ours.example").cert_chain_pems[0].bytes()),
    "with another key": lambda file: file.write_bytes(
        leaf("new.ours.example").cert_chain_pems[0].bytes() + leaf("x.example").private_key_pem.bytes()
    ),
    "readable by all": lambda file: file.chmod(0o644),
    "expired": lambda file: replaced(str(file), expired("new.ours.example")),
}


@pytest.mark.threat("D21", "T03")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_certificate_leaves_the_old_one_in_force(tmp_path: Path, kind: str) -> None:
    door = server(tmp_path, "old.ours.example")
    file = Path(door.pairs[0].certificate_file)
    BROKEN[kind](file)
    if file.exists():
        os.utime(file, (1, 1))
    for _ in range(2):  # and it is said as long as it is so
        with pytest.raises(WorldFault, match=r"first\.pem"):
            door.refresh(NOW)
    assert names_shown(shake_hands(door.pump(), client())) == ("old.ours.example",)
    # When it is mended, it is taken
    replaced(str(file), leaf("new.ours.example"))
    assert door.refresh(NOW)
    assert names_shown(shake_hands(door.pump(), client())) == ("new.ours.example",)


def test_one_broken_certificate_of_several_changes_none(tmp_path: Path) -> None:
    door = server(tmp_path, "old.ours.example", more=("mail.second.example",))
    replaced(door.pairs[0].certificate_file, leaf("new.ours.example"))
    Path(door.pairs[1].certificate_file).write_bytes(b"hello")
    with pytest.raises(WorldFault):
        door.refresh(NOW)
    assert names_shown(shake_hands(door.pump(), client())) == ("old.ours.example",)


def test_new_authorities_are_taken_too(tmp_path: Path) -> None:
    door = asking(tmp_path, authorities=("stranger",))
    with pytest.raises(WorldFault):
        shake_hands(door.pump(), client(shows=RELAY))
    os.utime(ca_file(tmp_path / "ca.pem", "partner"), (9, 9))
    assert door.refresh(NOW)
    shake_hands(door.pump(), client(shows=RELAY))
