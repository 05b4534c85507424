"""Agent: clients whose HELO name cannot be theirs (RFC 5321 §4.1.1.1, RFC 5321 §4.1.4)."""

from __future__ import annotations

from typing import ClassVar, Final

from gatepost.config.agent_table import FilterTable
from gatepost.config.schema import setting
from gatepost.facts.helo import Helo, HeloAddresses, HeloForm
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict

OWN_NAME_REFUSED: Final = Reply(550, "5.7.1", "The name in your HELO is ours, not yours")

OWN_NAME: Final = Finding(
    name="helo-own-name", means="The client calls itself by a name of ours.", points=2.0
)
WRONG_LITERAL: Final = Finding(
    name="helo-wrong-literal", means="The client calls itself by an address that is not its own.", points=1.0
)
LITERAL: Final = Finding(
    name="helo-literal", means="The client has no name, and calls itself by its address.", points=0.3
)
NO_NAME: Final = Finding(
    name="helo-no-name", means="What the client calls itself is no host name.", points=1.0
)
NOT_QUALIFIED: Final = Finding(
    name="helo-not-qualified", means="The client calls itself by a single label.", points=0.8
)
UNRESOLVABLE: Final = Finding(
    name="helo-unresolvable", means="The name in HELO has no address in the DNS.", points=0.5
)
NOT_LEADING_BACK: Final = Finding(
    name="helo-not-leading-back", means="The name in HELO belongs to other addresses.", points=0.2
)

_OF_FORM: Final = {
    HeloForm.WRONG_LITERAL: WRONG_LITERAL,
    HeloForm.LITERAL: LITERAL,
    HeloForm.BARE_ADDRESS: NO_NAME,
    HeloForm.NO_NAME: NO_NAME,
    HeloForm.NOT_QUALIFIED: NOT_QUALIFIED,
}


class Settings(FilterTable):
    """[agents.helo-check]"""

    look_up: bool = setting(
        "Ask the DNS whether the name leads to the client. Every mail then waits for the answer",
        default=False,
    )
    refuse_own_name: bool = setting(
        "Refuse a client that calls itself by a name of ours; else that is worth points", default=False
    )


class HeloCheck:
    """Score clients whose HELO name cannot be theirs."""

    name: ClassVar[str] = "helo-check"
    settings_type: ClassVar[type[FilterTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.MAIL: (Helo,)}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    judges_origin: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (
        OWN_NAME,
        WRONG_LITERAL,
        LITERAL,
        NO_NAME,
        NOT_QUALIFIED,
        UNRESOLVABLE,
        NOT_LEADING_BACK,
    )

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._refuses = settings.refuse_own_name
        self.wants: dict[Stage, tuple[type, ...]] = {Stage.MAIL: (HeloAddresses,) if settings.look_up else ()}
        self._looks_up = settings.look_up
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:  # noqa: ARG002  # every agent's signature
        """One finding, the gravest; 550 5.7.1 for a name of ours where that is wanted."""
        helo = known[Helo]
        found = self._looked_up(known) if helo.form is HeloForm.NAME else None
        if helo.is_own:
            return self._silent if found is not None and found.leads_back else self._own(helo, found)
        finding = _OF_FORM.get(helo.form)
        if found is not None and not found.leads_back:
            finding = NOT_LEADING_BACK if found.resolves else UNRESOLVABLE
        if finding is None:
            return self._silent
        return Verdict(
            agent=self.name,
            findings=(finding,),
            reason=f"HELO {helo.helo[:100]!a} from {helo.address}",
            because=_facts(helo, found),
            unless="HELO were a host name that leads to the client's address",
        )

    def _looked_up(self, known: Known) -> HeloAddresses | None:
        """None when it is not asked, or when the DNS did not say: neither good nor bad."""
        if not self._looks_up or known.unknown_among((HeloAddresses,)):
            return None
        return known[HeloAddresses]

    def _own(self, helo: Helo, found: HeloAddresses | None) -> Verdict:
        reason, because = (
            f"HELO {helo.helo[:100]!a} from {helo.address} is a name of ours",
            _facts(helo, found),
        )
        unless = "the client used its own name"
        if self._refuses:
            return Verdict.reject(self.name, OWN_NAME_REFUSED, reason, because=because, unless=unless)
        return Verdict(agent=self.name, findings=(OWN_NAME,), reason=reason, because=because, unless=unless)


def _facts(helo: Helo, found: HeloAddresses | None) -> tuple[object, ...]:
    return (helo,) if found is None else (helo, found)
