"""A client's commands as text for the protocol log: what was understood, never a password and never content."""

from __future__ import annotations

from gatepost.protocol.events import (
    Auth,
    AuthResponse,
    BdatChunk,
    Data,
    EndOfData,
    Event,
    Hello,
    Mail,
    Other,
    Rcpt,
    StartTls,
    Violation,
    XClient,
)
from gatepost.records.wire_log import MASKED


def command_text(event: Event) -> str:
    """One line. An AUTH shows its mechanism (threats E15), content its size."""
    match event:
        case Hello(verb=verb, name=name):
            return f"{verb.name} {name}"
        case Mail():
            size = f" SIZE={event.size_declared}" if event.size_declared is not None else ""
            return f"MAIL FROM:<{event.sender}>{size} BODY={event.body.value}"
        case Rcpt(recipient=recipient):
            return f"RCPT TO:<{recipient.address}>"
        case Data():
            return "DATA"
        case BdatChunk(size_bytes=size_bytes):
            return f"BDAT {size_bytes}"
        case EndOfData():
            return f"(end of message, {event.form.size_bytes} octets of body)"
        case StartTls():
            return "STARTTLS"
        case Auth() | AuthResponse() | XClient():
            return _identity_text(event)
        case Other(verb=verb, argument=argument):
            return f"{verb.name} {argument}".strip()
        case Violation(what=what):
            return f"(refused: {what})"
        case _:
            return f"({type(event).__name__})"


def _identity_text(event: Auth | AuthResponse | XClient) -> str:
    match event:
        case Auth(mechanism=mechanism, initial_response=response):
            return f"AUTH {mechanism}" + (f" {MASKED}" if response is not None else "")
        case AuthResponse():
            return MASKED
        case XClient():
            values = {"ADDR": event.ip, "NAME": event.name, "HELO": event.helo, "LOGIN": event.login}
            said = (f"{name}={value}" for name, value in values.items() if value is not None)
            return " ".join(("XCLIENT", *said))
