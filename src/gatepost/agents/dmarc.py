"""Agent: mail whose author domain does not stand behind it, and what that domain asks for (RFC 9989)."""

from __future__ import annotations

from typing import ClassVar, Final

from gatepost.config.agent_table import AgentTable
from gatepost.config.dmarc_settings import DmarcTable
from gatepost.facts.dmarc import DmarcResult
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict

CANNOT_TELL: Final = Reply(451, "4.4.3", "The DMARC policy cannot be looked up now, try again later")
_DOMAIN_LIMIT_CHARS: Final = 120

PASS = Finding(
    name="dmarc-pass", means="The author's domain stands behind the mail (DMARC pass).", points=0.0
)
FAIL_REJECT = Finding(
    name="dmarc-fail-reject",
    means="The author's domain does not stand behind the mail, and asks to refuse such mail.",
    points=4.0,
)
FAIL_QUARANTINE = Finding(
    name="dmarc-fail-quarantine",
    means="The author's domain does not stand behind the mail, and asks to set such mail aside.",
    points=3.0,
)
FAIL_NONE = Finding(
    name="dmarc-fail-none",
    means="The author's domain does not stand behind the mail, and asks for nothing.",
    points=0.5,
)
EXCUSED = Finding(
    name="dmarc-excused",
    means="DMARC failed, and a forwarder, mailing list or ARC sealer that you trust explains it.",
    points=0.0,
)
NO_AUTHOR = Finding(
    name="dmarc-no-author", means="Readers may disagree about who wrote the mail (From).", points=2.0
)
RECORD_BROKEN = Finding(
    name="dmarc-record-broken", means="The author domain's DMARC record cannot be used.", points=0.0
)
UNANSWERED = Finding(
    name="dmarc-unanswered", means="The DNS did not answer what DMARC needs to know.", points=0.0
)
_FAILS: Final = {"none": FAIL_NONE, "quarantine": FAIL_QUARANTINE, "reject": FAIL_REJECT}


class Dmarc:
    """Weigh the DMARC result; do what the author's domain asks where the settings say so."""

    name: ClassVar[str] = "dmarc"
    settings_type: ClassVar[type[AgentTable]] = DmarcTable
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_DATA: (DmarcResult,)}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    judges_origin: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (
        PASS,
        FAIL_REJECT,
        FAIL_QUARANTINE,
        FAIL_NONE,
        EXCUSED,
        NO_AUTHOR,
        RECORD_BROKEN,
        UNANSWERED,
    )

    def __init__(self, settings: DmarcTable, _site: Site) -> None:
        self._settings = settings
        self._silent = Verdict(agent=self.name)

    def examine(self, _mail: MailView, known: Known) -> Verdict:
        """A finding; 550 5.7.26 or quarantine by honour-policy; 451 4.4.3 by when-dns-fails."""
        result = known[DmarcResult]
        if result.result == "fail":
            return self._judge_failed(result)
        if result.result == "temperror" and self._settings.when_dns_fails == "defer":
            return Verdict.defer(
                self.name,
                CANNOT_TELL,
                f"DMARC of {result.from_domain}: {result.reason}"[:400],
                because=(result,),
                unless="the DNS had answered, or when-dns-fails were accept",
            )
        finding = {"pass": PASS, "temperror": UNANSWERED}.get(result.result)
        if result.result == "permerror":
            finding = RECORD_BROKEN if result.policy_domain else NO_AUTHOR
        if finding is None:
            return self._silent
        return Verdict(agent=self.name, findings=(finding,), because=(result,))

    def _judge_failed(self, result: DmarcResult) -> Verdict:
        if result.override:
            return Verdict(agent=self.name, findings=(EXCUSED,), because=(result,))
        findings: tuple[Finding, ...] = (_FAILS[result.policy],)
        if result.unclear_author:
            findings = (*findings, NO_AUTHOR)
        honour = self._settings.honour_policy
        asked = result.asks_for
        if honour == "off" or asked == "none":
            return Verdict(agent=self.name, findings=findings, because=(result,))
        reason = f"DMARC failed for {result.from_domain}, {result.policy_domain} asks for {asked}"
        unless = "SPF or DKIM had proved the domain in From, or honour-policy were off"
        if asked == "reject" and honour == "as-published":
            return Verdict(
                agent=self.name,
                action=Action.REJECT,
                reply=refusal(result),
                findings=findings,
                reason=reason,
                because=(result,),
                unless=unless,
            )
        return Verdict(
            agent=self.name,
            action=Action.QUARANTINE,
            findings=findings,
            reason=reason,
            because=(result,),
            unless=unless,
        )


def refusal(result: DmarcResult) -> Reply:
    """550 5.7.26 (RFC 7372: several authentication checks failed), naming whose policy it is."""
    author, owner = result.from_domain[:_DOMAIN_LIMIT_CHARS], result.policy_domain[:_DOMAIN_LIMIT_CHARS]
    return Reply(
        550, "5.7.26", f"Mail from {author} is not authenticated, as the DMARC policy of {owner} asks"
    )
