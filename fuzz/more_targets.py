"""Further readers: notices, the configuration, TOML lines, the control protocol, DNS answers."""

from __future__ import annotations

import email
import email.policy
import tomllib
from collections.abc import Callable
from typing import Any, Final

from fuzz.oracles import holds
from gatepost.adapters import dns_wire
from gatepost.adapters.dns_wire import Kind, Malformed, ServerRefusal, Truncated
from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.config.toml_lines import lines_of
from gatepost.control.commands import decode_command, decode_reply, encode
from gatepost.message.dsn import Outcome, Report, ReportedRecipient, compose
from gatepost.message.headers import split
from gatepost.model.address import Address
from gatepost.policy.order import agent_settings, finding_names

_LINE_LIMIT_BYTES: Final = 998
_SEPARATOR: Final = b"\x1e"


def notices(data: bytes) -> None:
    """A notice about anything is a mail: no bare line end, no long line, three parts, nothing of theirs in our part."""
    words, _, returned = data.partition(_SEPARATOR)
    reply = words.decode("latin-1")
    head, body = split(returned.replace(b"\r", b"").replace(b"\n", b"\r\n"))
    whole = compose(
        Report(
            to=Address("ann", "client.example"),
            sent_from=Address("postmaster", "ours.example"),
            subject="Undelivered",
            text="It could not be delivered.",
            recipients=(
                ReportedRecipient(
                    address=Address("bob", "there.example"),
                    orcpt=f"rfc822;{reply}",
                    outcome=Outcome.FAILED,
                    reply=reply,
                ),
            ),
            hostname="ours.example",
            mail_id="1",
            arrived_at=0.0,
            envid=reply[:100],
            message_id=reply[:200],
            now=1.0,
            notice_id="2",
            boundary_token="0123456789abcdef",
        ),
        head,
        body if len(data) % 2 else None,
        head_limit_bytes=1000,
    )
    octets = whole.head + whole.body
    holds(octets.count(b"\n") == octets.count(b"\r") == octets.count(b"\r\n"), "a bare line end")
    ours = octets[: octets.rindex(b"--=_0123456789abcdef\r\n")]
    holds(max(map(len, ours.split(b"\r\n"))) <= _LINE_LIMIT_BYTES, "a line too long")
    theirs = data.count(b"--=_0123456789abcdef")  # that nobody can guess; a fuzzer might
    holds(theirs > 0 or octets.count(b"\r\n--=_0123456789abcdef") == 4, "not three parts")
    parsed = email.message_from_bytes(ours, policy=email.policy.compat32)
    holds(parsed["From"] is not None and len(parsed.get_all("To") or ()) == 1, "fields that are not ours")


def configuration(data: bytes) -> None:
    """A configuration, or mistakes with lines of the file; nothing else."""
    text = data.decode("utf-8", "replace")
    lines = text.count("\n") + 2
    try:
        load_text(text, file="x.toml", agent_settings=agent_settings, finding_names=finding_names)
    except ConfigurationErrors as errors:
        for error in errors.errors:
            holds(0 <= error.line <= lines, f"line {error.line} of {lines}")
            holds("\n" not in str(error).strip() or len(str(error)) < 4000, "an error nobody reads")


def toml_lines(data: bytes) -> None:
    """Every key of a valid text has a line, and the line has the key's name."""
    text = data.decode("utf-8", "replace")
    found = lines_of(text)
    try:
        valid = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    count = text.count("\n") + 1
    for path in _paths(valid, ()):
        holds(path in found, f"{path} has no line")
        holds(1 <= found[path] <= count, f"{path} in line {found[path]} of {count}")


def _paths(value: dict[str, Any], above: tuple[str, ...]) -> list[tuple[str, ...]]:
    paths = []
    for name, inner in value.items():
        paths.append((*above, name))
        if isinstance(inner, dict):
            paths += _paths(inner, (*above, name))
    return paths


def control(data: bytes) -> None:
    """A command or an answer, written again and read again as itself, or ValueError."""
    for decode in (decode_command, decode_reply):
        try:
            message = decode(data)
        except ValueError:
            continue
        written = encode(message)
        try:
            again = decode(written)
        except ValueError as error:
            raise AssertionError(f"{message!r} is not read again") from error
        holds(encode(again) == written, "another message when read again")


def dns_answers(data: bytes) -> None:
    """An answer, or one of the declared refusals, for each type."""
    asked = dns_wire.question("a.example", Kind.A)
    for kind in Kind:
        try:
            answer = dns_wire.read_reply(data, asked[:-4] + kind.to_bytes(2, "big") + asked[-2:], kind)
        except (Malformed, ServerRefusal, Truncated):
            continue
        holds(dns_wire.LOWEST_TTL_S <= answer.ttl_s <= dns_wire.HIGHEST_TTL_S, "a time to live out of bounds")
        holds(len(answer.records) <= dns_wire.RECORDS_LIMIT, "more records than the limit")


TARGETS: Final[tuple[tuple[str, Callable[[bytes], None], tuple[bytes, ...]], ...]] = (
    (
        "notices",
        notices,
        (_SEPARATOR, b"\n", b"\n\n", b"Subject: ", b"550 5.1.1 ", b"\0", b"\xff", b"\x1b[2J"),
    ),
    (
        "configuration",
        configuration,
        (
            b"[server]\n",
            b"hostname = ",
            b'"',
            b"[[",
            b"]\n",
            b"[receive-connectors.mx]\n",
            b"listen = [",
            b"= true\n",
            b"= -1\n",
            b"'''",
            b"{",
            b"}",
            b"\xff",
            b"1979-05-27",
            b"[agents.",
            b"[accepted-domains]\n",
        ),
    ),
    (
        "toml-lines",
        toml_lines,
        (
            b"[a.b]\n",
            b"[[a]]\n",
            b"x = ",
            b'"""',
            b"'''",
            b"{a = 1}",
            b"[1,\n2]",
            b"#",
            b"\\",
            b"\r\n",
            b'"k" = 1',
            b"1979-05-27 07:32:00",
        ),
    ),
    (
        "control",
        control,
        (b"\x81", b"\x82\xa4type", b"\xa6status", b"\x92", b"\xc0", b"\xda\xff\xff", b"\xaaretry-mail"),
    ),
    (
        "dns-answers",
        dns_answers,
        (
            b"\xc0\x0c",
            b"\x01a\x07example\0",
            b"\0\x01\0\x01",
            b"\0\x10\0\x01",
            b"\xff\xff",
            b"\0\x05\0\x01",
            b"\0\0\0\x3c",
        ),
    ),
)
