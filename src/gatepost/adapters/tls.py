"""TLS as a pump of bytes over memory buffers, so that no byte passes a handshake unseen.

The standard stream classes hand decrypted data over before `start_tls` returns, or run
what was pipelined in the clear; here the conversation owns both sides of the buffer.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gatepost.adapters.certificates import (
    Pair,
    ServerContext,
    ServerOptions,
    end_point_of,
    fingerprints_of,
    peer_certificate,
    server_context,
)
from gatepost.adapters.client_tls import client_context, result_of, shown_chain
from gatepost.adapters.file_mark import FileMark, marks_of
from gatepost.config.certificates import certificate_of, dns_names
from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls
from gatepost.model.session import TlsInfo

_READ_BYTES: Final = 16 * 1024
_SELF_SIGNED_DAYS: Final = 3650
_SERVER_NAME_LIMIT: Final = 255
_DEFAULTS: Final = ServerOptions()


class MemoryPump:
    """One TLS session between two memory buffers. Keeps the promise of ports.tls.TlsPump."""

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_name: str = "",
        link: LinkTls | None = None,
    ) -> None:
        """link: what a next hop has to prove; None on the server's side."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name or None
        )
        self._established = False
        self._peer_closed = False
        self._server_name = server_name
        self._link = link

    def start(self) -> bytes:
        """Begin the handshake; what to send (nothing on the server's side)."""
        self._shake_hands()
        return self._outgoing.read()

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Encrypted bytes in; (clear bytes for us, bytes to send). Raises WorldFault."""
        self._incoming.write(data)
        if not self._established:
            self._shake_hands()
        clear = self._read_all() if self._established else b""
        return clear, self._outgoing.read()

    def send(self, data: bytes) -> bytes:
        """Clear bytes in, bytes to send. Raises WorldFault."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.write(view) :]
        except ssl.SSLError as error:
            raise _fault(error) from error
        return self._outgoing.read()

    def close(self) -> bytes:
        """close_notify, when there is a session to close."""
        if self._established:
            # The peer's own close_notify has not come yet, or never will.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
        return self._outgoing.read()

    @property
    def established(self) -> bool:
        """The handshake is done."""
        return self._established

    @property
    def peer_closed(self) -> bool:
        """close_notify (or the end of the stream inside TLS) came."""
        return self._peer_closed

    @property
    def info(self) -> TlsInfo:
        """What was agreed on. Raises ValueError before the handshake is done."""
        cipher = self._tls.cipher()
        if not self._established or cipher is None:
            raise ValueError("nothing is agreed on before the handshake is done")
        name, version, bits = cipher
        shown = self._shown()
        return TlsInfo(
            version=self._tls.version() or version,
            cipher=name,
            bits=bits,
            server_name=self._server_name,
            server_end_point=self._end_point(shown),
            client=peer_certificate(shown) if shown is not None and self._tls.server_side else None,
            peer_is_proven=self._link is not None and self._link.proves_the_peer and not self._by_dane,
            chain=shown_chain(self._tls) if self._by_dane else (),
        )

    @property
    def _by_dane(self) -> bool:
        """The chain is judged by whoever gets `info`."""
        return self._link is not None and self._link.mode is LinkMode.DANE

    def _shown(self) -> x509.Certificate | None:
        """The peer's certificate, when it showed one that can be read; of a client only where we ask for it."""
        if self._tls.server_side and self._tls.context.verify_mode is ssl.CERT_NONE:
            return None
        shown = self._tls.getpeercert(binary_form=True)
        try:
            return certificate_of(shown) if shown else None
        except ValueError:
            return None

    def _end_point(self, shown: x509.Certificate | None) -> bytes:
        """Of the server's certificate: ours stands at the context that showed it."""
        if self._tls.server_side:
            context = self._tls.context
            return context.end_point if isinstance(context, ServerContext) else b""
        return end_point_of(shown) if shown is not None else b""

    def _check_peer(self, link: LinkTls) -> None:
        """What OpenSSL does not check for us. Raises WorldFault: nothing was sent to whoever this is."""
        if link.mode is LinkMode.FINGERPRINT:
            shown = self._shown()
            if shown is None or link.fingerprints.isdisjoint(fingerprints_of(shown)):
                raise WorldFault("TLS failed: the certificate has none of the fingerprints we know")
        elif link.mode is LinkMode.VERIFIED and link.names:
            shown = self._shown()
            if shown is None or not link.names_fit(_names_of(shown)):
                raise WorldFault(
                    f"TLS failed: the certificate is not for {' or '.join(link.names)}",
                    tls_result="certificate-host-mismatch",
                )

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
            if self._link is not None:
                self._check_peer(self._link)
            self._established = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, ValueError) as error:
            raise _fault(error, self._outgoing.read()) from error

    def _read_all(self) -> bytes:
        clear = []
        try:
            while True:
                piece = self._tls.read(_READ_BYTES)
                if not piece:
                    self._peer_closed = True
                    break
                clear.append(piece)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._peer_closed = True
        except ssl.SSLError as error:
            raise _fault(error, self._outgoing.read()) from error
        return b"".join(clear)


class ServerTls:
    """Makes pumps for the connections of one receive connector. Keeps the promise of ports.tls.TlsServer.

    more: certificates for other names of ours, chosen by the server name a client asks for;
    a client that asks for none, or for another, is shown the first (RFC 6066 §3).
    """

    def __init__(
        self,
        certificate_file: str,
        key_file: str = "",
        *,
        more: Sequence[Pair] = (),
        options: ServerOptions = _DEFAULTS,
    ) -> None:
        """Load everything. Raises WorldFault with the file's name when it cannot be used."""
        self.pairs = (Pair(certificate_file, key_file), *more)
        self._options = options
        self._seen = self._marks()
        self.contexts = self._loaded()
        """In the order of `pairs`."""

    def pump(self) -> MemoryPump:
        """For one new connection."""
        return MemoryPump(self.contexts[0], server_side=True)

    def refresh(self, now: float) -> bool:
        """Load again what has changed on disk; True when it is in force for new connections.

        Sessions that are open keep what they have. now: seconds since the epoch. Raises
        WorldFault when the new files cannot be used: the old certificates stay in force. May be
        called in a thread; at most once a second is often enough.
        """
        marks = self._marks()
        if marks == self._seen:
            return False
        fresh = self._loaded()
        if marks != self._marks():
            raise WorldFault("the files change while they are read", file=self.pairs[0].certificate_file)
        for pair, old, new in zip(self.pairs, self.contexts, fresh, strict=True):
            if new.expires_at <= now < old.expires_at:
                file = pair.certificate_file
                raise WorldFault(f"certificate {file} cannot be used: it has expired", file=file)
        self.contexts, self._seen = fresh, marks
        return True

    def _loaded(self) -> tuple[ServerContext, ...]:
        contexts = tuple(server_context(pair, self._options) for pair in self.pairs)
        if len(contexts) > 1:
            contexts[0].sni_callback = _ByName(contexts)
        return contexts

    def _marks(self) -> tuple[FileMark, ...]:
        pairs = [file for pair in self.pairs for file in (pair.certificate_file, pair.key_file) if file]
        return marks_of((*pairs, self._options.ca_file) if self._options.ca_file else pairs)


class _ByName:
    """Chooses the certificate for a server name: a whole name before one with a star."""

    def __init__(self, contexts: Sequence[ServerContext]) -> None:
        self._by_name: dict[str, ServerContext] = {}
        for context in contexts:
            for name in context.names:
                self._by_name.setdefault(name, context)

    def __call__(self, tls: ssl.SSLObject, name: str | None, first: ssl.SSLContext) -> None:
        """Called by OpenSSL in the handshake; a name is only ever looked up here, never a file (D17)."""
        asked = (name or "").lower().rstrip(".")
        found = self._by_name.get(asked) or self._by_name.get("*." + asked.partition(".")[2])
        if found is not None and found is not first:
            tls.context = found


def client_pump(server_name: str, link: LinkTls) -> MemoryPump:
    """For one connection to a next hop. Raises WorldFault."""
    if link.mode is LinkMode.DANE and link.names:
        server_name = link.names[0]  # RFC 7672 §8.1
    verify = link.mode is LinkMode.VERIFIED and not link.names
    name = server_name if len(server_name) <= _SERVER_NAME_LIMIT else ""
    if verify and not name:
        raise WorldFault("the next hop has no name that its certificate could be checked against")
    return MemoryPump(
        client_context(link), server_side=False, server_name=_sni(name, verify=verify), link=link
    )


def self_signed(directory: Path, hostname: str, *, now: float) -> Path:
    """The certificate and key we make until one is configured, in one PEM file (mode 0600).

    Made once: an existing file is kept. Raises OSError when the directory cannot be written.
    """
    path = directory / "self-signed.pem"
    if path.exists():
        return path
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = _certificate(key, hostname, now).public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    fresh.rename(path)
    return path


def _certificate(key: ec.EllipticCurvePrivateKey, hostname: str, now: float) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    begin = datetime.datetime.fromtimestamp(now, tz=datetime.UTC) - datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _names_of(shown: x509.Certificate) -> tuple[str, ...]:
    try:
        return dns_names(shown)
    except ValueError:
        return ()


def _sni(name: str, *, verify: bool) -> str:
    """RFC 6066 §3: an address is no server name; but a certificate may be checked for one."""
    if verify:
        return name
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    return ""


def _fault(error: Exception, last_words: bytes = b"") -> WorldFault:
    """last_words: the alert that tells the peer what was wrong; the caller may still send it."""
    reason = getattr(error, "reason", None) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"{reason} ({error.verify_message})"
        return WorldFault(f"TLS failed: {why}", alert=last_words, tls_result=result_of(error.verify_code))
    return WorldFault(f"TLS failed: {reason}", alert=last_words)
