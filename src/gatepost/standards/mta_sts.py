"""MTA-STS (RFC 8461): what a domain publishes about the TLS of its mail servers, in its TXT record and its policy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

POLICY_LIMIT_BYTES: Final = 64 * 1024
"""Of a policy file (RFC 8461 §3.3)."""
MX_LIMIT: Final = 200
"""Most mx lines that count; a policy with more is invalid."""
LONGEST_AGE_S: Final = 31_557_600
"""A year, the most that max_age may say (RFC 8461 §3.2)."""
_RECORD_LIMIT_BYTES: Final = 2048
_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
_MX: Final = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)
_NAME_LIMIT: Final = 253
_AGE: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


class StsMode(Enum):
    """What a sender does with a mail server that does not fit the policy."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class StsPolicy:
    """One policy. mx: patterns, lower case; () only with NONE."""

    mode: StsMode
    max_age_s: int
    mx: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mode is not StsMode.NONE and not self.mx:
            raise ValueError("a policy that asks for something names at least one mx")

    def fits(self, host: str) -> bool:
        """Whether a mail server of this name (lower case) is one of the policy's (RFC 8461 §4.1)."""
        return any(matches(pattern, host) for pattern in self.mx)


def matches(pattern: str, host: str) -> bool:
    """A star stands for exactly one label, the leftmost."""
    if pattern.startswith("*."):
        label, _, rest = host.partition(".")
        return bool(label) and rest == pattern[2:]
    return host == pattern


def record_name(domain: str) -> str:
    """Where the TXT record of a domain stands."""
    return f"_mta-sts.{domain}"


def policy_host(domain: str) -> str:
    """The host that serves a domain's policy."""
    return f"mta-sts.{domain}"


def policy_id(texts: Iterable[bytes]) -> str | None:
    """The id of the one STS record among the TXT records; None when there is none that counts.

    RFC 8461 §3.1: records that do not begin with the version are other people's; more than one
    of ours is as good as none.
    """
    ours = [text for text in texts if text[: _RECORD_LIMIT_BYTES + 1].startswith(b"v=STSv1")]
    if len(ours) != 1 or len(ours[0]) > _RECORD_LIMIT_BYTES:
        return None
    fields = record_fields(ours[0])
    if not fields or fields[0] != ("v", "STSv1"):
        return None
    ids = [value for name, value in fields if name == "id"]
    return ids[0] if len(ids) == 1 and _ID.fullmatch(ids[0]) else None


def record_fields(text: bytes) -> list[tuple[str, str]]:
    """`name=value` pairs between semicolons, in order; [] when one of them is no pair."""
    try:
        parts = text.decode("ascii").split(";")
    except UnicodeDecodeError:
        return []
    fields = []
    for number, part in enumerate(parts):
        name, equals, value = part.strip(" \t").partition("=")
        if not name and not equals and number == len(parts) - 1:
            break  # a semicolon at the end
        if not equals or not name:
            return []
        fields.append((name.strip(" \t"), value.strip(" \t")))
    return fields


def parse_policy(data: bytes) -> StsPolicy:
    """A policy file (RFC 8461 §3.2). Raises ValueError with what is wrong.

    Unknown fields are skipped; of a field that may stand once, the first counts.
    """
    if len(data) > POLICY_LIMIT_BYTES:
        raise ValueError(f"the policy is longer than {POLICY_LIMIT_BYTES} octets")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("the policy is not UTF-8") from error
    once: dict[str, str] = {}
    mx: list[str] = []
    for line in text.split("\n"):
        bare = line.removesuffix("\r").strip(" \t")
        if not bare:
            continue
        name, colon, value = bare.partition(":")
        if not colon:
            raise ValueError(f"{bare[:60]!r} is not a line such as `mode: enforce`")
        name, value = name.strip(" \t"), value.strip(" \t")
        if name == "mx":
            mx.append(_pattern(value))
        else:
            once.setdefault(name, value)
    return _policy(once, mx)


def _policy(once: dict[str, str], mx: Sequence[str]) -> StsPolicy:
    if once.get("version") != "STSv1":
        raise ValueError("the policy does not say `version: STSv1`")
    try:
        mode = StsMode(once.get("mode", ""))
    except ValueError as error:
        raise ValueError(f"mode is {once.get('mode', '')[:40]!r}, not enforce, testing or none") from error
    age = once.get("max_age", "")
    if not _AGE.fullmatch(age) or int(age) > LONGEST_AGE_S:
        raise ValueError(f"max_age is {age[:40]!r}, not a number of seconds up to {LONGEST_AGE_S}")
    if len(mx) > MX_LIMIT:
        raise ValueError(f"the policy has more than {MX_LIMIT} mx lines")
    if mode is not StsMode.NONE and not mx:
        raise ValueError("the policy has no mx line")
    return StsPolicy(mode=mode, max_age_s=int(age), mx=tuple(dict.fromkeys(mx)))


def pattern_problem(pattern: str) -> str:
    """What is wrong with an mx pattern of a setting; "" when nothing is."""
    try:
        _pattern(pattern)
    except ValueError as error:
        return str(error)
    return ""


def _pattern(value: str) -> str:
    lower = value.lower().removesuffix(".")
    if len(lower) > _NAME_LIMIT + 2 or not _MX.fullmatch(lower):
        raise ValueError(f'mx is {value[:60]!r}, not a host name or "*." and a domain')
    return lower
