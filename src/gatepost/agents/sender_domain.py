"""Agent: senders to whom nothing could be sent back: their domain does not exist, or takes no mail (threats F38)."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.sender_domain import Mailable, SenderDomain
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict

CANNOT_TELL: Final = Reply(451, "4.4.3", "The sender's domain cannot be looked up now, try again later")
_REPLIES: Final = {
    Mailable.NO_DOMAIN: Reply(550, "5.1.8", "The sender's domain has no mail server"),
    Mailable.NULL_MX: Reply(550, "5.7.27", "The sender's domain takes no mail"),
    Mailable.NOT_PUBLIC: Reply(550, "5.1.8", "The sender's domain has no mail server that can be reached"),
}
NO_DOMAIN: Final = Finding(
    name="sender-domain-missing",
    means="The return path's domain has no mail server and no address.",
    points=2.0,
)
NULL_MX: Final = Finding(
    name="sender-domain-null-mx", means="The return path's domain says that it takes no mail.", points=2.0
)
NOT_PUBLIC: Final = Finding(
    name="sender-domain-not-public",
    means="All mail servers of the return path's domain have private or loopback addresses.",
    points=2.0,
)
_FINDINGS: Final = {
    Mailable.NO_DOMAIN: NO_DOMAIN,
    Mailable.NULL_MX: NULL_MX,
    Mailable.NOT_PUBLIC: NOT_PUBLIC,
}


class Settings(FilterTable):
    """[agents.sender-domain]"""

    enabled: bool = setting(
        "Whether the agent is asked; every mail of strangers then waits for the DNS at MAIL", default=False
    )
    refuse: tuple[Literal["no-domain", "null-mx", "not-public"], ...] = setting(
        "What is refused, with 550 5.1.8 or 5.7.27, and put off with 451 while the DNS does not say; the others are "
        "worth points",
        default=(),
    )


class SenderDomainCheck:
    """Score or refuse senders whose domain cannot be written to."""

    name: ClassVar[str] = "sender-domain"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.MAIL: (SenderDomain,)}
    when_unknown: Action = Action.PASS
    unknown_reply: ClassVar[Reply] = CANNOT_TELL
    is_filter: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (NO_DOMAIN, NULL_MX, NOT_PUBLIC)

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._refused = frozenset(settings.refuse)
        self._silent = Verdict(agent=self.name)
        if self._refused:
            self.when_unknown = Action.DEFER

    def examine(self, mail: MailView, known: Known) -> Verdict:  # noqa: ARG002  # every agent's signature
        """550, or a finding."""
        fact = known[SenderDomain]
        if fact.mailable is Mailable.YES:
            return self._silent
        because, reason = (
            (fact,),
            f"{fact.domain} is {fact.mailable.value} {' '.join(fact.hosts)}".strip()[:400],
        )
        unless = f"{fact.domain} had a mail server at a public address"
        if fact.mailable.value in self._refused:
            return Verdict.reject(self.name, _REPLIES[fact.mailable], reason, because=because, unless=unless)
        return Verdict(
            agent=self.name,
            findings=(_FINDINGS[fact.mailable],),
            reason=reason,
            because=because,
            unless=unless,
        )
