"""What a mail adds to the DMARC report of its author's domain: facts and outcome, in the words of RFC 9990."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from gatepost.facts.dkim import DkimResults
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.spf import SpfResult
from gatepost.model.known import MailView
from gatepost.model.verdict import Action, Disposition
from gatepost.policy.folding import MailOutcome
from gatepost.standards.dmarc_report_writing import SeenMail

DMARC_AGENT: Final = "dmarc"
SIGNATURES_LIMIT: Final = 5
"""Signatures told of, those in line with an author first."""
_NAME_LIMIT_CHARS: Final = 253
_RESULTS: Final = frozenset({"none", "pass", "fail", "policy", "neutral", "temperror", "permerror"})


class DmarcReports(Protocol):
    """Who counts."""

    def note(self, view: MailView, facts: Iterable[Any], outcome: MailOutcome) -> None:
        """A mail was judged."""


def seen_mail(
    view: MailView, facts: Iterable[Any], outcome: MailOutcome
) -> tuple[DmarcResult, SeenMail] | None:
    """None when nobody wants to hear of it: no report address, no answer of the DNS, or the mail comes again."""
    of = {type(fact): fact for fact in facts}
    dmarc = of.get(DmarcResult)
    if dmarc is None or not dmarc.rua or dmarc.result not in ("pass", "fail"):
        return None
    if outcome.refusal is not None and outcome.refusal.action is not Action.REJECT:
        return None
    disposition = _disposition(dmarc, outcome)
    spf, dkim = of.get(SpfResult), of.get(DkimResults)
    return dmarc, SeenMail(
        source_ip=view.session.origin_ip,
        disposition=disposition,
        dkim=dmarc.dkim_aligned,
        spf=dmarc.spf_aligned,
        header_from=_plain(dmarc.from_domain),
        envelope_from=_plain(view.sender.domain),
        reasons=_reasons(dmarc, disposition),
        signatures=tuple(
            (_plain(one.domain), _plain(one.selector), one.result)
            for one in (dkim.signatures if dkim is not None else ())
            if one.domain and one.result in _RESULTS
        )[:SIGNATURES_LIMIT],
        spf_domain=_plain(spf.domain) if spf is not None else "",
        spf_result=spf.result if spf is not None else "",
    )


def _disposition(dmarc: DmarcResult, outcome: MailOutcome) -> str:
    """What was done because of DMARC; what other filters did with the mail is not told."""
    if dmarc.result == "pass":
        return "none" if dmarc.policy == "none" else "pass"
    decided: tuple[Disposition, ...] = (outcome.refusal,) if outcome.refusal is not None else ()
    decided = (*decided, *(d.disposition for group in outcome.groups for d in group.decisions))
    ours = {one.action for one in decided if one.decided_by == DMARC_AGENT}
    if Action.REJECT in ours:
        return "reject"
    return "quarantine" if Action.QUARANTINE in ours else "none"


def _reasons(dmarc: DmarcResult, disposition: str) -> tuple[tuple[str, str], ...]:
    """Why something else was done than the domain asks for (RFC 9990: not left out when it was)."""
    if dmarc.result == "pass" or disposition == dmarc.policy:
        return ()
    reasons: tuple[tuple[str, str], ...] = ()
    if dmarc.override:
        reasons = ((dmarc.override, ""),)
    if dmarc.testing:
        reasons = (*reasons, ("policy_test_mode", ""))
    if not reasons or (not dmarc.override and disposition != dmarc.asks_for):
        reasons = (*reasons, ("local_policy", ""))
    return reasons


def _plain(text: str) -> str:
    """Bounded, and writable as UTF-8."""
    return text[:_NAME_LIMIT_CHARS].encode("utf-8", "replace").decode("utf-8")
