"""What old mail servers speak is taken where the choice is between it and no encryption, and nowhere else."""

from __future__ import annotations

import contextlib
import functools
import ssl

import pytest
import trustme
from tests.certificates import authority

from gatepost.adapters.tls import client_pump
from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls

OLD = {
    "an RSA key exchange": "AES256-SHA:@SECLEVEL=0",
    "the same with GCM": "AES128-GCM-SHA256:@SECLEVEL=0",
    "SHA-1 as a checksum": "ECDHE-RSA-AES128-SHA:@SECLEVEL=0",
}


@functools.cache
def certificate() -> trustme.LeafCert:
    return authority().issue_cert("old.example", key_type=trustme.KeyType.RSA)


def cipher_with(server_ciphers: str, mode: LinkMode) -> str:
    """The cipher after a handshake in memory. Raises WorldFault or ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate().configure_cert(context)
    context.set_ciphers(server_ciphers)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    pump = client_pump("old.example", LinkTls(mode=mode))
    incoming.write(pump.start())
    while not pump.established:
        with contextlib.suppress(ssl.SSLWantReadError):
            server.do_handshake()
        incoming.write(pump.receive(outgoing.read())[1])
    return pump.info.cipher


@pytest.mark.parametrize("ciphers", OLD.values(), ids=OLD)
def test_old_ciphers_are_better_than_none(ciphers: str) -> None:
    assert cipher_with(ciphers, LinkMode.OPPORTUNISTIC) == ciphers.partition(":")[0]


@pytest.mark.parametrize("mode", [LinkMode.REQUIRED, LinkMode.DANE])
@pytest.mark.parametrize("ciphers", OLD.values(), ids=OLD)
def test_where_tls_is_demanded_they_are_refused(ciphers: str, mode: LinkMode) -> None:
    with pytest.raises((WorldFault, ssl.SSLError)):
        cipher_with(ciphers, mode)


def test_a_modern_server_is_spoken_to_as_ever() -> None:
    context = "ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA:@SECLEVEL=0"
    assert cipher_with(context, LinkMode.OPPORTUNISTIC) == "ECDHE-RSA-AES256-GCM-SHA384"
