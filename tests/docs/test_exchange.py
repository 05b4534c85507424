"""docs/exchange.md names nothing that is not there, and says why where there is nothing."""

from __future__ import annotations

import re

import pytest
from tools.exchange import Section, replies, sections, setting_names, unknown
from tools.reference import ROOT, commands

SECTIONS = list(sections())


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.title)
def test_every_name_of_ours_exists(section: Section) -> None:
    known = frozenset(path.removeprefix("gatepost ") for path, _ in commands())
    settings = setting_names()
    assert {row.exchange: found for row in section.rows if (found := unknown(row, settings, known))} == {}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.title)
def test_where_there_is_nothing_it_says_why(section: Section) -> None:
    assert [row.exchange for row in section.rows if not row.ours and not row.note] == []


@pytest.mark.parametrize("reply", replies(), ids=lambda r: r.situation)
def test_every_reply_is_one_of_ours(reply: object) -> None:
    code, enhanced, text = re.fullmatch(r"(\d{3})(?: (\d\.\d\.\d+))? (.+)", reply.ours).groups()  # type: ignore[attr-defined,union-attr]
    said = re.compile(rf'Reply\(\s*{code},\s*"{re.escape(enhanced or "")}",\s*"{re.escape(text)}"')
    assert any(said.search(path.read_text("utf-8")) for path in (ROOT / "src").rglob("*.py"))


PARAMETERS = (
    *("Bindings", "RemoteIPRanges", "MaxMessageSize", "MaxHeaderSize", "MaxInboundConnectionPerSource"),
    *(
        "ConnectionInactivityTimeout",
        "MaxProtocolErrors",
        "TarpitInterval",
        "PermissionGroups",
        "MaxHopCount",
    ),
    *("AddressSpaces", "SmartHostAuthMechanism", "RecipientValidationEnabled", "SMTP-Submit", "NDREnabled"),
    *("ExternalPostmasterAddress", "GenerateCopyOfDSNFor", "Suspend-Queue", "Remove-Message", "Get-AgentLog"),
    *(
        "Get-MessageTrackingLog",
        "MessageExpirationTimeout",
        "DelayNotificationTimeout",
        "InternalSMTPServers",
    ),
)


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_what_an_exchange_administrator_looks_for_is_there(parameter: str) -> None:
    assert any(parameter in row.exchange for section in SECTIONS for row in section.rows)
