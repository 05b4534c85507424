"""The Authentication-Results and Received-SPF fields we write: values that nobody else can break out of (RFC 8601)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

VALUE_LIMIT_CHARS: Final = 320
REASON_LIMIT_CHARS: Final = 120
_DOMAIN: Final = r"@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*+"
_PLAIN: Final = re.compile(rf"[A-Za-z0-9._+-]+(?:{_DOMAIN})?|{_DOMAIN}", re.ASCII)
_QUOTABLE: Final = re.compile(r"[ -~]+", re.ASCII)
_REASON_ODD: Final = re.compile(r"[^A-Za-z0-9 .,:=+_/-]+", re.ASCII)


class MethodResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One method's result. properties: ("smtp.mailfrom", "ann@a.test"); one that cannot be written is left out."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        said = f"{self.method}={self.result}"
        if self.reason and (reason := plain_reason(self.reason)):
            said += f' reason="{reason}"'
        for name, value in self.properties:
            if written := quoted(value):
                said += f" {name}={written}"
        return said


@lru_cache(maxsize=256)  # many mails have a result in common; its text has at most some thousand characters
def _said(result: MethodResult) -> str:
    return str(result)


def results_value(authserv_id: str, results: Sequence[MethodResult]) -> str:
    """The field's value, on one line whose every word fits a line."""
    said = "; ".join(map(_said, results)) if results else "none"
    return f"{authserv_id}; {said}"


def quoted(value: str) -> str:
    """A value as a token, an address or a quoted string; "" for what none of them can hold (threats J35).

    Control characters, other line ends and everything beyond ASCII cannot be written; nor what is too long.
    """
    if len(value) > VALUE_LIMIT_CHARS:
        return ""
    if _PLAIN.fullmatch(value):
        return value
    if not _QUOTABLE.fullmatch(value):
        return ""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def plain_reason(text: str) -> str:
    """Words for people: letters, digits and a few marks, cut."""
    return _REASON_ODD.sub(" ", text)[:REASON_LIMIT_CHARS].strip()


def received_spf_value(
    result: str, *, receiver: str, client_ip: str, envelope_from: str, helo: str, identity: str
) -> str:
    """The value of Received-SPF (RFC 7208 §9.1)."""
    pairs = (
        ("receiver", receiver),
        ("client-ip", client_ip),
        ("envelope-from", envelope_from),
        ("helo", helo),
        ("identity", identity),
    )
    written = ((name, _spf_value(value)) for name, value in pairs)
    return " ".join((result, *(f"{name}={value};" for name, value in written if value)))


def _spf_value(value: str) -> str:
    """A dot-atom or a quoted string: an address is always quoted here."""
    plain = quoted(value)
    return f'"{plain}"' if "@" in plain and not plain.startswith('"') else plain
