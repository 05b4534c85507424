"""gatepost dns: what own domains publish about their mail, what they should, and how it changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from gatepost.cli.front import EXIT_NO, EXIT_USAGE, Face
from gatepost.cli.output import json_option, say, say_json, when
from gatepost.cli.world import DnsDesk
from gatepost.control.dns_survey import SPF_LOOKUPS_LIMIT, Survey
from gatepost.control.dns_wizard import Answers, Plan, dnscmd_lines, plan, spf_after, zone_line
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import canonical_domain


class Domain(click.ParamType):  # type: ignore[type-arg]
    """A domain name, as A-labels."""

    name = "domain"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Lower case, without a final dot."""
        try:
            return canonical_domain(str(value).rstrip("."))
        except PeerFault as fault:
            self.fail(f"{value!r} is not a domain name: {fault.reason}", param, ctx)


_selectors = click.option(
    "--selector", "selectors", multiple=True, help="A DKIM selector to look for; may repeat."
)
_ours = click.option(
    "--our-address", "ours", multiple=True, help="An address we send from, besides dns-monitor.addresses."
)


@click.command()
@click.argument("domain", type=Domain())
@_selectors
@_ours
@json_option
@click.pass_obj
def survey(face: Face, domain: str, selectors: tuple[str, ...], ours: tuple[str, ...], as_json: bool) -> None:
    """Show what a domain publishes: MX, SPF, DKIM, DMARC, MTA-STS, TLS-RPT, TLSA, PTR; and what is wrong with it.

    Exit status 1 when something is.
    """
    found = _desk(face).survey(domain, selectors=selectors, addresses=ours)
    if as_json:
        say_json(_as_json(found))
    else:
        _show(found)
    if found.problems:
        raise click.exceptions.Exit(EXIT_NO)


@click.command()
@click.argument("domain", type=Domain())
@click.option(
    "--ask", is_flag=True, help="Ask the questions at the terminal; the other options are defaults then."
)
@click.option("--no-mail", is_flag=True, help="The domain sends no mail at all.")
@click.option("--no-receive", is_flag=True, help="The domain takes no mail: publish a null MX.")
@click.option("--mx/--no-mx", default=True, show_default=True, help="Its mail servers (MX) send, too.")
@click.option(
    "--a/--no-a", "own", default=False, show_default=True, help="The hosts of its own address send."
)
@click.option("--host", "hosts", multiple=True, help="A host that sends; may repeat.")
@click.option("--address", "addresses", multiple=True, help="An address or network that sends; may repeat.")
@click.option("--mx-of", multiple=True, help="The mail servers of another domain send; may repeat.")
@click.option(
    "--provider", "providers", multiple=True, help="A provider's domain whose SPF is included; may repeat."
)
@click.option(
    "--others",
    type=click.Choice(["fail", "softfail", "neutral"]),
    default="fail",
    show_default=True,
    help="What of mail from elsewhere: -all, ~all, ?all.",
)
@click.option("--dmarc", type=click.Choice(["none", "quarantine", "reject"]), help="Make a DMARC record.")
@click.option("--dmarc-to", default="", help="Mail address for DMARC reports.")
@click.option("--mta-sts", type=click.Choice(["enforce", "testing", "none"]), help="Make an MTA-STS policy.")
@click.option("--tls-reports-to", default="", help="Mail address for TLS reports: make a TLS-RPT record.")
@click.option(
    "--dkim/--no-dkim",
    default=True,
    show_default=True,
    help="The keys of [dkim-signing] for the domain, too.",
)
@click.option("--tlsa", is_flag=True, help="Make TLSA records of our receive connectors' certificates.")
@_selectors
@_ours
@click.option("--publish", is_flag=True, help="Change the zone on its server (RFC 2136).")
@click.option("--server", default="", metavar="IP[:PORT]", help="For --publish: the zone's primary server.")
@click.option(
    "--key-file", default="", metavar="PATH", help="For --publish: a TSIG key as tsig-keygen writes it."
)
@click.option(
    "--kerberos",
    default="",
    metavar="NAME",
    help="For --publish: instead of a key a Kerberos ticket (kinit) for the server of this name, as Windows DNS wants.",
)
@click.option("--zone", default="", help="For --publish: the zone, when it cannot be looked up.")
@json_option
@click.pass_obj
def wizard(face: Face, /, domain: str, as_json: bool, **given: Any) -> None:
    """Make the records a domain should publish, from a few answers: as zone file lines and as dnscmd lines."""
    if given["publish"] and not (given["server"] and bool(given["key_file"]) != bool(given["kerberos"])):
        click.echo("gatepost: --publish needs --server, and --key-file or --kerberos", err=True)
        raise click.exceptions.Exit(EXIT_USAGE)
    desk = _desk(face)
    found = desk.survey(domain, selectors=given["selectors"], addresses=given["ours"])
    if given["ask"]:
        if not as_json:
            _show(found)
        given |= _asked(domain)
    try:
        made = plan(found, _answers(face, found, given), today=datetime.now(tz=UTC).strftime("%Y%m%d"))
    except ValueError as error:
        click.echo(f"gatepost: {error}", err=True)
        raise click.exceptions.Exit(EXIT_USAGE) from error
    lookups, included = desk.spf_lookups(domain, made.spf)
    ours = (*face.configuration.settings.dns_monitor.addresses, *given["ours"])
    problems = [
        *made.problems,
        *included,
        *(spf_after(made.spf, lookups, ours) if not given["no_mail"] else []),
    ]
    zone = given["zone"] or found.zone or domain
    if as_json:
        say_json(_plan_json(made, zone, lookups, problems))
    else:
        _show_plan(made, zone, lookups, problems)
    if given["publish"]:
        if lookups > SPF_LOOKUPS_LIMIT:
            click.echo("gatepost: nothing was published: the SPF record would be an error", err=True)
            raise click.exceptions.Exit(EXIT_NO)
        done = desk.publish(
            made,
            zone=zone,
            server=given["server"],
            key_file=given["key_file"],
            kerberos=given["kerberos"],
        )
        say("\n".join(done) if done else "Nothing to change: everything is there.")


@click.command()
@click.argument("domain", type=Domain())
@json_option
@click.pass_obj
def history(face: Face, domain: str, as_json: bool) -> None:
    """Show how a domain's records changed, as the monitor saw it."""
    held = _desk(face).history(domain)
    if held is None:
        click.echo(
            f"gatepost: {domain} was not looked at yet; the monitor looks at authoritative accepted domains and at "
            "dns-monitor.domains while the gateway runs",
            err=True,
        )
        raise click.exceptions.Exit(EXIT_NO)
    if as_json:
        changes = [{"at": c.at, "kind": c.kind, "gone": c.gone, "new": c.new} for c in held.changes]
        say_json({"domain": domain, "at": held.at, "problems": held.problems, "changes": changes})
        return
    say(f"{domain}, looked at {when(held.at)}")
    for change in held.changes:
        for sign, lines in (("-", change.gone), ("+", change.new)):
            for line in lines:
                say(f"{when(change.at)}  {change.kind}  {sign} {line}")
    if not held.changes:
        say("nothing has changed since the first look")
    for problem in held.problems:
        say(f"wrong: {problem}")
    for line in held.unknown:
        say(f"unknown at the last look: {line}")


def _desk(face: Face) -> DnsDesk:
    return face.world.dns(face.configuration.settings)


def _asked(domain: str) -> dict[str, Any]:
    """The questions of the SPF wizard, and three more."""
    answers: dict[str, Any] = {"no_mail": not click.confirm(f"Does {domain} send mail at all?", default=True)}
    answers["no_receive"] = not click.confirm("Does it take mail?", default=True)
    if not answers["no_mail"]:
        answers["mx"] = click.confirm("Do its mail servers (MX) send mail, too?", default=True)
        answers["own"] = click.confirm(f"Do the hosts of {domain}'s own address send mail?", default=False)
        answers["addresses"] = _several("Other addresses or networks that send (192.0.2.0/24, ...)")
        answers["hosts"] = _several("Other hosts that send (host names)")
        answers["providers"] = _several("Providers that send for it (their SPF domains)")
        answers["others"] = click.prompt(
            "Mail from anywhere else", type=click.Choice(["fail", "softfail", "neutral"]), default="softfail"
        )
    dmarc = click.prompt(
        "DMARC", type=click.Choice(["leave", "none", "quarantine", "reject"]), default="leave"
    )
    answers["dmarc"] = "" if dmarc == "leave" else dmarc
    if answers["dmarc"]:
        answers["dmarc_to"] = click.prompt("Mail address for DMARC reports (empty: none)", default="")
    answers["tls_reports_to"] = click.prompt("Mail address for TLS reports (empty: leave)", default="")
    return answers


def _several(question: str) -> tuple[str, ...]:
    text = click.prompt(f"{question}, with blanks between", default="", show_default=False)
    return tuple(str(text).replace(",", " ").split())


def _answers(face: Face, found: Survey, given: dict[str, Any]) -> Answers:
    return Answers(
        sends=not given["no_mail"],
        receives=not given["no_receive"],
        mx_sends=given["mx"] and not given["no_receive"],
        a_sends=given["own"],
        hosts=tuple(given["hosts"]),
        addresses=tuple(given["addresses"]),
        mx_of=tuple(given["mx_of"]),
        providers=tuple(given["providers"]),
        others=given["others"],
        dmarc=given["dmarc"] or "",
        dmarc_to=given["dmarc_to"],
        sts=given["mta_sts"] or "",
        tls_reports_to=given["tls_reports_to"],
        tlsa=_tlsa(face, found) if given["tlsa"] else (),
        dkim=_dkim(face, found) if given["dkim"] else (),
    )


def _dkim(face: Face, found: Survey) -> tuple[tuple[str, str], ...]:
    """Selector and record of each key of the domain. Raises WorldFault when a file cannot be read."""
    settings = face.configuration.settings
    if found.domain not in {name.lower().rstrip(".") for name in settings.dkim_signing.domains}:
        return ()
    keys = face.world.dkim_keys(settings)
    return tuple((key.selector, key.record) for _, key in keys if key.domain == found.domain)


def _tlsa(face: Face, found: Survey) -> tuple[tuple[str, str], ...]:
    """3 1 1 of each certificate, at the mail server it is for. Raises ValueError."""
    from gatepost.control.dns_tlsa import tlsa_of  # only who asks pays for cryptography

    doors = face.configuration.settings.receive_connectors.values()
    files = [door.certificate_file for door in doors if door.enabled and door.certificate_file]
    if not files:
        raise ValueError("no receive connector has a certificate-file of which TLSA records could be made")
    return tlsa_of(files, [host.name for host in found.hosts])


def _show(found: Survey) -> None:
    dnssec = "signed" if found.is_secure else "not signed, or our resolver does not validate"
    say(f"{found.domain}: zone {found.zone or 'unknown'} ({dnssec})")
    for kind, lines in found.as_lines().items():
        for line in lines:
            say(f"  {kind:18}  {line}{'(nothing)' if line.endswith(': ') else ''}")
    if found.spf_lookups:
        say(f"  {'SPF look-ups':18}  {found.spf_lookups} of {SPF_LOOKUPS_LIMIT}")
    for problem in found.problems:
        say(f"wrong: {problem}")
    for line in found.unknown:
        say(f"unknown: {line}")


def _show_plan(made: Plan, zone: str, lookups: int, problems: list[str]) -> None:
    say(f"; zone file of {zone}")
    for record in made.records:
        say(f"; {record.why}{' (published already)' if record.is_there else ''}")
        for old in record.replaces:
            if old != record.data:
                say(f"; instead of: {old}")
        say(zone_line(record))
    say(f"; SPF look-ups: {lookups} of {SPF_LOOKUPS_LIMIT}")
    say("\n; for the DNS server of Windows")
    for record in made.records:
        for line in dnscmd_lines(record, zone):
            say(line)
    if made.policy_file:
        say("\n; https://mta-sts.DOMAIN/.well-known/mta-sts.txt (text/plain), before the record is published")
        say(made.policy_file.replace("\r\n", "\n").rstrip("\n"))
    for problem in problems:
        say(f"consider: {problem}")


def _plan_json(made: Plan, zone: str, lookups: int, problems: list[str]) -> dict[str, Any]:
    return {
        "zone": zone,
        "spf_lookups": lookups,
        "records": [
            {
                "name": r.name,
                "type": r.kind,
                "data": r.data,
                "line": zone_line(r),
                "dnscmd": dnscmd_lines(r, zone),
                "replaces": list(r.replaces),
                "published": r.is_there,
            }
            for r in made.records
        ],
        "policy_file": made.policy_file,
        "problems": problems,
    }


def _as_json(found: Survey) -> dict[str, Any]:
    return {
        "domain": found.domain,
        "zone": found.zone,
        "secure": found.is_secure,
        "published": found.as_lines(),
        "spf_lookups": found.spf_lookups,
        "problems": found.problems,
        "unknown": found.unknown,
    }
