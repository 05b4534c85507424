"""Agent: Sender ID, as Exchange asks it about the address that a mail's header holds responsible."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import field_validator

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.sender_id import SenderIdResult
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, AddHeader, Edit, Finding, RemoveHeader, Stage, Verdict
from gatepost.protocol.addresses import parse_mailbox
from gatepost.protocol.domain_entries import check_domain_entries, domain_entries

RESULT_FIELD: Final = "X-Gatepost-Sender-ID"
EXCHANGE_RESULT: Final = "X-MS-Exchange-Organization-SenderIdResult"
EXCHANGE_DOMAIN: Final = "X-MS-Exchange-Organization-PRD"
CANNOT_TELL: Final = Reply(450, "4.4.3", "Sender ID check is temporarily unavailable")
NO_PRA: Final = Reply(550, "5.7.1", "Missing purported responsible address")
_REFUSALS: Final = {
    "not-permitted": Reply(550, "5.7.1", "Sender ID (PRA) Not Permitted"),
    "no-pra": NO_PRA,
    "malformed-domain": Reply(550, "5.7.1", "Sender ID (PRA) Malformed Domain"),
    "domain-does-not-exist": Reply(550, "5.7.1", "Sender ID (PRA) Domain Does Not Exist"),
}
FAIL: Final = Finding(
    name="sender-id-fail",
    means="The domain of the responsible address forbids the client to send.",
    points=1.5,
)
MISSING: Final = Finding(
    name="sender-id-no-pra",
    means="The header names no responsible address, or a domain that is none.",
    points=1.0,
)
SOFTFAIL: Final = Finding(
    name="sender-id-softfail",
    means="The domain of the responsible address says that the client is probably not its own.",
    points=0.5,
)
_WORDS: Final = {
    "pass": "Pass",
    "fail": "Fail",
    "softfail": "SoftFail",
    "neutral": "Neutral",
    "none": "None",
    "temperror": "TempError",
    "permerror": "PermError",
}


class Settings(FilterTable):
    """[agents.sender-id]"""

    enabled: bool = setting(
        "Whether the agent is asked; true does what Exchange does by default: every result is stamped",
        default=False,
    )
    on_fail: Literal["stamp", "reject", "delete"] = setting(
        "What becomes of mail whose result is fail, besides the stamp; softfail and errors are only stamped. "
        '"delete" answers as if it were taken, and keeps the record only',
        default="stamp",
    )
    on_temperror: Literal["stamp", "defer"] = setting(
        "What becomes of mail whose responsible domain cannot be asked now", default="stamp"
    )
    exchange_fields: bool = setting(
        f"Stamp {EXCHANGE_RESULT} and {EXCHANGE_DOMAIN}, too, for an Exchange server behind us that believes them",
        default=False,
    )
    bypassed_recipients: tuple[str, ...] = setting("Recipients whose mail is not judged", default=())
    bypassed_sender_domains: tuple[str, ...] = setting(
        'Responsible domains that are not judged, "example.com" or "*.example.com" for those below it',
        default=(),
    )

    @field_validator("bypassed_sender_domains")
    @classmethod
    def _are_domains(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        return check_domain_entries(entries)

    @field_validator("bypassed_recipients")
    @classmethod
    def _are_addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            _key(entry)
        return entries


class SenderId:
    """Stamp what the responsible address's domain says about the client; refuse or drop a fail where told."""

    name: ClassVar[str] = "sender-id"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_HEADERS: (SenderIdResult,)}
    unknown_reply: ClassVar[Reply] = CANNOT_TELL
    is_filter: ClassVar[bool] = True
    judges_origin: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (FAIL, MISSING, SOFTFAIL)
    when_unknown: Action = Action.PASS

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._settings = settings
        self._bypassed_domains = domain_entries(settings.bypassed_sender_domains)
        self._bypassed = frozenset(_key(entry) for entry in settings.bypassed_recipients)
        self._silent = Verdict(agent=self.name)
        if settings.on_temperror == "defer":
            self.when_unknown = Action.DEFER

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """A client that is not checked gets no stamp, as one whose address Exchange does not know."""
        fact = known[SenderIdResult]
        if fact.result == "none" and fact.problem:
            return self._silent
        if self._bypassed_domains is not None and self._bypassed_domains.entry_for(fact.domain):
            return self._silent
        recipients = self._judged(mail)
        if recipients == ():
            return self._silent
        action, reply = self._action(fact)
        return Verdict(
            agent=self.name,
            action=action,
            reply=reply,
            findings=_found(fact),
            reason=_said(fact),
            because=(fact,),
            edits=self._stamps(fact),
            recipients=recipients,
            unless="" if action is Action.PASS else self._unless(fact),
        )

    def _judged(self, mail: MailView) -> tuple[Address, ...] | None:
        """None: all of them."""
        if not self._bypassed or mail.envelope is None:
            return None
        addresses = [recipient.address for recipient in mail.envelope.recipients]
        judged = tuple(address for address in addresses if address.key not in self._bypassed)
        return None if addresses and len(judged) == len(addresses) else judged

    def _action(self, fact: SenderIdResult) -> tuple[Action, Reply | None]:
        if fact.result == "temperror" and self._settings.on_temperror == "defer":
            return Action.DEFER, CANNOT_TELL
        if fact.result == "fail" and self._settings.on_fail == "reject":
            return Action.REJECT, _REFUSALS.get(fact.reason, _REFUSALS["not-permitted"])
        if fact.result == "fail" and self._settings.on_fail == "delete":
            return Action.DISCARD, None
        return Action.PASS, None

    def _stamps(self, fact: SenderIdResult) -> tuple[Edit, ...]:
        word = _WORDS[fact.result]
        more = f" ({fact.reason})" if fact.reason else ""
        domain = f"; domain={fact.domain}" if fact.domain else ""
        edits: list[Edit] = [AddHeader(RESULT_FIELD, f"{word}{more}{domain}")]
        if self._settings.exchange_fields:
            edits += [
                RemoveHeader(EXCHANGE_RESULT),
                RemoveHeader(EXCHANGE_DOMAIN),
                AddHeader(EXCHANGE_RESULT, word),
            ]
            if fact.domain:
                edits.append(AddHeader(EXCHANGE_DOMAIN, fact.domain))
        return tuple(edits)

    def _unless(self, fact: SenderIdResult) -> str:
        if fact.result == "temperror":
            return "the DNS answered, or agents.sender-id.on-temperror were stamp"
        return "the responsible domain let the client send, or agents.sender-id.on-fail were stamp"


def _found(fact: SenderIdResult) -> tuple[Finding, ...]:
    if fact.result == "fail":
        return (FAIL,) if fact.reason == "not-permitted" else (MISSING,)
    return (SOFTFAIL,) if fact.result == "softfail" else ()


def _said(fact: SenderIdResult) -> str:
    who = f" for {fact.ip} and {fact.pra} ({fact.field})" if fact.pra else ""
    why = "".join(f", {part}" for part in (fact.reason, fact.problem) if part)
    where = f" by {fact.term!r} of {fact.record_domain}" if fact.term else ""
    return f"Sender ID {fact.result}{who}{where}{why}"[:400]


def _key(entry: str) -> str:
    """Raises ValueError when it is no address."""
    try:
        return parse_mailbox(entry).key
    except PeerFault as fault:
        raise ValueError(f"{entry[:320]!r} is no address: {fault.reason}") from fault
