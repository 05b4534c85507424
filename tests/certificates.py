"""Certificates for tests: an authority, what it signs, files of them, and handshakes in memory."""

from __future__ import annotations

import datetime
import functools
import ssl
from pathlib import Path
from typing import Any

import trustme

from gatepost.adapters.tls import MemoryPump
from gatepost.model.fault import WorldFault

ECDSA = trustme.KeyType.ECDSA


def authority(name: str = "ours") -> trustme.CA:
    """The same one for the same name."""
    return _authority(name)


@functools.cache
def _authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=name, key_type=ECDSA)


def leaf(*names: str, by: str = "ours", **more: Any) -> trustme.LeafCert:
    """A certificate. more: common_name, not_after, organization_name."""
    return authority(by).issue_cert(*names, key_type=ECDSA, **more)


def expired(*names: str) -> trustme.LeafCert:
    then = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return leaf(*names, not_before=then, not_after=then + datetime.timedelta(days=1))


def in_file(path: Path, certificate: trustme.LeafCert, *, mode: int = 0o600) -> str:
    """Key and chain in one file, put there in one step."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    fresh.chmod(mode)
    fresh.rename(path)
    return str(path)


def ca_file(path: Path, *names: str) -> str:
    path.write_bytes(b"".join(authority(name).cert_pem.bytes() for name in names or ("ours",)))
    return str(path)


def client(*, trusts: str = "ours", shows: trustme.LeafCert | None = None, **more: Any) -> ssl.SSLContext:
    """A client's context. more: attributes to set on it."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    authority(trusts).configure_trust(made)
    if shows is not None:
        shows.configure_cert(made)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def shake_hands(
    pump: MemoryPump, context: ssl.SSLContext, name: str | None = None, **more: Any
) -> ssl.SSLObject:
    """A whole handshake with a server's pump; the client's side. Raises WorldFault, ssl.SSLError."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = context.wrap_bio(incoming, outgoing, server_hostname=name, **more)
    done = False
    for _ in range(10):
        if not done:
            try:
                made.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
        if sent := outgoing.read():
            try:
                _, answer = pump.receive(sent)
            except WorldFault as fault:
                alert = fault.facts["alert"]
                assert isinstance(alert, bytes)
                incoming.write(alert)
                raise
            incoming.write(answer)
        if done and pump.established:
            return made
    raise AssertionError("the handshake has no end")
