"""A peer may show any certificate: it is read, or it is as good as none; it never breaks a session of ours."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from tests.certificates import leaf

from gatepost.adapters.certificates import end_point_of, fingerprints_of, peer_certificate
from gatepost.config.certificates import certificate_of, dns_names, emails

_PEM = leaf(
    "relay.partner.example", "ann@partner.example", by="partner", common_name="relay"
).cert_chain_pems[0]
DER = x509.load_pem_x509_certificate(_PEM.bytes()).public_bytes(Encoding.DER)
SAN = bytes.fromhex("0603551d11")
"""The object identifier of subjectAltName, and of keyUsage: as long as the other."""
KEY_USAGE = bytes.fromhex("0603551d0f")
VERSION_3 = bytes.fromhex("a003020102")


def read(der: bytes) -> None:
    """Everything we ask a certificate. Raises ValueError only."""
    certificate = certificate_of(der)
    assert len(fingerprints_of(certificate)) in (1, 2)
    assert peer_certificate(certificate).fingerprints == fingerprints_of(certificate)
    end_point_of(certificate)
    dns_names(certificate)
    emails(certificate)


@pytest.mark.threat("D18")
@given(
    changes=st.lists(
        st.tuples(st.integers(min_value=0, max_value=len(DER) - 1), st.integers(min_value=0, max_value=255)),
        min_size=1,
        max_size=4,
    )
)
def test_any_certificate_is_read_or_is_none(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(DER)
    for place, octet in changes:
        changed[place] = octet
    try:
        read(bytes(changed))
    except ValueError:
        return


STRANGE = {
    "of version 7": DER.replace(VERSION_3, VERSION_3[:-1] + b"\x06"),
    "cut off": DER[:-1],
    "empty": b"",
    "with an extension twice": DER.replace(KEY_USAGE, SAN),
}


@pytest.mark.threat("D18")
@pytest.mark.parametrize("kind", STRANGE)
def test_a_strange_certificate_is_none(kind: str) -> None:
    assert STRANGE[kind] != DER
    with pytest.raises(ValueError, match=r".+"):
        read(STRANGE[kind])
