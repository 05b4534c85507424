"""Agent: mail whose bytes two readers could read differently, or that breaks the rules of form (I7)."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from gatepost.config.agent_table import AgentTable
from gatepost.config.schema import setting
from gatepost.facts.message_form import MessageForm as Form
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Effect, Finding, LimitReached, Stage, Verdict

NUL_REFUSED: Final = Reply(554, "5.6.0", "The message contains NUL octets")
AMBIGUOUS_REFUSED: Final = Reply(554, "5.6.0", "The message's header section is not well-formed")
TOO_MANY_FIELDS: Final = Reply(554, "5.6.0", "The message has too many header fields")
LINE_FLAG_BYTES: Final = 998  # RFC 5322 §2.1.1

NUL = Finding(name="nul", means="There are NUL octets in the message.", points=1.0)
AMBIGUOUS_HEADER = Finding(
    name="ambiguous-header",
    means="Two readers may disagree on where a header field or the header section begins or ends.",
    points=2.0,
)
REPEATED_FIELD = Finding(
    name="repeated-field", means="A field that may stand once stands several times.", points=2.0
)
NO_FROM = Finding(name="no-from", means="There is no From field.", points=1.0)
EIGHT_BIT_UNDECLARED = Finding(
    name="eight-bit-undeclared", means="There are 8-bit octets that the client did not declare.", points=0.0
)
BARE_NEWLINES = Finding(
    name="bare-newlines", means="Lines ended in a bare LF (a tolerated client).", points=0.0
)
LONG_LINE = Finding(name="long-line", means="A line is longer than 998 octets.", points=0.0)
TURNED_WRITING = Finding(
    name="turned-writing",
    means="From or Subject turns the direction of writing by force: what is shown is not what stands there.",
    points=1.5,
)


class Settings(AgentTable):
    """[agents.message-form]"""

    nul: Literal["mark", "refuse"] = setting(
        "Mail with NUL octets: mark it with a finding, or refuse it with 554 5.6.0", default="mark"
    )
    ambiguous: Literal["mark", "quarantine", "refuse"] = setting(
        "Mail that two readers could read differently (ambiguous-header, repeated-field): mark it with a "
        "finding, keep it for a person to see, or refuse it with 554 5.6.0",
        default="mark",
    )


class MessageForm:
    """Find what is odd about the bytes; refuse it where the settings say so."""

    name: ClassVar[str] = "message-form"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_DATA: (Form,)}
    when_unknown: ClassVar[Action] = Action.DEFER
    is_filter: ClassVar[bool] = False
    findings: ClassVar[tuple[Finding, ...]] = (
        NUL,
        AMBIGUOUS_HEADER,
        REPEATED_FIELD,
        NO_FROM,
        EIGHT_BIT_UNDECLARED,
        BARE_NEWLINES,
        LONG_LINE,
        TURNED_WRITING,
    )

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._fields_limit = site.header_fields
        self._silent = Verdict(agent=self.name)

    def examine(self, _mail: MailView, known: Known) -> Verdict:
        """Findings; and 554 5.6.0 for too many fields, and for what the settings refuse."""
        form = known[Form]
        found = _findings_of(form)
        if not found:
            return self._silent
        if "too-many-fields" in form.header_defects:
            reason = f"more than {self._fields_limit} header fields"
            reached = LimitReached(
                limit="header-fields", value=self._fields_limit, actual="more", is_rate=False
            )
            return self._refuse(
                TOO_MANY_FIELDS, reason, form, "the connector's limit header-fields were higher", reached
            )
        if NUL in found and self._settings.nul == "refuse":
            return self._refuse(NUL_REFUSED, "NUL octets", form, "nul were mark")
        ambiguous = AMBIGUOUS_HEADER in found or REPEATED_FIELD in found
        if ambiguous and self._settings.ambiguous == "refuse":
            return self._refuse(AMBIGUOUS_REFUSED, _what_is_odd(form), form, "ambiguous were mark")
        if ambiguous and self._settings.ambiguous == "quarantine":
            return Verdict(
                agent=self.name,
                action=Action.QUARANTINE,
                findings=found,
                reason=_what_is_odd(form),
                because=(form,),
                unless="ambiguous were mark",
            )
        return Verdict(agent=self.name, findings=found, because=(form,))

    def _refuse(self, reply: Reply, reason: str, form: Form, unless: str, *effects: Effect) -> Verdict:
        return Verdict.reject(self.name, reply, reason, because=(form,), effects=effects, unless=unless)


def _findings_of(form: Form) -> tuple[Finding, ...]:
    observed = (
        (form.nul_in_head or form.nul_in_body, NUL),
        (bool(form.header_defects), AMBIGUOUS_HEADER),
        (bool(form.repeated_fields), REPEATED_FIELD),
        (form.from_fields == 0, NO_FROM),
        (form.eight_bit_undeclared or form.eight_bit_head_undeclared, EIGHT_BIT_UNDECLARED),
        (form.bare_newlines, BARE_NEWLINES),
        (form.longest_line_bytes > LINE_FLAG_BYTES, LONG_LINE),
        (bool(form.turned_fields), TURNED_WRITING),
    )
    return tuple(finding for seen, finding in observed if seen)


def _what_is_odd(form: Form) -> str:
    return "the header section is ambiguous: " + ", ".join((*form.header_defects, *form.repeated_fields))
