"""LDAP as far as a gateway needs it: connect, TLS, simple bind, paged search. One blocking connection, for a thread.

The messages are sansldap's (the extra `gatepost[ldap]`); sockets, TLS, time and sizes are ours.
"""

from __future__ import annotations

import importlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from gatepost.model.fault import WorldFault
from gatepost.model.reach import may_be_named

MESSAGE_LIMIT_BYTES: Final = 8 << 20
"""One entry with all values that were asked for, or any other answer; a group with its members is not asked for."""
_READ_BYTES: Final = 64 * 1024
_ADDRESSES_TRIED: Final = 4
_STARTTLS: Final = "1.3.6.1.4.1.1466.20037"
_SUCCESS: Final = 0
_NO_SUCH_OBJECT: Final = 32
_WRONG_PASSWORD: Final = 49
_REFUSED: Final = frozenset({_NO_SUCH_OBJECT, 48, _WRONG_PASSWORD, 50, 53})
"""Answers to a bind that say no: RFC 4511 §4.1.9; everything else is trouble of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapServer:
    """Where a directory is, and how safe the way must be. context: None: in the clear."""

    host: str
    port: int
    tls_first: bool
    context: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class LdapEntry:
    """What a search found. attributes: by their names in lower case."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]


class LdapConnection:
    """One conversation. Every method raises WorldFault when the server cannot be spoken to.

    timeout_s: patience with one answer.
    """

    def __init__(self, server: LdapServer, *, timeout_s: float) -> None:
        self._library = ldap_library()
        self._session: Any = self._library.LDAPClient()
        self._timeout_s = timeout_s
        self._received = bytearray()
        self._where = f"{server.host} port {server.port}"
        self._socket = self._connected(server)
        try:
            if server.context is not None:
                self._secure(server.host, server.context, tls_first=server.tls_first)
        except BaseException:
            self._socket.close()
            raise

    def bind(self, dn: str, password: str) -> bool:
        """Log in; False when the server says no. An empty password is a no: it would be nobody's (RFC 4513 §5.1.2)."""
        if dn and not password:
            return False
        number = self._call(lambda: self._session.bind_simple(dn, password))
        answer = self._answer_of(self._library.BindResponse, number)
        code = int(answer.result.result_code)
        if code in _REFUSED:
            return False
        self._agreed(answer.result, "the login")
        return True

    def search(
        self, base: str, wanted: object, attributes: tuple[str, ...], *, page_entries: int, entries_limit: int
    ) -> Iterator[LdapEntry]:
        """Every entry below `base`, page after page. wanted: a filter of ldap_filter()."""
        cookie, seen = b"", 0
        while True:
            control = self._library.PagedResultControl(critical=False, size=page_entries, cookie=cookie)
            say = partial(
                self._session.search_request,
                base_object=base,
                filter=wanted,
                attributes=list(attributes) or ["1.1"],
                controls=[control],
            )
            number = self._call(say)
            done = None
            while done is None:
                answer = self._answer(number)
                if isinstance(answer, self._library.SearchResultEntry):
                    seen += 1
                    if seen > entries_limit:
                        raise WorldFault(
                            f"{self._where} has more than {entries_limit} entries for this search"
                        )
                    yield _entry(answer)
                elif isinstance(answer, self._library.SearchResultDone):
                    done = answer
            self._agreed(done.result, f"the search below {base!r}")
            cookie = self._cookie(done)
            if not cookie:
                return

    def close(self) -> None:
        """Say goodbye, if that is possible."""
        try:
            self._call(self._session.unbind)
        except WorldFault:
            pass  # it is over in any case
        finally:
            self._socket.close()

    def _connected(self, server: LdapServer) -> socket.socket:
        try:
            return self._dialled(server)
        except (OSError, UnicodeError) as error:
            raise WorldFault(f"no connection to {self._where}: {_words(error)}") from error

    def _dialled(self, server: LdapServer) -> socket.socket:
        """Raises OSError."""
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        addresses = [str(place[0]) for *_, place in found if may_be_named(str(place[0]))]
        if not addresses:
            raise OSError(f"{server.host} has no address at which a service can be")
        last = OSError("nobody was asked")
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return socket.create_connection((address, server.port), timeout=self._timeout_s)
            except OSError as error:
                last = error
        raise last

    def _secure(self, host: str, context: ssl.SSLContext, *, tls_first: bool) -> None:
        if not tls_first:
            number = self._call(lambda: self._session.extended_request(_STARTTLS))
            answer = self._answer_of(self._library.ExtendedResponse, number)
            self._agreed(answer.result, "STARTTLS")
            if self._received:
                raise WorldFault(
                    f"{self._where} sent something between its answer to STARTTLS and the handshake"
                )
        try:
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except (OSError, ValueError) as error:
            raise WorldFault(f"TLS with {self._where} failed: {_words(error)}") from error

    def _call(self, say: Callable[[], int | None]) -> int:
        """Send what the session has to say after `say`; the request's number."""
        try:
            number = say()
            self._socket.sendall(self._session.data_to_send())
        except OSError as error:
            raise WorldFault(f"connection to {self._where} lost: {_words(error)}") from error
        except (self._library.LDAPError, ValueError) as error:
            raise WorldFault(f"{self._where}: {error}") from error
        return number or 0

    def _answer(self, number: int) -> Any:
        """The next message for a request."""
        until = time.monotonic() + self._timeout_s
        while True:
            for message in self._messages():
                if message.message_id == number:
                    return message
            self._read(until)

    def _answer_of(self, kind: type[Any], number: int) -> Any:
        answer = self._answer(number)
        if not isinstance(answer, kind):
            raise WorldFault(f"{self._where} breaks LDAP: the answer to something else")
        return answer

    def _messages(self) -> list[Any]:
        """At most one whole message: its size is looked at before anything is parsed."""
        size_bytes = message_size(self._received)
        if size_bytes > MESSAGE_LIMIT_BYTES:
            raise WorldFault(
                f"{self._where} sent a message of {size_bytes} octets; {MESSAGE_LIMIT_BYTES} is the most"
            )
        if not size_bytes or len(self._received) < size_bytes:
            return []
        data = bytes(self._received[:size_bytes])
        del self._received[:size_bytes]
        try:
            found: list[Any] = self._session.receive(data)
        except Exception as error:  # what mutated answers make of it has no common class
            raise WorldFault(f"{self._where} breaks LDAP: {str(error)[:200]}") from error
        if not found:  # lengths inside that point beyond its end
            raise WorldFault(f"{self._where} breaks LDAP: a message that does not end where it should")
        return found

    def _read(self, until: float) -> None:
        left_s = until - time.monotonic()
        try:
            if left_s <= 0:
                raise TimeoutError
            self._socket.settimeout(left_s)
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            raise WorldFault(f"no answer of {self._where} within {self._timeout_s:.0f} s") from None
        except OSError as error:
            raise WorldFault(f"connection to {self._where} lost: {_words(error)}") from error
        if not data:
            raise WorldFault(f"{self._where} closed the connection")
        self._received += data

    def _agreed(self, result: Any, to: str) -> None:
        if int(result.result_code) != _SUCCESS:
            name = getattr(result.result_code, "name", str(result.result_code))
            said = str(result.diagnostics_message or "")[:200]
            raise WorldFault(f"{self._where} refused {to}: {name} {said}".rstrip())

    def _cookie(self, done: Any) -> bytes:
        for control in done.controls or ():
            if isinstance(control, self._library.PagedResultControl):
                return bytes(control.cookie)
        return b""


def message_size(received: bytes | bytearray) -> int:
    """Octets of the BER message that begins here, with its head; 0: not known yet. Raises WorldFault."""
    if len(received) < 2:
        return 0
    if received[0] != 0x30:
        raise WorldFault("the server does not speak LDAP")
    first = received[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 0 < count <= 4:  # RFC 4511 §5.1: definite lengths only
        raise WorldFault("the server breaks LDAP: a length nobody writes")
    if len(received) < 2 + count:
        return 0
    return 2 + count + int.from_bytes(received[2 : 2 + count], "big")


def ldap_library() -> Any:
    """sansldap. Raises WorldFault when it is not installed."""
    try:
        return importlib.import_module("sansldap")
    except ImportError as error:
        raise WorldFault("LDAP needs more than was installed: pip install 'gatepost[ldap]'") from error


def ldap_filter(text: str) -> object:
    """A filter as RFC 4515 writes it. Raises ValueError."""
    library = ldap_library()
    try:
        return library.LDAPFilter.from_string(text)
    except Exception as error:  # its parser raises several classes
        raise ValueError(f"{text[:200]!r} is no LDAP filter: {error}") from error


def tls_context(ca_file: str) -> ssl.SSLContext:
    """A server proves its name. Raises WorldFault."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise WorldFault(f"{ca_file}: {_words(error)}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _entry(answer: Any) -> LdapEntry:
    return LdapEntry(
        dn=str(answer.object_name),
        attributes={str(a.name).lower(): tuple(bytes(v) for v in a.values) for a in answer.attributes},
    )


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not believed: {error.verify_message}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
