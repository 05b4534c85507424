"""What the server engine itself says when a client breaks the protocol. Nothing of the peer is echoed."""

from __future__ import annotations

from typing import Final

from gatepost.model.fault import PeerFault
from gatepost.model.reply import Reply


class BrokenFraming(PeerFault):
    """After this nobody can tell what the next bytes are: the reply is sent and the connection closed."""


# Framing or trust is lost: these close the connection.
BARE_NEWLINE: Final = Reply(521, "5.5.2", "Bare CR or LF: a line ends in CR LF only")
BARE_IN_COMMAND: Final = Reply(500, "5.5.2", "Bare CR, LF or NUL in a command")
LONELY_DOT_WITH_NUL: Final = Reply(521, "5.5.2", "NUL beside a single dot")
LINE_TOO_LONG: Final = Reply(500, "5.5.2", "Line too long")
AUTH_LINE_TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line is too long")
SPOKE_OUT_OF_TURN: Final = Reply(554, "5.5.0", "Protocol synchronization: wait for the reply")
SPOKE_BEFORE_GREETING: Final = Reply(521, "5.5.1", "Protocol error: wait for the greeting")
NOT_SMTP: Final = Reply(421, "4.7.0", "This is SMTP, closing")
NOT_TEXT: Final = Reply(500, "5.5.2", "This is SMTP, closing")
CHUNK_SIZE_INVALID: Final = Reply(501, "5.5.4", "Syntax: BDAT size [LAST]")
FAR_TOO_LARGE: Final = Reply(552, "5.3.4", "Message exceeds the size limit by far")

# Commands.
UNKNOWN_COMMAND: Final = Reply(500, "5.5.2", "Command not recognized")
CONTROL_IN_COMMAND: Final = Reply(500, "5.5.2", "Control character in a command")
EIGHT_BIT_IN_COMMAND: Final = Reply(500, "5.5.2", "Commands are ASCII")
NOT_IMPLEMENTED: Final = Reply(502, "5.5.1", "Command not implemented")
NOT_PERMITTED: Final = Reply(550, "5.7.0", "Command not permitted")
BAD_SEQUENCE: Final = Reply(503, "5.5.1", "Bad sequence of commands")
SAY_HELLO_FIRST: Final = Reply(503, "5.5.1", "Say EHLO or HELO first")
NO_VALID_RECIPIENTS: Final = Reply(554, "5.5.1", "No valid recipients")
NEEDS_BDAT: Final = Reply(503, "5.5.1", "BODY=BINARYMIME needs BDAT")
TLS_NEEDED: Final = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
TLS_ALREADY: Final = Reply(503, "5.5.1", "TLS is on already")
NO_ARGUMENT: Final = Reply(501, "5.5.4", "No argument allowed")
HELLO_SYNTAX: Final = Reply(501, "5.5.4", "Syntax: EHLO or HELO and your name")
MAIL_SYNTAX: Final = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
RCPT_SYNTAX: Final = Reply(501, "5.5.4", "Syntax: RCPT TO:<address>")
VRFY_SYNTAX: Final = Reply(501, "5.5.4", "Syntax: VRFY name")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients")

# AUTH.
AUTH_SYNTAX: Final = Reply(501, "5.5.4", "Syntax: AUTH mechanism [initial response]")
AUTH_NEEDS_TLS: Final = Reply(538, "5.7.11", "Encryption required for authentication")
AUTH_ALREADY: Final = Reply(503, "5.5.1", "Already authenticated")
AUTH_MECHANISM_UNKNOWN: Final = Reply(504, "5.5.4", "Authentication mechanism not offered")
AUTH_NOT_BASE64: Final = Reply(501, "5.5.2", "Cannot decode base64")
AUTH_CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")

# XCLIENT.
XCLIENT_INVALID: Final = Reply(501, "5.5.4", "Syntax: XCLIENT attribute=value, each once, in xtext")

# Parameters of MAIL and RCPT.
PARAMETER_UNKNOWN: Final = Reply(555, "5.5.4", "Parameter not recognized or not implemented")
PARAMETER_INVALID: Final = Reply(501, "5.5.4", "Parameter repeated or its value invalid")

# Addresses.
SENDER_INVALID: Final = Reply(501, "5.1.7", "Bad sender address syntax")
RECIPIENT_INVALID: Final = Reply(553, "5.1.3", "Bad recipient address syntax")
ADDRESS_NEEDS_SMTPUTF8: Final = Reply(553, "5.6.7", "Non-ASCII address needs SMTPUTF8")
ADDRESS_NOT_UTF8: Final = Reply(553, "5.6.7", "Address is not valid UTF-8")
ADDRESS_TORN: Final = Reply(501, "5.5.4", "Quoted string does not end")

# Content.
TOO_LARGE: Final = Reply(552, "5.3.4", "Message exceeds the size limit")
TEXT_LINE_TOO_LONG: Final = Reply(554, "5.6.0", "Line of text too long")
