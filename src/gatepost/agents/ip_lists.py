"""Agent: our own lists of addresses: who is refused, and who is spared which filters."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import field_validator

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.ip_lists import IpListing
from gatepost.model.exempt_recipients import ExemptRecipients
from gatepost.model.known import Known, MailView
from gatepost.model.list_answer import REPLY_LIMIT_CHARACTERS
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, SkipFilters, Stage, Verdict
from gatepost.protocol.addresses import address_key

ALL_FILTERS: Final = "exchange"
"""In allow-skips: every antispam filter, as Exchange's allow list does."""


ABOUT_THE_ADDRESS: Final = ("block-list-providers", "sender-reputation", "helo-check", "greylisting")
"""The filters that judge the address and its host; the others judge whose mail it is (decision 0233)."""


class Settings(FilterTable):
    """[agents.ip-lists]"""

    refuse_at: Literal["rcpt", "connect"] = setting(
        "When a client on the block list is refused: rcpt: each recipient, so that records show who was written to; "
        "connect: at the greeting, with 554",
        default="rcpt",
    )
    reply: str = setting(
        "Words of the refusal after 550 5.7.1 for entries of people and feeds; {ip} is replaced",
        default="Your address {ip} is on a block list of this server",
    )
    machine_reply: str = setting(
        "The same for entries the gateway made itself (sender reputation)",
        default="Your address {ip} has sent too much unwanted mail, try again in a day or two",
    )
    exempt_recipients: tuple[str, ...] = setting(
        'Recipients who get mail of blocked clients all the same: "user@example.com", or "@example.com" for all of '
        "the domain; with refuse-at = connect there are none",
        default=(),
    )
    allow_skips: tuple[str, ...] = setting(
        "Antispam filters that do not look at mail of clients on the allow list, by agent; exchange: all of them, "
        "as Exchange does. The block list never refuses them",
        default=ABOUT_THE_ADDRESS,
        example='["exchange"]',
    )

    @field_validator("reply", "machine_reply")
    @classmethod
    def _is_a_reply(cls, text: str) -> str:
        if not text or len(text) > REPLY_LIMIT_CHARACTERS or not (text.isascii() and text.isprintable()):
            raise ValueError(f"is 1 to {REPLY_LIMIT_CHARACTERS} printable ASCII characters")
        return text

    @field_validator("exempt_recipients")
    @classmethod
    def _are_addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        ExemptRecipients(entries, address_key)
        return entries


class IpLists:
    """Refuse clients on the block list; spare clients on the allow list what allow-skips names."""

    name: ClassVar[str] = "ip-lists"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.CONNECT: (IpListing,), Stage.RCPT: (IpListing,)}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    judges_origin: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = ()

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._settings = settings
        self._at_connect = settings.refuse_at == "connect"
        self._exempt = ExemptRecipients(settings.exempt_recipients, address_key)
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """554 5.7.1 at the greeting or 550 5.7.1 for each recipient; or an effect that spares the client filters.

        Behind a relay of ours: at the end of the headers, and then 550 5.7.1 wherever the settings say.
        """
        listing = known[IpListing]
        if not listing.blocked_by and not listing.allowed_by:
            return self._silent
        behind_relay = mail.stage is Stage.END_OF_HEADERS
        at_connect = mail.stage is Stage.CONNECT
        if listing.allowed_by:
            return self._allowed(listing) if at_connect or behind_relay else self._silent
        if at_connect is not self._at_connect and not behind_relay:
            return self._silent
        blocked = None if at_connect or self._at_connect else self._exempt.others_of(mail)
        if blocked == ():
            return Verdict(
                agent=self.name,
                reason=f"{listing.address} is blocked, and the recipient is exempt",
                because=(listing,),
            )
        words = self._settings.machine_reply if listing.blocked_by_machine else self._settings.reply
        comment = f": {listing.blocked_comment}" if listing.blocked_comment else ""
        return Verdict.reject(
            self.name,
            Reply(554 if at_connect else 550, "5.7.1", words.replace("{ip}", listing.address)),
            f"{listing.blocked_by} is on the block list ({listing.blocked_source}){comment}"[:400],
            because=(listing,),
            recipients=blocked,
            unless=f"{listing.address} were not on the block list, or were on the allow list",
        )

    def _allowed(self, listing: IpListing) -> Verdict:
        comment = f": {listing.allowed_comment}" if listing.allowed_comment else ""
        return Verdict(
            agent=self.name,
            reason=f"{listing.allowed_by} is on the allow list ({listing.allowed_source}){comment}"[:400],
            because=(listing,),
            effects=(SkipFilters(),) if self._settings.allow_skips else (),
        )
