"""The contexts of connections to next hops: made once for each kind of link, again when a file changes."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from gatepost.adapters.certificates import harden
from gatepost.adapters.file_mark import FileMark, marks_of
from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls

_CONTEXTS_LIMIT: Final = 64
_OLD_CIPHERS: Final = "DEFAULT:@SECLEVEL=0"
"""TLS 1.2 as servers of ten years ago speak it, behind all that Python offers itself: else mail goes in the clear."""
_EXPIRED: Final = (9, 10)
_MISMATCH: Final = (62, 63, 64)
_NOT_TRUSTED: Final = (2, 18, 19, 20, 21, 24, 27)
"""Codes of openssl-verification-options(1)."""


def client_context(link: LinkTls) -> ssl.SSLContext:
    """For one connection. Raises WorldFault when a file of the setting cannot be used."""
    verify = link.mode is LinkMode.VERIFIED
    ca_file = link.ca_file if verify else ""
    files = tuple(file for file in (ca_file, link.certificate_file, link.key_file) if file)
    plain = replace(
        link,
        ca_file=ca_file,
        fingerprints=frozenset(),
        names=link.names if verify else (),
        associations=(),
        policy="",
    )
    return _context(plain, marks_of(files))


@lru_cache(maxsize=_CONTEXTS_LIMIT)
def _context(
    link: LinkTls, _files: tuple[FileMark, ...]
) -> ssl.SSLContext:  # a changed file is another context
    try:
        if link.mode is LinkMode.VERIFIED:
            context = ssl.create_default_context(cafile=link.ca_file or None)
            context.check_hostname = not link.names  # the pump looks for those
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # RFC 7435: some encryption is better than none
        harden(context, link.minimum)
        if link.mode is LinkMode.OPPORTUNISTIC:
            context.set_ciphers(_OLD_CIPHERS)
        if link.certificate_file:
            context.load_cert_chain(link.certificate_file, link.key_file or None, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(file for file in (link.ca_file, link.certificate_file, link.key_file) if file)
        raise WorldFault(f"TLS cannot be prepared with {names}: {error}", file=names) from error
    return context


def shown_chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """What the peer showed, in DER, its own certificate first; public in Python 3.13, under another name before."""
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        shown: Sequence[Any] = public() or ()
        return tuple(bytes(certificate) for certificate in shown)
    within = getattr(tls, "_sslobj", None)
    shown = (within.get_unverified_chain() if within is not None else None) or ()
    return tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in shown)


def result_of(verify_code: int) -> str:
    """What a report calls a certificate that OpenSSL refused (RFC 8460 §4.3.1)."""
    if verify_code in _EXPIRED:
        return "certificate-expired"
    if verify_code in _MISMATCH:
        return "certificate-host-mismatch"
    return "certificate-not-trusted" if verify_code in _NOT_TRUSTED else "validation-failure"
