"""Agent: mail whose sender's domain does not let the client send for it (threats J01-J09, J32)."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import field_validator

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.spf import SpfResult, is_open
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict
from gatepost.protocol.domain_entries import check_domain_entries, domain_entries

EXPLANATION_LIMIT_CHARS: Final = 200
CANNOT_TELL: Final = Reply(451, "4.7.24", "The sender's SPF record cannot be evaluated now, try again later")
FAIL: Final = Finding(
    name="spf-fail", means="The sender's domain forbids the client to send for it.", points=2.5
)
SOFTFAIL: Final = Finding(
    name="spf-softfail", means="The sender's domain says that the client is probably not its own.", points=1.0
)
NEUTRAL: Final = Finding(
    name="spf-neutral", means="The sender's domain says nothing about the client.", points=0.2
)
NONE: Final = Finding(name="spf-none", means="The sender's domain has no SPF record.", points=0.5)
PERMERROR: Final = Finding(
    name="spf-permerror", means="The sender's domain has an SPF record with a mistake.", points=0.5
)
TEMPERROR: Final = Finding(
    name="spf-temperror", means="The DNS did not answer for the sender's SPF record.", points=0.0
)
OPEN: Final = Finding(
    name="spf-open", means="The SPF record lets every client of the world send for the domain.", points=1.5
)
HELO_FAIL: Final = Finding(
    name="spf-helo-fail", means="The domain of the EHLO name forbids the client to use it.", points=1.5
)
_OF_RESULT: Final = {
    "fail": FAIL,
    "softfail": SOFTFAIL,
    "neutral": NEUTRAL,
    "none": NONE,
    "permerror": PERMERROR,
    "temperror": TEMPERROR,
}


class Settings(FilterTable):
    """[agents.spf]"""

    reject_on_fail: bool = setting(
        "Refuse mail whose sender's domain forbids it; forwarded mail is refused with it, so weigh it instead",
        default=False,
    )
    temperror: Literal["accept", "defer"] = setting(
        'What becomes of mail whose sender\'s record cannot be evaluated now: "accept" or "defer"',
        default="accept",
    )
    explanations: bool = setting(
        "Say in a refusal what the sender's domain says about it, cleaned and cut to 200 characters",
        default=True,
    )
    bypassed_domains: tuple[str, ...] = setting(
        'Senders\' domains that are not judged, "example.com" or "*.example.com" for those below it',
        default=(),
    )

    @field_validator("bypassed_domains")
    @classmethod
    def _are_domains(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        return check_domain_entries(entries)


class Spf:
    """Weigh what the sender's domain says about the client; refuse a fail where the settings say so."""

    name: ClassVar[str] = "spf"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_HEADERS: (SpfResult,)}
    unknown_reply: ClassVar[Reply] = CANNOT_TELL
    is_filter: ClassVar[bool] = True
    judges_origin: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (
        FAIL,
        SOFTFAIL,
        NEUTRAL,
        NONE,
        PERMERROR,
        TEMPERROR,
        OPEN,
        HELO_FAIL,
    )
    when_unknown: Action = Action.PASS

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._settings = settings
        self._bypassed = domain_entries(settings.bypassed_domains)
        self._silent = Verdict(agent=self.name)
        if settings.temperror == "defer":
            self.when_unknown = Action.DEFER

    def examine(self, _mail: MailView, known: Known) -> Verdict:
        """A pass says nothing: spammers have records, too."""
        fact = known[SpfResult]
        if not fact.ip or (fact.result == "none" and fact.problem):
            return self._silent  # not checked
        if self._bypassed is not None and self._bypassed.entry_for(fact.domain):
            return self._silent
        found = tuple(self._found(fact))
        if not found:
            return self._silent
        if fact.result == "fail" and self._settings.reject_on_fail:
            return self._refused(fact, found)
        if fact.result == "temperror" and self._settings.temperror == "defer":
            return Verdict(
                agent=self.name,
                action=Action.DEFER,
                reply=CANNOT_TELL,
                findings=found,
                reason=f"SPF of {fact.domain} cannot be evaluated: {fact.problem}"[:400],
                because=(fact,),
                unless="the DNS answered, or agents.spf.temperror were accept",
            )
        return Verdict(agent=self.name, findings=found, reason=_said(fact), because=(fact,))

    def _found(self, fact: SpfResult) -> list[Finding]:
        of_result = _OF_RESULT.get(fact.result)
        found = [of_result] if of_result is not None else []
        if fact.result == "pass" and is_open(fact.term):
            found.append(OPEN)
        if fact.helo_result == "fail":
            found.append(HELO_FAIL)
        return found

    def _refused(self, fact: SpfResult, found: tuple[Finding, ...]) -> Verdict:
        return Verdict(
            agent=self.name,
            action=Action.REJECT,
            reply=refusal(fact, explain=self._settings.explanations),
            findings=found,
            reason=_said(fact),
            because=(fact,),
            unless=f"{fact.record_domain} let {fact.ip} send, or agents.spf.reject-on-fail were false",
        )


def refusal(fact: SpfResult, *, explain: bool) -> Reply:
    """550 5.7.23 (RFC 7372 §3.2); the domain's words are marked as its own (RFC 7208 §6.2)."""
    said = cleaned(fact.explanation) if explain else ""
    text = f"{fact.ip} may not send mail for {fact.domain} (SPF)"
    return Reply(550, "5.7.23", f"{text}; that domain explains: {said}" if said else text)


def cleaned(explanation: str) -> str:
    """A stranger's text on one line of printable ASCII, at most 200 characters (J06)."""
    shown = "".join(c if " " <= c <= "~" else "?" for c in explanation[:EXPLANATION_LIMIT_CHARS])
    return " ".join(shown.split())


def _said(fact: SpfResult) -> str:
    where = f" by {fact.term!r} of {fact.record_domain}" if fact.term else ""
    why = f": {fact.problem}" if fact.problem else ""
    helo = f"; {fact.helo_result} for the EHLO name {fact.helo_domain}" if fact.helo_result == "fail" else ""
    return f"SPF {fact.result} for {fact.ip} and {fact.domain} ({fact.identity}){where}{why}{helo}"[:400]
