"""A limit that was reached: which, its configured value, the actual; told once in the log and counted (threats I11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gatepost.config.limit_settings import Limits
from gatepost.intake.reception import FIELD_TOO_LARGE, HEADER_TOO_LARGE
from gatepost.model.reply import Reply
from gatepost.model.session import Session
from gatepost.ports.log import Counters, Log
from gatepost.protocol import refusals

BEYOND: Final = "more"
"""The actual value where nobody counted on behind the limit."""

_OF_REPLY: Final = {
    refusals.LINE_TOO_LONG: "command_line_bytes",
    refusals.AUTH_LINE_TOO_LONG: "auth_line_bytes",
    refusals.TOO_MANY_RECIPIENTS: "recipients",
    refusals.TOO_LARGE: "message_size_bytes",
    refusals.FAR_TOO_LARGE: "message_size_bytes",
    refusals.TEXT_LINE_TOO_LONG: "text_line_bytes",
    HEADER_TOO_LARGE: "header_size_bytes",
    FIELD_TOO_LARGE: "header_field_bytes",
}
"""Replies of engine and reception that mean a limit -> its setting's name in the code."""
CLOSING: Final = frozenset({refusals.LINE_TOO_LONG, refusals.AUTH_LINE_TOO_LONG, refusals.FAR_TOO_LARGE})
"""Those of them after which the engine hangs up."""


@dataclass(frozen=True, slots=True)
class LimitHit:
    """limit: the setting's name in the file. actual: what the client had or wanted."""

    limit: str
    value: float
    actual: float | str
    reply: Reply


def limit_behind(reply: Reply, limits: Limits, *, actual: float | str = BEYOND) -> LimitHit | None:
    """The limit that a refusal of engine or reception stands for; None when it stands for none."""
    name = _OF_REPLY.get(reply)
    if name is None:
        return None
    return LimitHit(name.removesuffix("_bytes").replace("_", "-"), getattr(limits, name), actual, reply)


class LimitLog:
    """Counts and tells limits that were reached. log: bounds how many lines one limit gets."""

    def __init__(self, counters: Counters, log: Log) -> None:
        self._counters = counters
        self._log = log

    def connection_refused(self, hit: LimitHit, *, connector: str, client_ip: str) -> None:
        """A client was turned away before the greeting."""
        self._counters.add("connections_refused", connector=connector, limit=hit.limit)
        self._write("connection-refused", hit, connector=connector, client_ip=client_ip)

    def session_closed(self, hit: LimitHit, session: Session) -> None:
        """A session ended here."""
        self._counters.add("sessions_closed", connector=session.connector, limit=hit.limit)
        self._write("session-closed", hit, **_of(session), reply=str(hit.reply))

    def command_refused(self, hit: LimitHit, session: Session) -> None:
        """A command or a message was refused; the session goes on."""
        self._counters.add("commands_refused", connector=session.connector, limit=hit.limit)
        self._write("command-refused", hit, **_of(session), reply=str(hit.reply))

    def _write(self, event: str, hit: LimitHit, **about: Any) -> None:
        self._log.write("warning", event, **about, limit=hit.limit, value=hit.value, actual=hit.actual)


def _of(session: Session) -> dict[str, str]:
    return {
        "connector": session.connector,
        "session": session.session_id,
        "client_ip": session.client_ip,
    }
