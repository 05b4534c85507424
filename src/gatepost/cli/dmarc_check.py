"""gatepost test dmarc: whose record applies to an author's domain, and whether something proves that domain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from gatepost.cli.front import EXIT_WORLD, Face
from gatepost.cli.output import json_option, say, say_json
from gatepost.cli.zone_option import asked, zone_option

if TYPE_CHECKING:
    from gatepost.ports.resolver import Lookup
    from gatepost.standards.dmarc import Evaluation


@click.command()
@click.argument("author", metavar="DOMAIN|AUTHOR")
@click.option("--spf", "spf_domain", metavar="DOMAIN", default="", help="The domain that SPF proved.")
@click.option(
    "--dkim", "dkim_domains", metavar="DOMAIN", multiple=True, help="A domain that a signature proved."
)
@zone_option
@json_option
@click.pass_obj
def dmarc(
    face: Face, /, author: str, spf_domain: str, dkim_domains: tuple[str, ...], zone: str, as_json: bool
) -> None:
    """Whose DMARC record applies to a domain in From, and does what SPF and DKIM proved stand for it?

    Exit status 3 when the DNS did not say (temperror), else 0.
    """
    from gatepost.standards.dmarc import Proven, evaluate

    domain = _domain(author)
    proven = Proven(
        spf_domain=_domain(spf_domain) if spf_domain else "", dkim_domains=tuple(map(_domain, dkim_domains))
    )
    settings, questions = face.configuration.settings, list[tuple[str, str]]()

    async def ask(lookup: Lookup) -> Evaluation:
        found = await evaluate([domain], proven, _Asked(lookup, questions), timeout_s=settings.dns.timeout_s)
        return found[0]

    evaluation: Evaluation = asked(face, zone, ask)
    if as_json:
        say_json(_as_json(evaluation, questions))
    else:
        for name, answer in questions:
            say(f"? {name}: {answer}")
        say()
        _say(evaluation)
    if evaluation.result == "temperror":
        raise click.exceptions.Exit(EXIT_WORLD)


@dataclass
class _Asked:
    """Asks and remembers. Keeps the promise of standards.dmarc_walk.DnsTexts."""

    lookup: Lookup
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        from gatepost.model.fault import WorldFault
        from gatepost.ports.resolver import RecordType

        try:
            found = await self.lookup.look_up(name, RecordType.TXT, timeout_s=timeout_s)
        except WorldFault as fault:
            self.asked.append((name, fault.reason))
            raise
        records = tuple(record for record in found.records if isinstance(record, bytes))
        shown = " | ".join(record.decode("ascii", "replace") for record in records)
        self.asked.append((name, shown[:500] or "nothing"))
        return records

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        from gatepost.ports.resolver import RecordType

        found = await self.lookup.look_up(name, RecordType.A, timeout_s=timeout_s)
        self.asked.append((name, "exists" if found.exists else "does not exist"))
        return found.exists


def _domain(text: str) -> str:
    """As A-labels. Raises click.BadParameter."""
    from gatepost.model.fault import PeerFault
    from gatepost.protocol.addresses import canonical_domain

    try:
        return canonical_domain(text.rpartition("@")[2])
    except PeerFault as fault:
        raise click.BadParameter(
            f"{text[:255]!r} is neither a domain nor an address: {fault.reason}"
        ) from fault


def _say(found: Evaluation) -> None:
    by = f" by {found.aligned_with}" if found.aligned_with else ""
    say(f"{found.result}{by}: mail of {found.from_domain}")
    if found.policy_domain:
        testing = " (t=y: one step less)" if found.testing else ""
        say(f"{found.policy_domain} asks for: {found.policy.word}{testing}")
    if found.record is not None:
        for note in found.record.notes:
            say(f"note: {note}")
    if found.reason:
        say(f"because: {found.reason}")


def _as_json(found: Evaluation, asked: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "result": found.result,
        "from_domain": found.from_domain,
        "policy_domain": found.policy_domain,
        "policy": found.policy.word if found.policy_domain else "",
        "testing": found.testing,
        "aligned_with": found.aligned_with,
        "reason": found.reason,
        "notes": list(found.record.notes) if found.record is not None else [],
        "questions": [{"name": name, "answer": answer} for name, answer in asked],
    }
