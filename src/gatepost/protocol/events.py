"""What the SMTP server engine tells its driver: one value for each thing the client did.

The values of every session are msgspec structs: as frozen as a dataclass, and made in a tenth of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import final

from msgspec import Struct

from gatepost.model.address import Address
from gatepost.model.content import BodyForm
from gatepost.model.envelope import BodyType, Recipient, Ret
from gatepost.model.reply import Reply


class Verb(Enum):
    """Commands as the state table knows them. DOT is the end of the data of DATA, LAST that of BDAT."""

    # A verb is looked up in tables for every command: by identity, not by a Python function.
    __hash__ = object.__hash__

    EHLO = auto()
    HELO = auto()
    STARTTLS = auto()
    AUTH = auto()
    XCLIENT = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    BDAT = auto()
    DOT = auto()
    LAST = auto()
    RSET = auto()
    NOOP = auto()
    VRFY = auto()
    EXPN = auto()
    HELP = auto()
    QUIT = auto()


@final
class Pause(Enum):
    """Why there is no event now."""

    NEED_DATA = auto()
    """Feed `receive`."""
    NEED_ANSWER = auto()
    """An event waits for `send`."""
    CLOSED = auto()
    """Say nothing more, close the connection."""


class Hello(Struct, frozen=True, gc=False):
    """EHLO or HELO; `name` as given, syntax checked only for length and control characters."""

    verb: Verb
    name: str


@final
@dataclass(frozen=True, slots=True)
class StartTls:
    """STARTTLS. After a positive `send` the driver does the handshake, then calls `tls_started`."""


@dataclass(frozen=True, slots=True)
class Auth:
    """AUTH. Answer with 334 (`challenge`), or a final reply."""

    mechanism: str
    initial_response: bytes | None = field(repr=False)
    """Decoded from base64; b"" for "="; None when absent."""


@dataclass(frozen=True, slots=True)
class AuthResponse:
    """The client's answer to a 334 challenge, decoded. A cancel (*) is answered by the engine itself."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class XClient:
    """XCLIENT of a trusted peer. None: not said, it stays as it is. A positive answer is 220, the greeting.

    name, helo, login: "" when the peer says that there is none. name: in lower case. ip, server_ip: valid addresses.
    port: 0 when it is not known. esmtp: the client said EHLO.
    """

    name: str | None = None
    ip: str | None = None
    port: int | None = None
    esmtp: bool | None = None
    helo: str | None = None
    login: str | None = None
    server_ip: str | None = None
    server_port: int | None = None


class Mail(Struct, frozen=True, kw_only=True, gc=False):
    """MAIL FROM."""

    sender: Address
    size_declared: int | None = None
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    require_tls: bool = False
    ret: Ret | None = None
    envid: str = ""
    auth: str | None = None
    """AUTH= of RFC 4954 §5, decoded; believed from trusted peers only."""


class Rcpt(Struct, frozen=True, gc=False):
    """RCPT TO."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class Data:
    """DATA. A positive answer is 354; BodyChunk and EndOfData follow."""


@final
class BodyChunk(Struct, frozen=True, gc=False):
    """Content, dots removed; any cut. Needs no answer. Never empty."""

    data: bytes

    def __repr__(self) -> str:
        return "BodyChunk()"  # no content in logs


@dataclass(frozen=True, slots=True)
class BdatChunk:
    """A BDAT that was not the last is complete: answer 250."""

    size_bytes: int


class EndOfData(Struct, frozen=True, gc=False):
    """CR LF . CR LF, or BDAT LAST complete. Whatever the answer, the transaction is over.

    refusal: what the engine itself must refuse the content for (size, line length); the driver
             answers with it instead of asking anybody. Content after the fault was not passed on.
    """

    form: BodyForm
    refusal: Reply | None = None
    by_bdat: bool = False


class Other(Struct, frozen=True, gc=False):
    """RSET, NOOP, VRFY, EXPN, HELP, QUIT. `argument` as given."""

    verb: Verb
    argument: str = ""


@final
@dataclass(frozen=True, slots=True)
class Violation:
    """The client broke the protocol. Answer with `reply` as it is, or not at all and close.

    closes: framing or trust is lost: after the reply the engine is CLOSED whatever the code.
    counts: an error for the limits errors-soft and errors-hard.
    what:   for the log: the rule that was broken, never the peer's bytes.
    """

    reply: Reply
    what: str
    closes: bool = False
    counts: bool = True


Event = (
    Hello
    | StartTls
    | Auth
    | AuthResponse
    | XClient
    | Mail
    | Rcpt
    | Data
    | BodyChunk
    | BdatChunk
    | EndOfData
    | Other
    | Violation
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What the engine may announce and accept at this moment; a new one after STARTTLS and AUTH."""

    hostname: str
    size_bytes: int
    """Largest message; 0: no limit."""
    recipients: int = 1000
    """RCPTMAX of LIMITS (RFC 9422) and the 452 4.5.3 limit."""
    messages: int = 0
    """MAILMAX of LIMITS; 0: not announced."""
    pipelining: bool = True
    eight_bit_mime: bool = True
    smtputf8: bool = True
    dsn: bool = True
    chunking: bool = True
    binary_mime: bool = True
    """BINARYMIME, where there is CHUNKING."""
    starttls: bool = False
    require_tls: bool = False
    """REQUIRETLS, announced and accepted under TLS only."""
    auth: tuple[str, ...] = ()
    """Mechanisms; empty: AUTH is not offered."""
    auth_under_tls: bool = False
    """AUTH will be offered once TLS is on."""
    is_logged_in: bool = False
    """The client has no use for AUTH any more, but may still say AUTH= with MAIL (RFC 4954 §5)."""
    xclient: tuple[str, ...] = ()
    """Attributes of XCLIENT; empty: the peer may not say who its client is."""
    tls_needed: bool = False
    """530 5.7.0 to all but EHLO, HELO, STARTTLS, NOOP, RSET, QUIT until TLS is on."""
    helo_needed: bool = True
    blank_after_colon: bool = True
    """Tolerate `MAIL FROM: <a@b>`."""
    normalize_newlines: bool = False
    """Let bare LF in DATA pass (for a named legacy client); BodyForm.bare_newlines tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """Octets the engine holds at most."""

    command_line_bytes: int = 2048
    auth_line_bytes: int = 12288
    text_line_bytes: int = 8192
