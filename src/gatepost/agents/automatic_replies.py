"""Agent: out-of-office notes and other automatic replies that a remote domain is not to see (remote-domains)."""

from __future__ import annotations

from typing import ClassVar, Final

from gatepost.config.agent_table import AgentTable
from gatepost.message.headers import HeaderIndex
from gatepost.model.known import Known, MailView
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict

_MARKS: Final = (b"x-autoreply", b"x-autorespond", b"x-auto-reply")
_REPORT: Final = b"multipart/report"


class AutomaticReplies:
    """Drop automatic replies to domains that get none; their authors hear nothing of it."""

    name: ClassVar[str] = "automatic-replies"
    settings_type: ClassVar[type[AgentTable]] = AgentTable
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_HEADERS: ()}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = False
    findings: ClassVar[tuple[Finding, ...]] = ()

    def __init__(self, _settings: AgentTable, site: Site) -> None:
        self._allowed = site.automatic_replies
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, _known: Known) -> Verdict:
        """Looks at the header section only where some domain gets no replies."""
        if self._allowed is None or mail.envelope is None:
            return self._silent
        unwanted = tuple(
            r.address for r in mail.envelope.recipients if not self._allowed.entry_for(r.address.domain)
        )
        if not unwanted or not is_automatic_reply(HeaderIndex.parse(mail.head)):
            return self._silent
        return Verdict(
            agent=self.name,
            action=Action.DISCARD,
            reason="an automatic reply to a domain that gets none",
            recipients=unwanted,
            unless="automatic-replies of the recipient's remote domain were true",
        )


def is_automatic_reply(index: HeaderIndex) -> bool:
    """Whether a program answered a person's mail (RFC 3834 §5). Reports of delivery are no such replies."""
    if (index.first(b"content-type") or b"").lower().startswith(_REPORT):
        return False
    submitted = (index.first(b"auto-submitted") or b"").partition(b";")[0].strip().lower()
    if submitted == b"auto-replied" or any(index.count(name) for name in _MARKS):
        return True
    return (index.first(b"precedence") or b"").strip().lower() == b"auto_reply"
