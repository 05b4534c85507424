"""Agent: mail from outside that poses as our own: our domains in From, beside it, or look-alikes (J27, K01)."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar, Final, Literal

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.author import Author
from gatepost.facts.dmarc import DmarcResult, proven_domains
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict
from gatepost.standards.lookalikes import Lookalikes

NOT_AUTHENTICATED: Final = Reply(
    550, "5.7.1", "Mail from our own domains is taken only when it is authenticated"
)
WORDS_LIMIT: Final = 50
_WORD: Final = re.compile(r"[\w.-]+")

FORGED = Finding(
    name="own-domain-forged",
    means="From names a domain of ours, and neither SPF nor DKIM proves that it comes from there.",
    points=3.0,
)
IN_NAME = Finding(
    name="own-domain-in-name",
    means="The name beside a stranger's address contains a domain of ours.",
    points=2.0,
)
LOOKALIKE = Finding(
    name="own-domain-lookalike", means="The author's domain looks like one of ours and is not.", points=2.5
)


class Settings(FilterTable):
    """[agents.own-domain-spoofing]"""

    forged: Literal["mark", "quarantine", "refuse"] = setting(
        "Mail whose From names an accepted domain itself without proof: mark it, keep it for a person, or "
        "refuse it with 550 5.7.1. Your own users' mail comes back through mailing lists like that",
        default="mark",
    )
    lookalikes: bool = setting("Whether domains that look like ours are looked for", default=True)


class OwnDomainSpoofing:
    """Mark mail from outside that poses as ours; refuse plain forgeries where the settings say so."""

    name: ClassVar[str] = "own-domain-spoofing"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_DATA: (Author, DmarcResult)}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    judges_origin: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (FORGED, IN_NAME, LOOKALIKE)

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._accepted = site.accepted_domains
        self._names = frozenset(site.accepted_domains.own_names)
        self._lookalikes = Lookalikes(self._names if settings.lookalikes else ())
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """Findings; and what `forged` says about an accepted domain in From without proof."""
        author = known[Author]
        if mail.session.user or not self._names:
            return self._silent
        claimed = [one for one in author.all_domains if self._is_ours_or_below(one)]
        if claimed:
            return self._judge_claim(mail, known, author, claimed)
        found: list[Finding] = []
        if any(self._names_us(name) for name in author.display_names):
            found.append(IN_NAME)
        like = next((like for domain in author.domains if (like := self._lookalikes.resembled(domain))), "")
        if like:
            found.append(LOOKALIKE)
        if not found:
            return self._silent
        reason = f"{author.domains[0]} looks like {like}" if like else ""
        return Verdict(agent=self.name, findings=tuple(found), reason=reason[:400], because=(author,))

    def _judge_claim(self, mail: MailView, known: Known, author: Author, claimed: list[str]) -> Verdict:
        dmarc, proven = known[DmarcResult], proven_domains(mail, known)
        by_us = [d for d in (proven.spf_domain, *proven.dkim_domains) if d and self._is_ours_or_below(d)]
        if dmarc.result == "pass" or (by_us and not author.problem):
            return self._silent
        silent = next((one for one in proven.unchecked if self._is_ours_or_below(one.domain)), None)
        if (silent is not None or dmarc.result == "temperror") and not author.problem:
            why = (
                f"{silent.method} of {silent.domain} could not be checked"
                if silent is not None
                else dmarc.reason
            )
            return Verdict(agent=self.name, reason=f"not known: {why[:300]}")
        because = (author, dmarc)
        is_exact = any(self._accepted.holds_own(domain) for domain in claimed)
        if dmarc.override or not is_exact or self._settings.forged == "mark":
            return Verdict(agent=self.name, findings=(FORGED,), because=because)
        reason = f"From names {claimed[0]}, and nothing proves it"
        unless = "SPF or DKIM had proved a domain of ours, or forged were mark"
        refuses = self._settings.forged == "refuse"
        return Verdict(
            agent=self.name,
            action=Action.REJECT if refuses else Action.QUARANTINE,
            reply=NOT_AUTHENTICATED if refuses else None,
            findings=(FORGED,),
            reason=reason[:400],
            because=because,
            unless=unless,
        )

    def _is_ours_or_below(self, domain: str) -> bool:
        """An accepted domain of the organisation, or a host below one."""
        while domain:
            if domain in self._names:
                return True
            domain = domain.partition(".")[2]
        return False

    def _names_us(self, display_name: str) -> bool:
        if not display_name.isascii():
            display_name = _as_read(display_name)
        words = _WORD.findall(display_name.lower())[:WORDS_LIMIT]
        return any("." in word and self._is_named(word.strip(".-_")) for word in words)

    def _is_named(self, word: str) -> bool:
        if self._is_ours_or_below(word):
            return True
        return not word.isascii() and bool(self._lookalikes.resembled(word))


def _as_read(text: str) -> str:
    """As a person reads it: full-width letters and dots as plain ones, without what cannot be seen."""
    return unicodedata.normalize("NFKC", text).translate(_AS_READ)


_AS_READ: Final = {ord(odd): "." for odd in "\u3002\uff61"} | {ord(unseen): None for unseen in "\ufffd\u00ad"}
