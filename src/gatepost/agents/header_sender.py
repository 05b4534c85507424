"""Agent: who logged in writes as itself in the header, too, not only in MAIL FROM (threats E11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from gatepost.config.agent_table import AgentTable
from gatepost.config.schema import setting
from gatepost.facts.account_addresses import AccountAddresses
from gatepost.facts.author import NO_FROM, Author, read_sender
from gatepost.model.address import Address
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.sending_as import NOTHING_MORE, may_send_as, may_send_for
from gatepost.model.session import Rights
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict

FROM_NOT_YOURS: Final = Reply(550, "5.7.1", "You may not use this address in From")
SENDER_NOT_YOURS: Final = Reply(550, "5.7.1", "You may not use this address in Sender")
UNCLEAR: Final = Reply(550, "5.7.1", "From and Sender must name you, each once and readable in one way")
_MAY_ANYTHING: Final = Rights.ANY_SENDER | Rights.OWN_DOMAIN_SENDER

NOT_OWN_FROM = Finding(
    name="not-own-from",
    means="An account's mail has an address in From or Sender that is not the account's.",
    points=0.0,
)


class Settings(AgentTable):
    """[agents.header-sender]"""

    action: Literal["off", "mark", "reject"] = setting(
        "What becomes of an account's mail whose From or Sender is not the account's: off: nobody looks; mark: "
        "on record only; reject: 550 5.7.1",
        default="reject",
    )


class HeaderSender:
    """Refuse mail of accounts whose From or Sender is somebody else's."""

    name: ClassVar[str] = "header-sender"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: Mapping[Stage, tuple[type, ...]] = {Stage.END_OF_HEADERS: (Author,)}
    when_unknown: ClassVar[Action] = Action.DEFER
    is_filter: ClassVar[bool] = False
    findings: ClassVar[tuple[Finding, ...]] = (NOT_OWN_FROM,)

    def __init__(self, settings: Settings, site: Site) -> None:
        self._rejects = settings.action == "reject"
        self._site = site
        self._silent = Verdict(agent=self.name)
        if settings.action == "off" or not site.knows_accounts:
            self.needs = {}
        elif site.knows_accounts:
            self.needs = {Stage.END_OF_HEADERS: (Author, AccountAddresses)}

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """From, of several addresses each; and Sender where there is one."""
        if not mail.session.user or _MAY_ANYTHING in mail.session.rights:
            return self._silent
        author, sender = known[Author], read_sender(mail.head)
        given = known.get(AccountAddresses)
        more = given.keys if given is not None else NOTHING_MORE
        if (stranger := self._stranger(sender, mail, more)) is not None:
            return self._said(SENDER_NOT_YOURS, f"Sender names {str(stranger)[:320]}", author)
        stranger = self._stranger(author, mail, more)
        if stranger is not None and not self._is_for_others(author, sender, mail, more):
            return self._said(FROM_NOT_YOURS, f"From names {str(stranger)[:320]}", author)
        unclear = sender.problem or ("" if author.problem == NO_FROM else author.problem)
        if unclear:
            return self._said(UNCLEAR, f"nobody can tell who writes: {unclear}", author)
        return self._silent

    def _stranger(self, author: Author, mail: MailView, more: frozenset[str]) -> Address | None:
        """The first address that the account may not send as."""
        return next((a for a in author.addresses if not may_send_as(a, mail.session, self._site, more)), None)

    def _is_for_others(self, author: Author, sender: Author, mail: MailView, more: frozenset[str]) -> bool:
        """The account says in Sender who it is, and may write for everybody in From."""
        return bool(sender.addresses) and all(
            may_send_for(a, mail.session, self._site) or may_send_as(a, mail.session, self._site, more)
            for a in author.addresses
        )

    def _said(self, reply: Reply, reason: str, author: Author) -> Verdict:
        return Verdict(
            agent=self.name,
            action=Action.REJECT if self._rejects else Action.PASS,
            reply=reply if self._rejects else None,
            findings=(NOT_OWN_FROM,),
            reason=reason,
            because=(author,),
            unless="the address were the account's by its name, users.addresses or the directory, or the account had "
            "the right own-domain-sender or any-sender",
        )
