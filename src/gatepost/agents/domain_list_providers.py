"""Agent: mail that names domains which list providers list: in HELO, reverse DNS, the return path, or From."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from pydantic import field_validator

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.domain_listings import AuthorListings, DomainListings, ListedDomain
from gatepost.model.exempt_recipients import ExemptRecipients
from gatepost.model.known import Known, MailView
from gatepost.model.list_answer import NAME_PLACEHOLDERS, check_reply, reply_text
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict
from gatepost.protocol.addresses import address_key

LISTED_DOMAIN: Final = Finding(
    name="domain-on-a-provider-list",
    means="Providers list a domain of the client or the return path; what they are worth is below the threshold.",
    points=2.0,
)
LISTED_AUTHOR_DOMAIN: Final = Finding(
    name="author-on-a-provider-list",
    means="Providers list a domain in From; what they are worth together is below the threshold.",
    points=2.0,
)


class Settings(FilterTable):
    """[agents.domain-list-providers]"""

    threshold: float = setting(
        "Mail is refused when the weights of the providers that list a domain of it reach this; each counts once",
        default=1.0,
        low=0.01,
    )
    reply: str = setting(
        "Words of the refusal after 550 5.7.1 for providers without words of their own; {name} (the domain), {ip}, "
        "{provider}, {zone}, {code} and {text} are replaced",
        default="Mail not accepted, {name} is on a block list",
    )
    exempt_recipients: tuple[str, ...] = setting(
        'Recipients who get such mail all the same: "user@example.com", or "@example.com" for all of the domain',
        default=(),
    )

    @field_validator("reply")
    @classmethod
    def _is_a_reply(cls, text: str) -> str:
        return check_reply(text, NAME_PLACEHOLDERS)

    @field_validator("exempt_recipients")
    @classmethod
    def _are_addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        ExemptRecipients(entries, address_key)
        return entries


class DomainListProviders:
    """Refuse mail that names domains which enough providers list."""

    name: ClassVar[str] = "domain-list-providers"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[Mapping[Stage, tuple[type, ...]]] = {
        Stage.RCPT: (DomainListings,),
        Stage.END_OF_HEADERS: (AuthorListings,),
    }
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    judges_origin: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (LISTED_DOMAIN, LISTED_AUTHOR_DOMAIN)

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._settings = settings
        self._exempt = ExemptRecipients(settings.exempt_recipients, address_key)
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """At RCPT by the domains of client and return path, at the end of the headers by those in From, too."""
        envelope = known.get(DomainListings)
        ours = envelope.listed if envelope is not None else ()
        if mail.stage is Stage.RCPT:
            return self._weighed(mail, ours, (LISTED_DOMAIN,), (envelope,)) if ours else self._silent
        author = known.get(AuthorListings)
        theirs = author.listed if author is not None else ()
        is_first = (
            mail.session.origin_ip != mail.session.client_ip
        )  # behind a relay of ours, nothing was said yet
        if not theirs and not (ours and is_first):
            return self._silent
        findings = (
            *((LISTED_DOMAIN,) if ours and is_first else ()),
            *((LISTED_AUTHOR_DOMAIN,) if theirs else ()),
        )
        because = tuple(fact for fact in (envelope, author) if fact is not None and fact.listed)
        return self._weighed(mail, (*ours, *theirs), findings, because)

    def _weighed(
        self,
        mail: MailView,
        listed: Sequence[ListedDomain],
        findings: tuple[Finding, ...],
        because: tuple[object, ...],
    ) -> Verdict:
        reason = _said(listed)
        if _weight(listed) < self._settings.threshold:
            return Verdict(agent=self.name, reason=reason, findings=findings, because=because)
        refused = self._exempt.others_of(mail)
        if refused == ():
            return Verdict(
                agent=self.name, reason=f"{reason}, and the recipient is exempt"[:400], because=because
            )
        return Verdict.reject(
            self.name,
            Reply(550, "5.7.1", self._words(listed, mail.session.origin_ip)),
            reason,
            because=because,
            recipients=refused,
            unless=f"{listed[0].domain} were on fewer lists",
        )

    def _words(self, listed: Sequence[ListedDomain], ip: str) -> str:
        first = max(listed, key=lambda one: bool(one.weight))  # the first that has any weight
        return reply_text(
            first.reply or self._settings.reply,
            NAME_PLACEHOLDERS,
            name=first.domain,
            ip=ip,
            provider=first.provider,
            zone=first.zone,
            code=first.codes[0] if first.codes else "",
            text=first.text,
        )


def _weight(listed: Sequence[ListedDomain]) -> float:
    """Each provider once, however many domains of the mail it lists."""
    return sum({one.provider: one.weight for one in listed}.values())


def _said(listed: Sequence[ListedDomain]) -> str:
    words = (f"{one.domain} is on {one.provider} ({one.zone}: {' '.join(one.codes)})" for one in listed)
    return ", ".join(words)[:400]
