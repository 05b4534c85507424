"""Agent: notices about mail that was never ours, and notices too large to be led back (threats L08, L14)."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import Size, setting, size
from gatepost.facts.bounce_tags import BounceTags
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict

NOT_OURS: Final = Reply(550, "5.7.1", "This recipient sent no mail with this return path")
TOO_LARGE: Final = Reply(552, "5.3.4", "This notice is too large to be passed on")
UNTAGGED: Final = Finding(
    name="untagged-notice",
    means="A mail without a return path is for an address of ours that did not send what it is about.",
    points=3.0,
)


class Settings(FilterTable):
    """[agents.return-paths]"""

    untagged_notices: Literal["find", "refuse"] = setting(
        'Notices to addresses without a good tag: "find" weighs them, "refuse" answers 550 after the data; '
        "wait with it until all mail of your domains leaves here for batv.max-age",
        default="find",
    )
    srs_size_bytes: Size = setting(
        "Largest mail that a return path made by SRS takes", default=size(1, "MiB"), low=1024
    )


class ReturnPaths:
    """Weigh or refuse notices that answer no mail of ours; refuse large ones that would have to be led back."""

    name: ClassVar[str] = "return-paths"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_DATA: (BounceTags,)}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (UNTAGGED,)

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._refuses = settings.untagged_notices == "refuse"
        self._size_bytes = settings.srs_size_bytes
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """After the data: a probe of an address (MAIL FROM:<>, RCPT, QUIT) learns that it exists."""
        fact = known[BounceTags]
        if fact.led_back and mail.size_bytes > self._size_bytes:
            return Verdict.reject(
                self.name,
                TOO_LARGE,
                f"{mail.size_bytes} octets for a return path made by SRS, the limit is {self._size_bytes}",
                because=(fact,),
                recipients=fact.led_back,
                unless="agents.return-paths.srs-size were larger",
            )
        if not fact.untagged:
            return self._silent
        reason = f"a notice to {fact.untagged[0]}, which has no good tag"[:400]
        if not self._refuses:
            return Verdict(
                agent=self.name,
                findings=(UNTAGGED,),
                reason=reason,
                because=(fact,),
                recipients=fact.untagged,
            )
        return Verdict(
            agent=self.name,
            action=Action.REJECT,
            reply=NOT_OURS,
            findings=(UNTAGGED,),
            reason=reason,
            because=(fact,),
            recipients=fact.untagged,
            unless="the mail it is about had left with a tag, or agents.return-paths.untagged-notices were find",
        )
