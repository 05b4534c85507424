"""An agent of your own, with a fact of its own: mail with certain words in its subject waits for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gatepost.config.agent_table import FilterTable
from gatepost.config.schema import setting
from gatepost.facts.gathering import Gathering, Sources
from gatepost.message.headers import HeaderIndex
from gatepost.message.words import text_of
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The fact: the subject as a person reads it."""

    name: ClassVar[str] = "example-subject"

    text: str


def gatherer(_sources: Sources) -> Gathering:
    """How the fact is found out: once a mail, when its header section is known."""

    def find(mail: MailView) -> Subject:
        return Subject(text=text_of(HeaderIndex.parse(mail.head).first(b"subject") or b"", 200))

    return Gathering(fact=Subject, scope=Scope.MAIL, earliest=Stage.END_OF_HEADERS, find=find)


class Settings(FilterTable):
    """[agents.subject-words]"""

    words: tuple[str, ...] = setting("Words that make a mail wait for a person", default=())


NAMED_A_WORD = Finding(name="subject-word", means="The subject has a word of the list.", points=1.0)


class Agent:
    """Quarantine mail whose subject has a word of a list."""

    name = "subject-words"
    settings_type = Settings
    needs: ClassVar = {Stage.END_OF_HEADERS: (Subject,)}
    when_unknown = Action.PASS
    is_filter = True
    findings = (NAMED_A_WORD,)

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._words = frozenset(word.lower() for word in settings.words)

    def examine(self, _mail: MailView, known: Known) -> Verdict:
        """The opinion: pure, from the settings and the fact."""
        subject = known[Subject]
        found = sorted(self._words.intersection(subject.text.lower().split()))
        if not found:
            return Verdict(agent=self.name)
        return Verdict(
            agent=self.name,
            action=Action.QUARANTINE,
            findings=(NAMED_A_WORD,),
            reason=f"the subject says {found[0]}",
            because=(subject,),
            unless=f"{found[0]} were not in words",
        )
