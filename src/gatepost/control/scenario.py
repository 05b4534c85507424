"""A scenario of `gatepost test mail`: a mail, its way, the DNS of its world, and what should come of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from gatepost.config.errors import Complaint, ConfigurationError, ConfigurationErrors, closest, dotted, quoted
from gatepost.config.load import toml_of
from gatepost.config.networks import is_ip
from gatepost.config.overlay import laid_over
from gatepost.config.schema import Duration, Table, frozen, setting
from gatepost.config.shape import complaints_of
from gatepost.config.toml_lines import lines_of

SIZE_LIMIT_BYTES: Final = 4 << 20
MESSAGE_LIMIT_BYTES: Final = 32 << 20
HOPS_LIMIT: Final = 10
SIGNATURES_LIMIT: Final = 10
FOLDER: Final = Path(__file__).parent.parent / "lab" / "scenarios"
"""Those that come with Gatepost."""
RESULTS: Final = ("spf", "sender-id", "dkim", "dmarc", "arc")
_FIELD: Final = re.compile(r"[!-9;-~]{1,100}:[^\r\n]{0,2000}")
OUTCOMES: Final = ("accepted", "tagged", "quarantined", "discarded", "deferred", "refused")

LOOK_ALIKE: Final = "look-alike.invalid"
"""Stands for a domain that looks like ours."""
_TWINS: Final = dict(zip("acehijopsxy", "асеһіјорѕху", strict=True))  # that is the trick

Change = Literal["footer", "subject", "from"]
Outcome = Literal["accepted", "tagged", "quarantined", "discarded", "deferred", "refused"]


class Key(Table):
    """A key made for the play, and published in its DNS."""

    domain: str = setting("d=: whose signature it is")
    selector: str = setting("s=: the name the key is published under", default="test")
    key: Literal["rsa", "ed25519"] = setting("What kind of key is made", default="rsa")
    publish: bool = setting("Whether the DNS has it", default=True)


class Seal(Key):
    """An ARC set of a hop."""

    results: str = setting(
        'What the hop says it found out, such as "spf=pass smtp.mailfrom=a.example; dmarc=pass"; '
        "not set: what SPF, DKIM and DMARC came to there",
        default="",
    )


class Hop(Table):
    """Somebody who passes the mail on."""

    client: str = setting("The hop's address: the next host sees the mail come from it")
    helo: str = setting("The hop's name, in EHLO and in its own trace")
    sender: str | None = setting("The MAIL FROM it uses; not set: it keeps the one that came", default=None)
    changes: tuple[Change, ...] = setting(
        "What it does to the message: adds a footer, puts a tag before the subject, writes itself into From",
        default=(),
    )
    author: str = setting('What "from" in changes writes', default="", example='"List <list@lists.example>"')
    sign: tuple[Key, ...] = setting("DKIM signatures it adds", default=())
    seal: Seal | None = setting("The ARC set it adds", default=None)


class Mail(Table):
    """The mail and who brings it."""

    client: str = setting("The address that the mail comes from")
    helo: str = setting("What the client calls itself", default="client.example")
    sender: str = setting('MAIL FROM; "" is the null sender')
    recipients: tuple[str, ...] = setting("RCPT TO, each")
    message: str = setting(
        "A file with the whole message, beside the scenario; not set: it is made", default=""
    )
    author: str | None = setting(
        "The From field of a message that is made; not set: the MAIL FROM", default=None
    )
    headers: tuple[str, ...] = setting(
        'More fields of it, such as "Sender: ann@example.com"; a field that it has anyway is replaced',
        default=(),
    )
    subject: str = setting("Its subject", default="A message from gatepost test mail")
    body: str = setting("Its text", default="Hello,\n\nthis is what a message says.\n")
    user: str = setting("The account the client has logged in to", default="")
    tls: bool = setting("Whether the session is encrypted", default=True)
    connector: str = setting("The receive connector; not set: the one that serves the client", default="")


class DnsWorld(Table):
    """The DNS of the scenario. Without it the configured name servers are asked."""

    records: str = setting('Lines "name type data"; # begins a comment')
    silent: tuple[str, ...] = setting("Names nobody answers questions about", default=())


class Expected(Table):
    """What should come of it. Only what is given is looked at."""

    outcome: Outcome | None = setting("Of the recipient who fares worst", default=None)
    at_least: Outcome | None = setting(
        "As outcome, or worse, in this order: " + ", ".join(OUTCOMES), default=None
    )
    decided_by: str = setting("The agent whose opinion won", default="")
    reply: str = setting("How the last reply begins, such as 550 5.7.1", default="")
    findings: tuple[str, ...] = setting("What agents must have found, by name", default=())
    results: dict[str, str] = setting(
        "What checks came to: spf, sender-id, dkim, dmarc or arc, and the result", default={}
    )


class Scenario(Table):
    """The whole file."""

    about: str = setting("One sentence: what happens here", default="")
    ours: str = setting(
        "The domain that stands for yours: where the configuration has one, that is written in its place",
        default="",
    )
    mail: Mail = setting("The mail and who brings it")
    sign: tuple[Key, ...] = setting("DKIM signatures of the one who wrote it", default=())
    hops: tuple[Hop, ...] = setting("Who passes it on, first to last", default=())
    dns: DnsWorld | None = setting("The DNS of its world", default=None)
    unlisted: tuple[str, ...] = setting("Recipients of ours who do not exist; all others do", default=())
    retry_after: Duration = setting(
        "A mail that is put off comes again so much later, once; 0s: it does not", default=3600.0
    )
    configuration: dict[str, Any] = setting("Tables that are laid over the configuration", default={})
    expect: Expected = setting("What should come of it", default=Expected())


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A scenario as it was read. folder: where a message beside it is looked for."""

    name: str
    file: str
    text: str
    data: Mapping[str, Any]
    folder: Path

    def line(self, *path: str | int) -> int:
        """Where a setting stands, or the table around it; 0: nowhere."""
        lines = lines_of(self.text)
        return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 0)

    def line_in_text(self, number: int, *path: str | int) -> int:
        """Where a line of a text of several lines stands; number: 1-based, 0: the setting itself."""
        first = self.line(*path)
        if not first or not number:
            return first
        begins_below = self.text.splitlines()[first - 1].rstrip().endswith(('"""', "'''"))
        return first + number - (not begins_below)


def shipped() -> tuple[str, ...]:
    """The names of those that come with Gatepost."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def read_script(name: str) -> Script:
    """By the name of one that comes with Gatepost, or by its file. Raises ConfigurationErrors."""
    known = shipped()
    if name in known:
        return _read(FOLDER / f"{name}.toml", name, name)
    if "/" not in name and not name.endswith(".toml") and not Path(name).exists():
        raise ConfigurationErrors(
            [
                ConfigurationError(
                    file=name,
                    line=0,
                    key="",
                    message="there is no scenario and no file of this name",
                    accepted=known,
                    did_you_mean=closest(name, known),
                )
            ]
        )
    path = Path(name)
    return _read(path, path.stem, name)


def _read(path: Path, name: str, file: str) -> Script:
    try:
        with path.open("rb") as opened:
            octets = opened.read(SIZE_LIMIT_BYTES + 1)
        if len(octets) > SIZE_LIMIT_BYTES:
            raise ValueError(f"is larger than {SIZE_LIMIT_BYTES >> 20} MiB")
        text = octets.decode()
    except UnicodeDecodeError:
        raise _mistake(file, "is not UTF-8 text") from None
    except OSError as error:
        raise _mistake(file, f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise _mistake(file, str(error)) from None
    return Script(name=name, file=file, text=text, data=toml_of(text, file), folder=path.parent)


def _mistake(file: str, message: str, line: int = 0) -> ConfigurationErrors:
    return ConfigurationErrors([ConfigurationError(file=file, line=line, key="", message=message)])


def scenario_of(script: Script, *, own_domain: str = "", flags: Mapping[str, Any] | None = None) -> Scenario:
    """What it says, checked. Raises ConfigurationErrors.

    own_domain: takes the place of the domain that stands for ours; "": nothing is replaced.
    flags: what the command line says instead, as the tables of the file.
    """
    data = laid_over(script.data, flags or {})
    stand_in = data.get("ours")
    if isinstance(stand_in, str) and stand_in:
        ours = own_domain or stand_in
        data = _replaced(_replaced(data, stand_in, ours), LOOK_ALIKE, look_alike_of(ours))
    try:
        scenario = Scenario.model_validate(frozen(data))
    except ValidationError as error:
        raise _errors(script, complaints_of(error, data, Scenario)) from None
    if complaints := list(_complaints(scenario)):
        raise _errors(script, complaints)
    return scenario


def look_alike_of(domain: str) -> str:
    """A domain in A-labels that looks like this one: its first letter that has a Cyrillic twin is the twin."""
    label, dot, rest = domain.partition(".")
    at = next((number for number, letter in enumerate(label) if letter in _TWINS), None)
    if at is None or label.startswith("xn--"):
        return f"{label}-mail{dot}{rest}"
    twin = label[:at] + _TWINS[label[at]] + label[at + 1 :]
    return f"xn--{twin.encode('punycode').decode('ascii')}{dot}{rest}"


def overlay_errors(script: Script, errors: ConfigurationErrors) -> ConfigurationErrors:
    """The mistakes of a configuration that a scenario is laid over, each in the file it stands in."""
    lines = {
        dotted(path[1:]): line for path, line in lines_of(script.text).items() if path[0] == "configuration"
    }
    return ConfigurationErrors(
        ConfigurationError(
            file=script.file,
            line=lines[error.key],
            key=f"configuration.{error.key}",
            message=error.message,
            accepted=error.accepted,
            did_you_mean=error.did_you_mean,
        )
        if error.key in lines and error.key
        else error
        for error in errors.errors
    )


def _replaced(value: Any, stand_in: str, own: str) -> Any:
    if isinstance(value, str):
        return value.replace(stand_in, own)
    if isinstance(value, list):
        return [_replaced(item, stand_in, own) for item in value]
    if isinstance(value, dict):
        return {
            _replaced(name, stand_in, own): _replaced(item, stand_in, own) for name, item in value.items()
        }
    return value


def _complaints(scenario: Scenario) -> Iterator[Complaint]:
    """What no single setting can see."""
    mail = scenario.mail
    if not is_ip(mail.client):
        yield Complaint(at=("mail", "client"), message=f"{quoted(mail.client)} is no IP address")
    if not mail.recipients:
        yield Complaint(at=("mail", "recipients"), message="a mail has a recipient at least")
    for number, line in enumerate(mail.headers):
        if not _FIELD.fullmatch(line):
            yield Complaint(
                at=("mail", "headers", number), message=f"{quoted(line)} is no field such as Name: value"
            )
    yield from _too_many(("sign",), scenario.sign, SIGNATURES_LIMIT)
    yield from _too_many(("hops",), scenario.hops, HOPS_LIMIT)
    for number, hop in enumerate(scenario.hops):
        yield from _of_hop(("hops", number), hop)
    for name in scenario.expect.results:
        if name not in RESULTS:
            yield Complaint(
                at=("expect", "results", name),
                message="is no check",
                accepted=RESULTS,
                did_you_mean=closest(name, RESULTS),
            )


def _of_hop(at: tuple[str | int, ...], hop: Hop) -> Iterator[Complaint]:
    if not is_ip(hop.client):
        yield Complaint(at=(*at, "client"), message=f"{quoted(hop.client)} is no IP address")
    yield from _too_many((*at, "sign"), hop.sign, SIGNATURES_LIMIT)
    if ("from" in hop.changes) != bool(hop.author):
        yield Complaint(at=at, message='author and "from" in changes belong together: one is missing')


def _too_many(at: tuple[str | int, ...], entries: Sequence[object], limit: int) -> Iterator[Complaint]:
    if len(entries) > limit:
        yield Complaint(at=at, message=f"{len(entries)} are too many: at most {limit}")


def _errors(script: Script, complaints: list[Complaint]) -> ConfigurationErrors:
    return ConfigurationErrors(
        ConfigurationError(
            file=script.file,
            line=script.line(*c.at),
            key=dotted(c.at),
            message=c.message,
            accepted=c.accepted,
            did_you_mean=c.did_you_mean,
        )
        for c in complaints
    )
