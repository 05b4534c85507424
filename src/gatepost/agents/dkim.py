"""Agent: what DKIM signatures say against a mail (threats J13-J24); what they say for it is DMARC's to judge."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.dkim_replays import HALF_LIFE_S, KEPT_S, SPACE, DkimReplays
from gatepost.model.known import Known, MailView
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Tally, Verdict

WEAK_BITS = 2048

INVALID = Finding(
    name="dkim-invalid", means="The mail is signed, and not one of its signatures is good.", points=0.5
)
UNSETTLED = Finding(name="dkim-unsettled", means="The key of a signature could not be looked up.", points=0.0)
PARTIAL = Finding(
    name="dkim-partial",
    means="A good signature covers a part of the body only (l=): anything may have been added.",
    points=0.5,
)
WEAK_KEY = Finding(
    name="dkim-weak-key", means="A good signature was made with an RSA key below 2048 bits.", points=0.0
)
TESTING = Finding(name="dkim-testing", means="The signing domain only tries DKIM out (t=y).", points=0.0)
TOO_MANY = Finding(
    name="dkim-many-signatures", means="The mail has more signatures than are looked at.", points=0.5
)


REPLAYED = Finding(
    name="dkim-replayed",
    means="The same good signature reached more recipients in a day than replay-recipients: one mail sent again and "
    "again.",
    points=2.0,
)


class Settings(FilterTable):
    """[agents.dkim]"""

    replay_recipients: int = setting(
        "Recipients whom one signature may reach in a day before its mail is marked; 0: nobody counts",
        default=0,
        low=0,
    )


class Dkim:
    """Mark mail whose DKIM signatures are broken, cover only a part, or are weak."""

    name: ClassVar[str] = "dkim"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_DATA: (DkimResults,)}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (
        INVALID,
        UNSETTLED,
        PARTIAL,
        WEAK_KEY,
        TESTING,
        TOO_MANY,
        REPLAYED,
    )

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._silent = Verdict(agent=self.name)
        self._replays = settings.replay_recipients
        # What nobody wants to know is not found out, nor counted.
        self.wants: dict[Stage, tuple[type, ...]] = (
            {Stage.END_OF_DATA: (DkimReplays,)} if self._replays else {}
        )

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """Findings; nothing is refused for a signature (RFC 6376 §6.3)."""
        verdict = self._of_signatures(known[DkimResults])
        replays = known.get(DkimReplays) if self._replays else None
        return self._counted(mail, verdict, replays) if replays is not None and replays.uses else verdict

    def _counted(self, mail: MailView, verdict: Verdict, replays: DkimReplays) -> Verdict:
        """The same verdict with this mail counted, and marked when that is too much."""
        reached = len(mail.envelope.recipients) if mail.envelope is not None else 0
        effects = tuple(
            Tally(
                agent=self.name,
                space=SPACE,
                key=use.key,
                amounts=(float(reached),),
                fading=HALF_LIFE_S,
                expires_at=mail.now + KEPT_S,
            )
            for use in replays.uses
        )
        most = max(replays.uses, key=lambda use: use.recipients)
        if most.recipients + reached <= self._replays:
            return replace(verdict, effects=effects)
        said = f"the signature {most.key} reached {most.recipients + reached:.0f} recipients in a day"
        return replace(
            verdict,
            effects=effects,
            findings=(*verdict.findings, REPLAYED),
            because=(*verdict.because, replays),
            reason="; ".join(filter(None, (verdict.reason, said)))[:400],
            unless=f"agents.dkim.replay-recipients ({self._replays}) were higher",
        )

    def _of_signatures(self, results: DkimResults) -> Verdict:
        if not results.signatures:
            return self._silent
        found = _findings_of(results)
        if not found:
            return self._silent
        reasons = "; ".join(f"{s.domain or '?'}: {s.reason}" for s in results.signatures if s.reason)
        return Verdict(agent=self.name, findings=found, because=(results,), reason=reasons[:400])


def _findings_of(results: DkimResults) -> tuple[Finding, ...]:
    signatures = results.signatures
    good = [one for one in signatures if one.result == "pass"]
    unsettled = any(one.result == "temperror" for one in signatures)
    observed = (
        (not good and not unsettled and not all(_only_tries(one) for one in signatures), INVALID),
        (unsettled and not good, UNSETTLED),
        (any(not one.covers_whole_body for one in good), PARTIAL),
        (any(one.algorithm.startswith("rsa") and one.key_bits < WEAK_BITS for one in good), WEAK_KEY),
        (any(one.testing for one in signatures), TESTING),
        (results.left_out > 0, TOO_MANY),
    )
    return tuple(finding for seen, finding in observed if seen)


def _only_tries(signature: DkimSignature) -> bool:
    """RFC 6376 §3.6.1: a failure of a domain in testing must not count against the mail."""
    return signature.testing
