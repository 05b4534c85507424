"""Which command is allowed when, and where it leads: the server's side of SMTP as one table."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from gatepost.protocol.events import Verb


class State(Enum):
    """Where a conversation is."""

    __hash__ = object.__hash__  # as Verb

    CONNECTED = auto()
    """Nothing was said yet, not even the banner."""
    FRESH = auto()
    """Greeted, or just under TLS: we do not know who the client says it is."""
    READY = auto()
    """EHLO or HELO was accepted; no transaction."""
    EXCHANGE = auto()
    """Inside AUTH: the next line is a response, not a command."""
    HANDSHAKE = auto()
    """STARTTLS was accepted: the next bytes are TLS."""
    MAIL = auto()
    """A sender was accepted, no recipient yet."""
    RCPT = auto()
    """At least one recipient was accepted."""
    DATA = auto()
    """Content follows until CR LF . CR LF."""
    BDAT = auto()
    """Between two chunks of content."""
    CLOSED = auto()
    """We hung up; nothing is read any more."""


# Read a cell as: a client in this state said this and we agreed; now it is there.
# A dash is out of sequence: refused, and nothing changes. A refusal of ours changes
# nothing either, with three exceptions: refused content (DATA, BDAT, their end) ends
# the transaction, so the state is READY; so does a refused AUTH its exchange. We agree
# to AUTH by 334; a final answer leaves READY.
TABLE: Final = """
           EHLO   HELO   STARTTLS   AUTH      XCLIENT  MAIL  RCPT  DATA  BDAT  DOT    LAST   RSET   NOOP   VRFY   EXPN   HELP   QUIT
CONNECTED  -      -      -          -         -        -     -     -     -     -      -      -      -      -      -      -      -
FRESH      READY  READY  -          -         FRESH    -     -     -     -     -      -      FRESH  FRESH  FRESH  FRESH  FRESH  CLOSED
READY      READY  READY  HANDSHAKE  EXCHANGE  FRESH    MAIL  -     -     -     -      -      READY  READY  READY  READY  READY  CLOSED
EXCHANGE   -      -      -          -         -        -     -     -     -     -      -      -      -      -      -      -      -
HANDSHAKE  -      -      -          -         -        -     -     -     -     -      -      -      -      -      -      -      -
MAIL       READY  READY  -          -         -        -     RCPT  -     -     -      -      READY  MAIL   MAIL   MAIL   MAIL   CLOSED
RCPT       READY  READY  -          -         -        -     RCPT  DATA  BDAT  -      READY  READY  RCPT   RCPT   RCPT   RCPT   CLOSED
DATA       -      -      -          -         -        -     -     -     -     READY  -      -      -      -      -      -      -
BDAT       READY  READY  -          -         -        -     -     -     BDAT  -      READY  READY  BDAT   BDAT   BDAT   BDAT   CLOSED
CLOSED     -      -      -          -         -        -     -     -     -     -      -      -      -      -      -      -      -
"""  # noqa: E501  # a table is read across


def read_table(text: str) -> dict[tuple[State, Verb], State | None]:
    """The table as a mapping. Raises ValueError for a missing cell, row or column, or an unknown name."""
    heading, *rows = (line.split() for line in text.strip().splitlines())
    if heading != [verb.name for verb in Verb]:
        raise ValueError("the columns are the verbs, each once, in their order")
    if [row[0] for row in rows] != [state.name for state in State]:
        raise ValueError("the rows are the states, each once, in their order")
    cells: dict[tuple[State, Verb], State | None] = {}
    for name, *row in rows:
        for verb, cell in zip(Verb, row, strict=True):
            if cell != "-" and cell not in State.__members__:
                raise ValueError(f"{cell} is not a state")
            cells[State[name], verb] = None if cell == "-" else State[cell]
    return cells


CELLS: Final = read_table(TABLE)
"""Looked up without a call for every command; `after` is its meaning."""


def after(state: State, verb: Verb) -> State | None:
    """The state an accepted command leads to; None: it is out of sequence."""
    return CELLS[state, verb]


IN_TRANSACTION: Final = frozenset({State.MAIL, State.RCPT, State.DATA, State.BDAT})

LAST_IN_GROUP: Final = frozenset(
    {
        Verb.EHLO,
        Verb.HELO,
        Verb.STARTTLS,
        Verb.AUTH,
        Verb.XCLIENT,
        Verb.DATA,
        Verb.NOOP,
        Verb.VRFY,
        Verb.EXPN,
        Verb.HELP,
    }
)
"""Commands a client must wait behind (RFC 2920 §3.1, RFC 3207 §4, RFC 4954 §4).

QUIT is one by the RFC too; what follows it is never read, so there is nothing to refuse (threats B32).
"""
