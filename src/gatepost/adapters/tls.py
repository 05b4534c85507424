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
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gatepost.model.fault import WorldFault
from gatepost.model.session import TlsInfo

_READ_BYTES: Final = 16 * 1024
_SELF_SIGNED_DAYS: Final = 3650
_SERVER_NAME_LIMIT: Final = 255


class MemoryPump:
    """One TLS session between two memory buffers. Keeps the promise of ports.tls.TlsPump."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_name: str = "") -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name or None
        )
        self._established = False
        self._peer_closed = False
        self._server_name = server_name

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
        return TlsInfo(
            version=self._tls.version() or version,
            cipher=name,
            bits=bits,
            server_name=self._server_name,
            server_end_point=self._end_point(),
        )

    def _end_point(self) -> bytes:
        """Of the certificate that was shown: ours stands at the context that showed it."""
        if self._tls.server_side:
            context = self._tls.context
            return context.end_point if isinstance(context, ServerContext) else b""
        shown = self._tls.getpeercert(binary_form=True)
        return end_point_of(x509.load_der_x509_certificate(shown)) if shown else b""

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
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


class ServerContext(ssl.SSLContext):
    """A context that knows what its certificate is to be bound to (`end_point_of`)."""

    end_point: bytes = b""


class ServerTls:
    """Makes pumps for the connections of one receive connector. Keeps the promise of ports.tls.TlsServer."""

    def __init__(self, certificate_file: str, key_file: str = "") -> None:
        """Load the pair. Raises WorldFault with the file's name when it cannot be used."""
        self._context = _server_context()
        try:
            self._context.load_cert_chain(certificate_file, key_file or None)
            self._context.end_point = end_point_of(
                x509.load_pem_x509_certificate(Path(certificate_file).read_bytes())
            )
        except (OSError, ssl.SSLError, ValueError) as error:
            raise WorldFault(
                f"certificate {certificate_file} cannot be used: {error}", file=certificate_file
            ) from error

    def pump(self) -> MemoryPump:
        """For one new connection."""
        return MemoryPump(self._context, server_side=True)


def client_pump(server_name: str, *, verify: bool) -> MemoryPump:
    """For one connection to a next hop; verify: its certificate must be good for `server_name`."""
    context = _VERIFYING if verify else _ENCRYPTING
    name = server_name if len(server_name) <= _SERVER_NAME_LIMIT else ""
    if verify and not name:
        raise WorldFault("the next hop has no name that its certificate could be checked against")
    return MemoryPump(context, server_side=False, server_name=_sni(name, verify=verify))


class TrustedPumps:
    """Makes the TLS of connections to services whose certificates are always verified.

    ca_file: the authorities that are believed, and no others; "" for the system's.
    """

    def __init__(self, ca_file: str) -> None:
        """Raises WorldFault when the file cannot be used."""
        try:
            self._context = ssl.create_default_context(cafile=ca_file) if ca_file else _VERIFYING
        except (OSError, ssl.SSLError) as error:
            raise WorldFault(f"certificates {ca_file} cannot be used: {error}", file=ca_file) from error
        _harden(self._context)

    def __call__(self, server_name: str, *, verify: bool) -> MemoryPump:  # noqa: ARG002  # the protocol's
        """For one connection, whatever `verify` says."""
        return MemoryPump(self._context, server_side=False, server_name=server_name)


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


def end_point_of(certificate: x509.Certificate) -> bytes:
    """tls-server-end-point (RFC 5929 §4.1); b"" for a signature without a hash of its own, such as Ed25519's."""
    chosen = certificate.signature_hash_algorithm
    if chosen is None:
        return b""
    weak = chosen.name in ("md5", "sha1")
    return certificate.fingerprint(hashes.SHA256() if weak else chosen)


def _server_context() -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    # Each connector has a context of its own and hands out no tickets: a session of one
    # door is never resumed at another (threats D19).
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.num_tickets = 0
    return context


def _client_context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context() if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # RFC 7435: some encryption is better than none
    _harden(context)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


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
    return WorldFault(f"TLS failed: {reason}", alert=last_words)


_VERIFYING: Final = _client_context(verify=True)
_ENCRYPTING: Final = _client_context(verify=False)
