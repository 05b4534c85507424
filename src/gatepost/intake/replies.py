"""The replies of a conversation that never change."""

from __future__ import annotations

from typing import Final

from gatepost.model.reply import Reply
from gatepost.protocol.events import Verb

SENDER_OK: Final = Reply(250, "2.1.0", "Sender OK")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Recipient OK")
START_INPUT: Final = Reply(354, "", "Start mail input; end with <CRLF>.<CRLF>")
CHUNK_OK: Final = Reply(250, "2.0.0", "Chunk received")
READY_FOR_TLS: Final = Reply(220, "2.0.0", "Ready to start TLS")
NOT_YOUR_CLIENT: Final = Reply(550, "5.7.0", "You may not speak for this client here")
NOT_ACCEPTING: Final = Reply(452, "4.3.1", "Insufficient system resources")
TIMED_OUT: Final = Reply(421, "4.4.2", "Timeout, closing transmission channel")
TOO_SLOW: Final = Reply(421, "4.4.2", "Data comes too slowly, closing transmission channel")
TOO_LONG: Final = Reply(421, "4.7.0", "Session lasts too long, closing transmission channel")
STOPPING: Final = Reply(421, "4.3.2", "System is shutting down, closing transmission channel")
EARLY: Final = Reply(554, "5.5.1", "Protocol error: you spoke before the greeting")
SIMPLE: Final = {
    Verb.RSET: Reply(250, "2.0.0", "OK"),
    Verb.NOOP: Reply(250, "2.0.0", "OK"),
    Verb.VRFY: Reply(252, "2.5.2", "Cannot verify, but will take the message and try to deliver"),
    Verb.EXPN: Reply(502, "5.5.1", "Not implemented"),
    Verb.HELP: Reply(214, "2.0.0", "Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT; see RFC 5321"),
    Verb.QUIT: Reply(221, "2.0.0", "Service closing transmission channel"),
}
JUNK: Final = frozenset({Verb.RSET, Verb.NOOP, Verb.VRFY, Verb.EXPN, Verb.HELP})
"""Verbs that do nothing for a mail."""


def announced(greeting: str) -> Reply:
    """The reply to EHLO without an engine that knows what it accepts."""
    return Reply(250, "", greeting)
