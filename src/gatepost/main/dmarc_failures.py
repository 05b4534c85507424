"""Tells domains of single mails that failed in their name, where that is switched on (RFC 9991; threats J39)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from gatepost.config.dmarc_report_settings import DmarcReports
from gatepost.facts.dkim import DkimResults
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.spf import SpfResult
from gatepost.main.nightly_reports import day_of
from gatepost.main.report_post import Letter, PostContent
from gatepost.message.fields import date_text
from gatepost.message.headers import HeaderIndex
from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.content import Content
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.known import MailView
from gatepost.model.verdict import Action
from gatepost.notices.failure_report import FailureReport, compose_failure_report
from gatepost.policy.folding import MailOutcome
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import Resolver
from gatepost.ports.shared import SharedState
from gatepost.ports.world import Clock, Randomness
from gatepost.protocol.addresses import parse_mailbox
from gatepost.standards.authentication_results import MethodResult, results_value
from gatepost.standards.dmarc_destinations import accepted_address, consent_name
from gatepost.standards.dmarc_failure import Checked, failure_to_tell
from gatepost.standards.dmarc_record import ReportAddress

KIND: Final = "failure"
SPACE: Final = "dmarc-failure-reports"
"""Shared: how many were sent, by day and domain."""
READERS_LIMIT: Final = 2
"""Addresses of one domain that are told."""
PENDING_LIMIT: Final = 50
"""Reports of one worker whose addresses are being looked up; more are not sent."""
KEPT_S: Final = 2 * 86400.0
AGENT: Final = "Gatepost"
SIGNATURES_LIMIT: Final = 5
_SPF_FAILURES: Final = frozenset(("fail", "softfail"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureWorld:
    """The ports, and who we are. resting: the shared space of addresses that get no reports for a time.

    silent_for: addresses whose mail is never reported on: those that get reports themselves.
    """

    resolver: Resolver
    clock: Clock
    log: Log
    counters: Counters
    shared: SharedState
    randomness: Randomness
    post: PostContent
    hostname: str
    timeout_s: float
    resting: str
    silent_for: frozenset[str] = frozenset()


class FailureReporter:
    """One worker's; the limits are those of all workers together."""

    def __init__(self, settings: DmarcReports, world: FailureWorld) -> None:
        self._settings = settings
        self._world = world
        self._sender = parse_mailbox(settings.sender)
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, view: MailView, facts: Iterable[Any], outcome: MailOutcome) -> None:
        """A mail was judged. Decides at once, and looks up and sends behind the answer."""
        of = {type(fact): fact for fact in facts}
        dmarc = of.get(DmarcResult)
        if dmarc is None or not dmarc.ruf or dmarc.result not in ("pass", "fail"):
            return
        if outcome.refusal is not None and outcome.refusal.action is not Action.REJECT:
            return  # it comes again
        checked = _checked(dmarc, of.get(DkimResults), of.get(SpfResult))
        failure = failure_to_tell(dmarc.published[5] if len(dmarc.published) > 5 else "0", checked)
        if not failure:
            return
        if self._is_silent(view):
            self._count("silent")
        elif len(self._tasks) >= PENDING_LIMIT or not self._may_send(dmarc.policy_domain):
            self._count("limited")
        else:
            fields = _fields(view, dmarc, of, failure, outcome, self._world.hostname)
            task = asyncio.get_running_loop().create_task(
                self._report(view, dmarc, of.get(SpfResult), fields)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _is_silent(self, view: MailView) -> bool:
        """Never about a report, a notice, or anything that a machine answered with: nothing can go in circles."""
        if view.sender.is_null or view.sender.key in self._world.silent_for:
            return True
        recipients = view.envelope.recipients if view.envelope is not None else ()
        if any(one.address.key in self._world.silent_for for one in recipients):
            return True
        index = HeaderIndex.parse(view.head)
        said = (index.first(b"auto-submitted") or b"no").partition(b";")[0].strip().lower()
        kind = (index.first(b"content-type") or b"").lstrip().lower()
        return said != b"no" or kind.startswith((b"multipart/report", b"message/feedback-report"))

    def _may_send(self, domain: str) -> bool:
        """Count it, unless a limit of the day is reached."""
        now, shared = self._world.clock.now(), self._world.shared
        limits = {
            domain: self._settings.failure_reports_per_domain,
            "": self._settings.failure_reports_per_day,
        }
        keys = {f"{day_of(now)} {name}": limit for name, limit in limits.items()}
        for key, limit in keys.items():
            counted = shared.counts(SPACE, key, fading=math.inf, now=now)
            if counted is not None and counted[0] >= limit:
                return False
        for key in keys:
            shared.add(SPACE, key, (1.0,), fading=math.inf, now=now, expires_at=now + KEPT_S)
        return True

    async def _report(
        self, view: MailView, dmarc: DmarcResult, spf: SpfResult | None, fields: tuple[tuple[str, str], ...]
    ) -> None:
        domain = dmarc.policy_domain
        told: set[Address] = set()
        record = await self._spf_record(spf)
        for mailbox, limit_bytes in dmarc.ruf[:READERS_LIMIT]:
            try:
                reader, most_bytes = await self._place(domain, ReportAddress(mailbox, limit_bytes))
                if reader in told:
                    continue
                if self._world.shared.get(self._world.resting, str(reader)) is not None:
                    self._tell(domain, "suppressed", str(reader))
                    continue
                told.add(reader)
                self._send(view, dmarc.from_domain, reader, (*fields, *record), most_bytes)
            except (WorldFault, PeerFault, ValueError) as fault:
                self._tell(domain, "failed", f"{mailbox}: {getattr(fault, 'reason', '') or fault}")
            else:
                self._tell(domain, "sent", str(reader))

    async def _place(self, domain: str, asked: ReportAddress) -> tuple[Address, int]:
        """Where to, and how large it may be; 0: of any size. Raises ValueError, PeerFault, WorldFault."""
        host = parse_mailbox(unquote(asked.mailbox)).domain
        world = self._world
        found = await accepted_address(
            domain, host, asked, world.resolver, timeout_s=world.timeout_s, of_failures=True
        )
        if found is None:
            raise ValueError(f"{consent_name(domain, host)} does not say that it wants reports of {domain}")
        limits = [limit for limit in (asked.limit_bytes, found.limit_bytes) if limit]
        return parse_mailbox(unquote(found.mailbox)), min(limits, default=0)

    async def _spf_record(self, spf: SpfResult | None) -> tuple[tuple[str, str], ...]:
        """What RFC 6591 wants beside an SPF result: asked for again, which the cache answers."""
        if spf is None or not spf.domain:
            return ()
        try:
            texts = await self._world.resolver.texts(spf.domain, timeout_s=self._world.timeout_s)
        except (WorldFault, PeerFault):
            return ()
        found = [text.decode("ascii", "replace") for text in texts if text[:6].lower() == b"v=spf1"]
        plain = found[0].replace("\\", "?").replace('"', "?") if len(found) == 1 else ""
        return (("SPF-DNS", f'txt : {spf.domain} : "{plain}"'),) if plain else ()

    def _send(
        self,
        view: MailView,
        author: str,
        reader: Address,
        fields: tuple[tuple[str, str], ...],
        most_bytes: int,
    ) -> None:
        """Raises ValueError when it would be too large."""
        world, now = self._world, self._world.clock.now()
        body = (
            view.content.body
            if view.content is not None and self._settings.failure_reports == "whole"
            else None
        )
        token = world.randomness.token_hex(16)
        report = FailureReport(
            sender=self._sender,
            reader=reader,
            domain=author,
            message_id=f"<{token}@{world.hostname}>",
            text=(
                f"A mail in the name of {author} came to {world.hostname} and was not proved to be from there.\n"
                f"You get this because the DMARC record of the domain asks for it (ruf).\n"
            ),
            fields=fields,
            head=view.head,
            body=body if isinstance(body, bytes) else None,
        )
        content = compose_failure_report(report, agent=AGENT, now=now, token=token)
        if most_bytes and content.size_bytes > most_bytes:
            raise ValueError(
                f"a report of {content.size_bytes} octets is larger than the {most_bytes} that are wanted"
            )
        self._post(reader, report.message_id, content)

    def _post(self, reader: Address, message_id: str, content: Content) -> None:
        """Without a return path: nobody is to answer it."""
        self._world.post(Letter(sender=NULL_SENDER, reader=reader, message_id=message_id), content)

    def _count(self, result: str) -> None:
        self._world.counters.add("dmarc_failure_reports", 1, result=result)

    def _tell(self, domain: str, result: str, what: str) -> None:
        self._count(result)
        level = "warning" if result == "failed" else "info"
        self._world.log.write(level, f"dmarc-failure-report-{result}", domain=domain, what=what)


def _checked(dmarc: DmarcResult, dkim: DkimResults | None, spf: SpfResult | None) -> Checked:
    return Checked(
        failed=dmarc.result == "fail",
        dkim_aligned=dmarc.dkim_aligned,
        spf_aligned=dmarc.spf_aligned,
        dkim_failed=dkim is not None and any(one.result == "fail" for one in dkim.signatures),
        spf_failed=spf is not None and spf.result in _SPF_FAILURES,
    )


def _fields(
    view: MailView, dmarc: DmarcResult, of: dict[type, Any], failure: str, outcome: MailOutcome, hostname: str
) -> tuple[tuple[str, str], ...]:
    """The machine's part, as RFC 5965, RFC 6591 and RFC 9991 name the fields. Recipients are not in it."""
    dkim, spf = of.get(DkimResults), of.get(SpfResult)
    proved = [word for word, good in (("dkim", dmarc.dkim_aligned), ("spf", dmarc.spf_aligned)) if good]
    results = [
        MethodResult(method="dmarc", result=dmarc.result, properties=(("header.from", dmarc.from_domain),))
    ]
    fields = [
        ("Arrival-Date", date_text(view.now)),
        ("Source-IP", view.session.origin_ip),
        ("Reporting-MTA", f"dns; {hostname}"),
        ("Original-Mail-From", f"<{view.sender}>"),
        ("Reported-Domain", dmarc.from_domain),
        ("Auth-Failure", failure),
        ("Identity-Alignment", ", ".join(proved) or "none"),
        ("Delivery-Result", _delivery_result(outcome)),
    ]
    if spf is not None:
        identity = "smtp.helo" if spf.identity == "helo" else "smtp.mailfrom"
        results.append(MethodResult(method="spf", result=spf.result, properties=((identity, spf.domain),)))
    signatures = dkim.signatures[:SIGNATURES_LIMIT] if dkim is not None else ()
    for one in signatures:
        named = (("header.d", one.domain), ("header.s", one.selector))
        results.append(MethodResult(method="dkim", result=one.result, properties=named))
    broken = next((one for one in signatures if one.result == "fail"), signatures[0] if signatures else None)
    if broken is not None:
        fields += [
            ("DKIM-Domain", broken.domain),
            ("DKIM-Selector", broken.selector),
            ("DKIM-Identity", broken.identity),
        ]
    return (*fields, ("Authentication-Results", results_value(hostname, results)))


def _delivery_result(outcome: MailOutcome) -> str:
    if outcome.refusal is not None:
        return "reject"
    actions = {group.action for group in outcome.groups}
    return "delivered" if actions & {Action.PASS, Action.TAG} else "policy"
