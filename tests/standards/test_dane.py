"""DANE: which records count, which chains they prove; the chains are made here."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.link_tls import Association
from gatepost.standards.dane import RECORDS_LIMIT, DaneFault, usable, verify

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
NAMES = ("mx.example.com", "example.com")
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def spki(self) -> bytes:
        return bytes(
            self.certificate.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )


def made(
    name: str,
    by: Made | None = None,
    *,
    ca: bool = False,
    key: Any = None,
    names: tuple[str, ...] = (),
    ends: datetime.datetime = NOW + 30 * DAY,
    length: int | None = None,
) -> Made:
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = by.key if by else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 400 * DAY)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=length if ca else None), critical=True)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False
        )
    bare = isinstance(signer, ed25519.Ed25519PrivateKey)
    return Made(builder.sign(signer, None if bare else hashes.SHA256()), key)


ROOT = made("root", ca=True)
MIDDLE = made("middle", ROOT, ca=True)
LEAF = made("leaf", MIDDLE, names=("mx.example.com",))
STAR = made("star", MIDDLE, names=("*.example.com",))
STRANGE = made("strange", MIDDLE, names=("mx.other.example",))
NAMELESS = made("mx.example.com", MIDDLE)
EXPIRED = made("expired", MIDDLE, names=("mx.example.com",), ends=NOW - DAY)
OLD_MIDDLE = made("old middle", ROOT, ca=True, ends=NOW - DAY)
UNDER_OLD = made("leaf", OLD_MIDDLE, names=("mx.example.com",))
NO_CA = made("no authority", ROOT, names=("mx.example.com",))
UNDER_NO_CA = made("leaf", NO_CA, names=("mx.example.com",))
SHORT = made("short", ca=True, length=0)
BELOW_SHORT = made("middle", SHORT, ca=True)
TOO_LONG = made("leaf", BELOW_SHORT, names=("mx.example.com",))
SAME_NAME = made("middle", ca=True)
ALONE = made("alone", ends=NOW - DAY)
RSA_ROOT = made("rsa", ca=True, key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
UNDER_RSA = made("leaf", RSA_ROOT, names=("mx.example.com",))
ED_ROOT = made("ed", ca=True, key=ed25519.Ed25519PrivateKey.generate())
OWN_ANCHOR = made("mx", names=("mx.example.com",))
OTHERS_OWN_ANCHOR = made("mx", names=("mx.example.net",))
UNDER_ED = made("leaf", ED_ROOT, names=("mx.example.com",))


def tlsa(usage: int, selector: int, matching: int, of: Made) -> Association:
    data = of.spki if selector else of.der
    digest = {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}[matching]
    return Association(usage, selector, matching, digest)


FULL = (LEAF, MIDDLE, ROOT)
GOOD: list[tuple[str, tuple[Made, ...], Association]] = [
    *(
        (f"{usage} {selector} {matching}", FULL, tlsa(usage, selector, matching, of))
        for usage, of in ((2, ROOT), (2, MIDDLE), (3, LEAF))
        for selector in (0, 1)
        for matching in (0, 1, 2)
    ),
    ("3 1 1: names do not count", (STRANGE,), tlsa(3, 1, 1, STRANGE)),
    ("3 1 1: dates do not count", (ALONE,), tlsa(3, 1, 1, ALONE)),
    ("3 0 1: the rest of the chain does not count", (LEAF, SHORT), tlsa(3, 0, 1, LEAF)),
    ("2 0 1: the root is not sent", (LEAF, MIDDLE), tlsa(2, 0, 1, MIDDLE)),
    ("2 0 0: the record brings the root", (LEAF, MIDDLE), tlsa(2, 0, 0, ROOT)),
    ("2 1 0: the record brings the root's key", (LEAF, MIDDLE), tlsa(2, 1, 0, ROOT)),
    ("2 1 0: a key of RSA", (UNDER_RSA,), tlsa(2, 1, 0, RSA_ROOT)),
    ("2 1 0: a key of Ed25519", (UNDER_ED,), tlsa(2, 1, 0, ED_ROOT)),
    ("2 0 1: a key of RSA", (UNDER_RSA, RSA_ROOT), tlsa(2, 0, 1, RSA_ROOT)),
    ("2 0 1: the server's own certificate is the anchor", (OWN_ANCHOR,), tlsa(2, 0, 1, OWN_ANCHOR)),
    ("2 1 0: the server's own key is the anchor", (LEAF, MIDDLE), tlsa(2, 1, 0, LEAF)),
    ("2 0 1: a star", (STAR, MIDDLE), tlsa(2, 0, 1, MIDDLE)),
]


@pytest.mark.parametrize(("chain", "record"), [g[1:] for g in GOOD], ids=[g[0] for g in GOOD])
def test_proven(chain: tuple[Made, ...], record: Association) -> None:
    others = (tlsa(3, 1, 1, ROOT), tlsa(2, 0, 1, SHORT))
    assert usable([record]) == (record,)
    assert verify([m.der for m in chain], (*others, record), NAMES, now=NOW) == record


BAD: list[tuple[str, tuple[Made, ...], Association, str]] = [
    ("another certificate", (LEAF, MIDDLE), tlsa(3, 1, 1, STAR), "validation-failure"),
    ("3 1 1 names an authority only", (LEAF, MIDDLE), tlsa(3, 1, 1, MIDDLE), "validation-failure"),
    ("2 0 1: another name", (STRANGE, MIDDLE), tlsa(2, 0, 1, MIDDLE), "certificate-host-mismatch"),
    ("2 0 1: a common name is none", (NAMELESS, MIDDLE), tlsa(2, 0, 1, MIDDLE), "certificate-host-mismatch"),
    ("2 0 1: expired", (EXPIRED, MIDDLE), tlsa(2, 0, 1, MIDDLE), "certificate-expired"),
    (
        "2 0 1: an expired authority",
        (UNDER_OLD, OLD_MIDDLE, ROOT),
        tlsa(2, 0, 1, ROOT),
        "certificate-expired",
    ),
    ("2 0 1: no authority in between", (UNDER_NO_CA, NO_CA, ROOT), tlsa(2, 0, 1, ROOT), "validation-failure"),
    (
        "2 0 1: a chain too long for its root",
        (TOO_LONG, BELOW_SHORT, SHORT),
        tlsa(2, 0, 1, SHORT),
        "validation-failure",
    ),
    (
        "2 0 1: an authority of the same name",
        (LEAF, SAME_NAME),
        tlsa(2, 0, 1, SAME_NAME),
        "validation-failure",
    ),
    ("2 0 1: the anchor is only put beside", (LEAF, SHORT), tlsa(2, 0, 1, SHORT), "validation-failure"),
    ("2 0 1: a gap in the chain", (LEAF, ROOT), tlsa(2, 0, 1, ROOT), "validation-failure"),
    ("2 0 1: the authority is not sent", (LEAF,), tlsa(2, 0, 1, MIDDLE), "validation-failure"),
    ("2 0 0: another root", (LEAF, MIDDLE), tlsa(2, 0, 0, SHORT), "validation-failure"),
    ("2 1 0: another key", (LEAF, MIDDLE), tlsa(2, 1, 0, SHORT), "validation-failure"),
    ("2 1 0: a key of another kind", (LEAF, MIDDLE), tlsa(2, 1, 0, RSA_ROOT), "validation-failure"),
    (
        "2 0 1: its own anchor, for another name",
        (OTHERS_OWN_ANCHOR,),
        tlsa(2, 0, 1, OTHERS_OWN_ANCHOR),
        "certificate-host-mismatch",
    ),
    ("no certificate", (), tlsa(3, 1, 1, LEAF), "validation-failure"),
]


@pytest.mark.threat("D22")
@pytest.mark.parametrize(("chain", "record", "result"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_not_proven(chain: tuple[Made, ...], record: Association, result: str) -> None:
    with pytest.raises(DaneFault) as caught:
        verify([m.der for m in chain], [record], NAMES, now=NOW)
    assert caught.value.result == result


UNUSABLE = [
    ("usage 0", Association(0, 1, 1, b"x" * 32)),
    ("usage 1", Association(1, 1, 1, b"x" * 32)),
    ("usage 255", Association(255, 1, 1, b"x" * 32)),
    ("an unknown selector", Association(3, 2, 1, b"x" * 32)),
    ("an unknown digest", Association(3, 1, 3, b"x" * 32)),
    ("a digest that is too short", Association(3, 1, 1, b"x" * 31)),
    ("SHA-512 of the length of SHA-256", Association(3, 1, 2, b"x" * 32)),
    ("a certificate that is none", Association(2, 0, 0, b"x" * 500)),
    ("a key that is none", Association(2, 1, 0, b"")),
]


@pytest.mark.threat("D25")
@pytest.mark.parametrize("record", [u[1] for u in UNUSABLE], ids=[u[0] for u in UNUSABLE])
def test_unusable(record: Association) -> None:
    good = tlsa(3, 1, 1, LEAF)
    assert usable([record]) == ()
    assert usable([record, good]) == (good,)


@pytest.mark.threat("D25")
def test_a_hundred_records_are_no_more_work_than_a_few() -> None:
    records = [Association(3, 1, 1, n.to_bytes(32, "big")) for n in range(100)]
    assert len(usable(records)) == RECORDS_LIMIT


@pytest.mark.threat("D25")
@given(
    chain=st.lists(st.binary(max_size=80) | st.sampled_from([m.der for m in FULL]), max_size=12),
    usage=st.integers(2, 3),
    selector=st.integers(0, 1),
    matching=st.integers(0, 2),
    data=st.binary(max_size=80) | st.sampled_from([ROOT.der, ROOT.spki, hashlib.sha256(ROOT.der).digest()]),
)
def test_hostile_chains_and_records_raise_nothing_else(
    chain: list[bytes], usage: int, selector: int, matching: int, data: bytes
) -> None:
    for record in usable([Association(usage, selector, matching, data)]):
        with contextlib.suppress(DaneFault):
            verify(chain, [record], NAMES, now=NOW)
