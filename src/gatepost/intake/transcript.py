"""A client's commands as text for the protocol log: what was understood, never a password and never content."""

from __future__ import annotations

from gatepost.model.envelope import BodyType
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
from gatepost.protocol.smtp_client_commands import MailOptions, mail_command, rcpt_command, xtext
from gatepost.records.wire_log import MASKED


def command_text(event: Event) -> str:
    """One line. An AUTH shows its mechanism (threats E15), content its size."""
    match event:
        case Hello(verb=verb, name=name):
            return f"{verb.name} {name}"
        case Mail():
            return _mail_text(event)
        case Rcpt(recipient=recipient):
            return _line(rcpt_command(recipient, dsn=True, smtputf8=True))
        case Data():
            return "DATA"
        case BdatChunk(size_bytes=size_bytes):
            return f"BDAT {size_bytes}"
        case EndOfData():
            chunked = "BDAT LAST " if event.by_bdat else ""
            return f"{chunked}(end of message, {event.form.size_bytes} octets of body)"
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


def _mail_text(event: Mail) -> str:
    """BODY=7BIT is what nobody needs to say, and cannot be told from silence: it is left out."""
    options = MailOptions(
        size_bytes=event.size_declared,
        body=event.body if event.body is not BodyType.SEVEN_BIT else None,
        smtputf8=event.smtputf8,
        require_tls=event.require_tls,
        ret=event.ret,
        envid=event.envid,
    )
    text = _line(mail_command(event.sender, options))
    if event.auth is None:
        return text
    return f"{text} AUTH={event.auth if event.auth == '<>' else xtext(event.auth)}"


def _line(command: bytes) -> str:
    return command.decode().removesuffix("\r\n")


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
