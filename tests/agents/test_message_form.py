"""Mail whose bytes two readers could read differently."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import site, view

from gatepost.agents.message_form import MessageForm
from gatepost.facts.message_form import MessageForm as Form
from gatepost.model.verdict import Stage

NUL = Form(nul_in_body=True)
ODD = Form(header_defects=("bare-cr",))
TWICE = Form(repeated_fields=("from",), from_fields=2)


@dataclass(frozen=True)
class Case:
    name: str
    form: Form
    then: str
    findings: tuple[str, ...] = ()
    given: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("well-formed", Form(), "pass"),
    Case("A25 NUL in the body", NUL, "pass", ("nul",)),
    Case("A25 NUL in the header", Form(nul_in_head=True), "pass", ("nul",)),
    Case("A25 NUL refused", NUL, "554 5.6.0", given={"nul": "refuse"}),
    Case("A20 an odd header section", ODD, "pass", ("ambiguous-header",)),
    Case("A20 refused", ODD, "554 5.6.0", given={"ambiguous": "refuse"}),
    Case("A20 quarantined", ODD, "quarantine", ("ambiguous-header",), {"ambiguous": "quarantine"}),
    Case("two From fields", TWICE, "pass", ("repeated-field",)),
    Case("two From fields, refused", TWICE, "554 5.6.0", given={"ambiguous": "refuse"}),
    Case("NUL is not ambiguous", NUL, "pass", ("nul",), {"ambiguous": "refuse"}),
    Case("no From field", Form(from_fields=0), "pass", ("no-from",)),
    Case("A26 8-bit, not declared", Form(eight_bit_undeclared=True), "pass", ("eight-bit-undeclared",)),
    Case("8-bit header", Form(eight_bit_head_undeclared=True), "pass", ("eight-bit-undeclared",)),
    Case("A17 bare newlines", Form(bare_newlines=True), "pass", ("bare-newlines",)),
    Case("A27 the longest line of the standard", Form(longest_line_bytes=998), "pass"),
    Case("A27 one longer", Form(longest_line_bytes=999), "pass", ("long-line",)),
    Case("K04 turned writing", Form(turned_fields=("subject",)), "pass", ("turned-writing",)),
    Case("too many fields", Form(header_defects=("too-many-fields",)), "554 5.6.0"),
]


@pytest.mark.threat("A20", "A21", "A25", "A26", "K04")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_message_form(case: Case) -> None:
    agent = MessageForm(settings(MessageForm, case.given), site())
    verdict = ask(agent, view(Stage.END_OF_DATA), case.form)
    assert said(verdict) == case.then
    assert tuple(found.name for found in verdict.findings) == case.findings


def test_every_finding_it_uses_is_listed() -> None:
    everything = Form(
        header_defects=("x",),
        repeated_fields=("to",),
        from_fields=0,
        nul_in_body=True,
        eight_bit_undeclared=True,
        bare_newlines=True,
        longest_line_bytes=5000,
        turned_fields=("from",),
    )
    verdict = ask(MessageForm(settings(MessageForm), site()), view(Stage.END_OF_DATA), everything)
    assert verdict.findings == MessageForm.findings
