"""gatepost test: what the gateway would find out, asked now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gatepost.cli.dmarc_check import dmarc
from gatepost.cli.front import EXIT_NO, EXIT_WORLD, Face
from gatepost.cli.output import json_option, say, say_json, say_table
from gatepost.cli.test_mail import mail
from gatepost.cli.test_structure import structure
from gatepost.cli.zone_option import asked, zone_option
from gatepost.config.networks import is_ip
from gatepost.standards.dns_lists import is_domain_asked

if TYPE_CHECKING:
    from gatepost.ports.resolver import Lookup
    from gatepost.standards.spf import Answer, Query, Step

_INDENT = "  "


@click.group()
def command() -> None:
    """Try what the gateway would find out; nothing is changed."""


@command.command()
@click.argument("address", required=False, default="")
@click.option(
    "--domain", default="", metavar="DOMAIN", help="Ask the domain list providers about a domain instead."
)
@click.option("--provider", default="", metavar="NAME", help="Ask this one only.")
@json_option
@click.pass_obj
def blocklist(face: Face, address: str, domain: str, provider: str, as_json: bool) -> None:
    """Ask all block and allow list providers about ADDRESS, now and past every rest.

    Exit status 0 when a provider lists it, 1 when none does, 3 when none answers.
    """
    settings = face.configuration.settings
    if bool(address) == bool(domain):
        raise click.UsageError("give an address, or a domain with --domain")
    if address and not is_ip(address):
        raise click.UsageError(f"{address[:100]!r} is not an IP address; a domain is asked with --domain")
    subject = address or _domain(domain)
    names: tuple[str, ...] = (*settings.block_list_providers, *settings.allow_list_providers)
    if domain:
        names = tuple(settings.domain_list_providers)
    if provider and provider not in names:
        raise click.UsageError(f"there is no provider {provider!r}; there are: {', '.join(names) or 'none'}")
    answers = face.world.ask_providers(settings, subject, provider)
    if as_json:
        say_json(
            [
                {
                    "provider": a.provider,
                    "kind": a.kind,
                    "zone": a.zone,
                    "subject": a.subject,
                    "listed": a.is_listed,
                    "codes": list(a.judged.codes),
                    "ignored": [*a.judged.ignored, *a.judged.strange],
                    "refused": a.judged.refused or None,
                    "text": a.text,
                    "problem": a.problem or None,
                    "elapsed_ms": round(1000 * a.elapsed_s, 1),
                }
                for a in answers
            ]
        )
    else:
        rows = [
            (
                a.provider,
                a.subject if domain else a.kind,
                a.zone,
                a.problem or ("listed" if a.is_listed else "not listed"),
                " ".join(
                    (*a.judged.codes, *(f"({code})" for code in (*a.judged.ignored, *a.judged.strange)))
                ),
                f"{1000 * a.elapsed_s:.0f} ms",
                a.text,
            )
            for a in answers
        ]
        say_table(
            ("PROVIDER", "DOMAIN" if domain else "KIND", "ZONE", "ANSWER", "CODES", "TOOK", "TEXT"),
            rows,
            empty="there is no provider",
        )
    if not any(a.is_listed for a in answers):
        silent = bool(answers) and all(a.problem for a in answers)
        raise click.exceptions.Exit(EXIT_WORLD if silent else EXIT_NO)


def _domain(text: str) -> str:
    """As A-labels. Raises click.BadParameter."""
    domain = _parts(f"@{text.lstrip('@')}")[1]
    if not is_domain_asked(domain):
        raise click.BadParameter(f"{text[:255]!r} has no dot, or is an address: no list of domains knows it")
    return domain


command.add_command(dmarc)
command.add_command(mail)
command.add_command(structure)


@command.command()
@click.argument("sender", metavar="DOMAIN|SENDER")
@click.argument("ip", metavar="IP")
@click.option("--helo", metavar="NAME", default="", help="The client's EHLO name, for macros.")
@zone_option
@json_option
@click.pass_obj
def spf(face: Face, /, sender: str, ip: str, helo: str, zone: str, as_json: bool) -> None:
    """May the address IP send mail for a domain, or for one sender of it? Shows every record and term.

    Exit status 3 when the DNS did not say (temperror), else 0.
    """
    local, domain = _parts(sender)
    _check(face, _query(domain, local, ip, helo, face), zone, as_json)


@command.command()
@click.argument("sender", metavar="DOMAIN|ADDRESS")
@click.argument("ip", metavar="IP")
@click.option("--helo", metavar="NAME", default="", help="The client's EHLO name, for macros.")
@zone_option
@json_option
@click.pass_obj
def senderid(face: Face, /, sender: str, ip: str, helo: str, zone: str, as_json: bool) -> None:
    """May the address IP send mail for a purported responsible domain? Sender ID's records (spf2.0/pra), else SPF's.

    Exit status 3 when the DNS did not say (temperror), else 0.
    """
    from gatepost.standards.spf_record import Identity

    local, domain = _parts(sender)
    _check(face, _query(domain, local, ip, helo, face, identity=Identity.PRA), zone, as_json)


def _parts(sender: str) -> tuple[str, str]:
    """Local part and domain, as A-labels. Raises click.BadParameter."""
    from gatepost.model.fault import PeerFault
    from gatepost.protocol.addresses import canonical_domain, parse_mailbox

    try:
        if "@" in sender.lstrip("@"):
            address = parse_mailbox(sender)
            return address.local, address.domain
        return "postmaster", canonical_domain(sender.lstrip("@"))
    except PeerFault as fault:
        raise click.BadParameter(
            f"{sender[:255]!r} is neither a domain nor an address: {fault.reason}"
        ) from fault


def _query(domain: str, local: str, ip: str, helo: str, face: Face, **more: Any) -> Query:
    """Raises click.BadParameter."""
    from gatepost.config.networks import parse_address
    from gatepost.standards.spf import Query

    try:
        address = parse_address(ip)
    except ValueError as error:
        raise click.BadParameter(f"{ip[:100]!r} is no IP address") from error
    return Query(
        ip=str(address),
        domain=domain,
        local=local,
        sender_domain=domain,
        helo=helo or "unknown",
        receiver=face.configuration.settings.server.hostname,
        now=face.world.now(),
        **more,
    )


def _check(face: Face, query: Query, zone: str, as_json: bool) -> None:
    from gatepost.standards.spf import Limits, check_host
    from gatepost.standards.spf_record import Result

    settings, steps = face.configuration.settings, list[Any]()
    limits = Limits(
        void_terms=settings.spf.void_terms, total_s=settings.spf.timeout_s, lookup_s=settings.dns.timeout_s
    )

    async def ask(lookup: Lookup) -> Answer:
        return await check_host(query, lookup, face.world.monotonic, limits, steps)

    answer: Answer = asked(face, zone, ask)
    if as_json:
        say_json(_as_json(answer, query, steps))
    else:
        _say_steps(steps)
        _say_answer(answer, query)
    if answer.result is Result.TEMPERROR:
        raise click.exceptions.Exit(EXIT_WORLD)


def _say_steps(steps: list[Step]) -> None:
    """One line each, further right in records that others led to."""
    shown = None
    for step in steps:
        if (step.depth, step.domain) != shown:
            say(f"{_INDENT * step.depth * 2}{step.domain}")
            shown = (step.depth, step.domain)
        say(f"{_INDENT * (step.depth * 2 + 1)}{step.text}")
    if steps:
        say()


def _sender_id_of(answer: Answer, query: Query) -> tuple[str, str] | None:
    """Sender ID's result and why, when it was asked for."""
    from gatepost.standards.sender_id import result_of
    from gatepost.standards.spf_record import Identity

    if query.identity is Identity.SPF:
        return None
    result, reason = result_of(answer)
    return result.value, reason.value if reason is not None else ""


def _say_answer(answer: Answer, query: Query) -> None:
    if (sender_id := _sender_id_of(answer, query)) is not None:
        result, reason = sender_id
        say(f"Sender ID: {result}{f' ({reason})' if reason else ''}")
    where = f" by {answer.term} of {answer.record_domain}" if answer.term else ""
    say(f"{answer.result.value}{where}: {query.ip} and {answer.domain}")
    if answer.no_record is not None:
        say(f"no record: {answer.no_record.value}")
    if len(answer.path) > 1:
        say(f"on the way: {' > '.join(answer.path)}")
    if answer.problem:
        say(f"problem: {answer.problem}")
    if answer.explanation:
        say(f"the domain explains: {answer.explanation}")


def _as_json(answer: Answer, query: Query, steps: list[Step]) -> dict[str, Any]:
    sender_id = _sender_id_of(answer, query)
    more = {} if sender_id is None else {"sender_id": sender_id[0], "sender_id_reason": sender_id[1]}
    return {
        **more,
        "result": answer.result.value,
        "ip": query.ip,
        "domain": answer.domain,
        "term": answer.term,
        "record_domain": answer.record_domain,
        "path": answer.path,
        "problem": answer.problem,
        "explanation": answer.explanation,
        "no_record": answer.no_record.value if answer.no_record is not None else None,
        "steps": [{"depth": step.depth, "domain": step.domain, "text": step.text} for step in steps],
    }
