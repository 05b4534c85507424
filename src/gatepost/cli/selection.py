"""Which mails a command is about: ids or filters; a preview, and a question before many are changed."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import click

from gatepost.cli.front import EXIT_NO, EXIT_PARTLY, EXIT_USAGE, Face
from gatepost.cli.output import Moment, json_option, moment_at, say, say_json, say_table
from gatepost.cli.shown import MAIL_HEADS, mail_json, mail_row
from gatepost.control.commands import AnyCommand, Changed, Target
from gatepost.control.links import act
from gatepost.control.mails import Found, each_mail, mail_of, matching_recipients
from gatepost.model.mail_id import mail_id_number, mail_id_text
from gatepost.model.queued import MailState, QueuedMail
from gatepost.ports.store import SEARCH_LIMIT_CHARACTERS, MailFilter, StoreReader

PREVIEW_ROWS = 10
SKIPPED_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was said about which mails."""

    ids: tuple[int, ...] = ()
    wanted: MailFilter = MailFilter()
    everything: bool = False

    @property
    def is_empty(self) -> bool:
        """Neither ids nor a condition nor --all."""
        return not self.ids and self.wanted == MailFilter() and not self.everything

    @property
    def only_next_hop(self) -> str | None:
        """The next hop when it is the only condition, "" for --all; None for any other selection."""
        if self.ids or self.wanted != MailFilter(next_hop=self.wanted.next_hop):
            return None
        return None if "*" in self.wanted.next_hop or self.is_empty else self.wanted.next_hop

    def within(self, state: MailState) -> Selection:
        """The same, of mails in one state only."""
        return replace(self, wanted=replace(self.wanted, state=state))


class MailIdType(click.ParamType):  # type: ignore[type-arg]
    """A mail id as Gatepost prints it."""

    name = "id"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Its number."""
        try:
            return mail_id_number(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SearchText(click.ParamType):  # type: ignore[type-arg]
    """A text that matches whole, or with * as wildcard."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is, when the stores can look for it."""
        text = str(value)
        if len(text) > SEARCH_LIMIT_CHARACTERS:
            self.fail(f"a search text has at most {SEARCH_LIMIT_CHARACTERS} characters", param, ctx)
        return text


SEARCH: Final = SearchText()
sender_option = click.option(
    "--sender",
    type=SEARCH,
    default=None,
    metavar="TEXT",
    help='From this return path; "<>" is the null sender.',
)
recipient_option = click.option(
    "--recipient", type=SEARCH, default="", metavar="TEXT", help="To this recipient."
)
since_option = click.option(
    "--since",
    type=Moment(),
    default=None,
    help="From this time on: 2026-11-22, 2026-11-22T13:05, or 2h (ago).",
)
until_option = click.option("--until", type=Moment(), default=None, help="Before this time.")
_OPTIONS = (
    click.option("--next-hop", type=SEARCH, default="", metavar="TEXT", help="Waiting for this next hop."),
    sender_option,
    recipient_option,
    click.option("--older-than", type=Moment(), default=None, help="Taken before this time, or so long ago."),
    click.option(
        "--source",
        type=SEARCH,
        default="",
        metavar="TEXT",
        help='From this source, such as "SMTP:internet" or "DSN".',
    ),
    click.option("--client-ip", type=SEARCH, default="", metavar="TEXT", help="From this client address."),
)
_STATE = click.option(
    "--state",
    type=click.Choice([s.value for s in MailState if not s.is_final and s is not MailState.LEASED]),
    default=None,
    help="In this state.",
)


def selecting(*, state: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Ids and filters as arguments; the command gets them as `selection`. Texts may have * as wildcard."""

    def wrap(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def call(
            face: Face, ids: tuple[int, ...], older_than: Any, state: str | None = None, **rest: Any
        ) -> Any:
            filters = {
                name: rest.pop(name) for name in ("next_hop", "sender", "recipient", "source", "client_ip")
            }
            wanted = MailFilter(
                **filters,
                older_than_at=moment_at(older_than, face.world.now()),
                state=MailState(state) if state else None,
            )
            everything = bool(rest.pop("everything", False))
            return command(face, selection=Selection(ids=ids, wanted=wanted, everything=everything), **rest)

        call.__doc__ = command.__doc__
        wrapped: Callable[..., Any] = click.argument("ids", nargs=-1, type=MailIdType(), metavar="[ID]...")(
            call
        )
        for option in (*_OPTIONS, *((_STATE,) if state else ())):
            wrapped = option(wrapped)
        return click.pass_obj(wrapped)

    return wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a command that changes mails is to go about it: --dry-run, --yes, --json."""

    dry_run: bool
    yes: bool
    as_json: bool


def bulk(command: Callable[..., Any]) -> Callable[..., Any]:
    """--all, --dry-run, --yes and --json for commands that change mails; they get the last three as `manner`."""

    @functools.wraps(command)
    def call(face: Face, *, dry_run: bool, yes: bool, as_json: bool, **rest: Any) -> Any:
        return command(face, manner=Manner(dry_run=dry_run, yes=yes, as_json=as_json), **rest)

    wrapped: Callable[..., Any] = json_option(call)
    for option in (
        click.option("--all", "everything", is_flag=True, help="Every mail that this command can be about."),
        click.option("--dry-run", is_flag=True, help="Show what would be changed, change nothing."),
        click.option("--yes", is_flag=True, help="Do not ask."),
    ):
        wrapped = option(wrapped)
    return wrapped


limit_option = click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="Most mails shown."
)


def list_mails(
    mails: Sequence[QueuedMail],
    *,
    heads: Sequence[str] = MAIL_HEADS,
    row: Callable[[QueuedMail], Sequence[object]] = mail_row,
    empty: str,
    limit: int,
    as_json: bool,
) -> None:
    """A table, or JSON; says when there may be more. empty: what is said instead of no row."""
    if as_json:
        say_json([mail_json(mail) for mail in mails])
        return
    say_table(heads, [row(mail) for mail in mails], empty=empty)
    if len(mails) == limit:
        say(f"... the first {limit}; more with --limit")


def found_by(readers: Sequence[StoreReader], selection: Selection) -> Iterator[Found]:
    """The mails, oldest first (or in the order of the ids given), each with the recipients that fit."""
    if not selection.ids:
        yield from each_mail(readers, selection.wanted)
    for mail_id in selection.ids:
        mail = mail_of(readers, mail_id)
        who = matching_recipients(mail, selection.wanted) if mail else ()
        if mail is not None and who:
            numbers = () if len(who) == len(mail.recipients) else tuple(r.number for r in who)
            yield Found(replace(mail, recipients=who), Target(mail_id, numbers))


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a command will be about. Only a few of the mails themselves: a queue may be longer than memory."""

    targets: list[Target]
    sample: list[QueuedMail]
    recipients: int

    def __str__(self) -> str:
        return f"{_count(len(self.targets), 'mail')} with {_count(self.recipients, 'recipient')}"


def _chosen(found: Iterable[Found]) -> _Chosen:
    targets: list[Target] = []
    sample: list[QueuedMail] = []
    recipients = 0
    for one in found:
        targets.append(one.target)
        recipients += len(one.mail.recipients)
        if len(sample) < PREVIEW_ROWS:
            sample.append(one.mail)
    return _Chosen(targets, sample, recipients)


def change(
    face: Face,
    selection: Selection,
    command: Callable[[tuple[Target, ...]], AnyCommand],
    *,
    verb: str,
    state: MailState | None = None,
    manner: Manner,
) -> None:
    """Find the mails, show how many, ask when there are several, tell the workers, say what came of it.

    verb: "retry", "remove": for the question. state: only recipients in this one.
    """
    if selection.is_empty:
        raise click.UsageError("say which mails: ids, filters such as --next-hop, or --all")
    if state is not None:
        selection = selection.within(state)
    configuration = face.configuration
    with face.world.readers(configuration.settings) as readers:
        chosen = _chosen(found_by(readers, selection))
    there = {target.mail_id for target in chosen.targets}
    missing = [mail_id for mail_id in selection.ids if mail_id not in there]
    for mail_id in missing:
        click.echo(f"{mail_id_text(mail_id)}: not found, or nothing of it fits", err=True)
    if not chosen.targets:
        _nothing(as_json=manner.as_json)
        raise click.exceptions.Exit(EXIT_NO)
    if manner.dry_run:
        _preview(chosen, verb, as_json=manner.as_json)
        return
    if len(chosen.targets) > 1 and not manner.yes:
        _ask(chosen, verb)
    with face.world.links(configuration) as links:
        done = act(links, chosen.targets, command)
    answer(done, as_json=manner.as_json, partly=bool(missing))


def answer(done: Changed, *, as_json: bool, partly: bool = False) -> None:
    """Say what was changed; exit status 4 when something was not."""
    if as_json:
        say_json(
            {
                "mails": done.mails,
                "recipients": done.recipients,
                "notices": done.notices,
                "skipped": [{"id": mail_id_text(s.mail_id), "reason": s.reason} for s in done.skipped],
            }
        )
    else:
        notices = f", {_count(done.notices, 'notice')} sent" if done.notices else ""
        say(f"{_count(done.mails, 'mail')} changed ({_count(done.recipients, 'recipient')}{notices})")
        for skipped in done.skipped[:SKIPPED_SHOWN]:
            click.echo(f"{mail_id_text(skipped.mail_id)}: {skipped.reason}", err=True)
        if len(done.skipped) > SKIPPED_SHOWN:
            click.echo(f"... and {len(done.skipped) - SKIPPED_SHOWN} more; all with --json", err=True)
    if done.skipped or partly:
        raise click.exceptions.Exit(EXIT_PARTLY)


def _nothing(*, as_json: bool) -> None:
    if as_json:
        say_json({"mails": 0, "recipients": 0, "notices": 0, "skipped": []})
    else:
        say("no mail fits; nothing was changed")


def _preview(chosen: _Chosen, verb: str, *, as_json: bool) -> None:
    if as_json:
        sample = [mail_json(mail) for mail in chosen.sample]
        say_json({"mails": len(chosen.targets), "recipients": chosen.recipients, "sample": sample})
        return
    say(f"would {verb} {chosen}:")
    say_table(MAIL_HEADS, [mail_row(mail) for mail in chosen.sample], empty="")
    if len(chosen.targets) > len(chosen.sample):
        say(f"... and {len(chosen.targets) - len(chosen.sample)} more")


def _ask(chosen: _Chosen, verb: str) -> None:
    if not sys.stdin.isatty():
        click.echo(f"this would {verb} {chosen}: add --yes, or --dry-run to see them", err=True)
        raise click.exceptions.Exit(EXIT_USAGE)
    click.confirm(f"{verb} {chosen}?", abort=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
