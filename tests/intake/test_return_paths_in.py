"""What is known of a stranger's return path is decided when its mail comes in, and kept with it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.intake.house import open_house, settings_with
from tests.intake.test_taking_in import converse
from tests.standards.zones import texts

from gatepost.agents.sender_id import SenderId
from gatepost.agents.spf import Spf
from gatepost.config.schema import frozen
from gatepost.model.content import Content
from gatepost.model.queued import Accept, KeepDossier, MailState, QueuedMail, QueuedRecipient
from gatepost.policy.explain import explain
from gatepost.policy.order import fact_types
from gatepost.policy.third_party import ThirdParty

OURS, NOBODY = "v=spf1 ip4:127.0.0.1 -all", "v=spf1 -all"
ENVELOPE = b"MAIL FROM:<ann@a.example>\r\nRCPT TO:<bob@ours.example>\r\nRCPT TO:<ann@ours.example>\r\n"
TEXT = b"From: eve@c.example\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n\r\nhi\r\n"
Played = tuple[list[Accept], list[QueuedMail], list[bytes]]


def played(record: str, *, told: bool = True, **tables: Any) -> Played:
    """What was taken, whom notices of refusal were about, and the dossiers; ann's copy is refused, bob's is not."""
    asked: list[QueuedMail] = []

    def notice(
        mail: QueuedMail, refused: Sequence[QueuedRecipient], content: Content, mail_id: int
    ) -> Accept | None:
        assert [str(r.recipient.address) for r in refused] == ["ann@ours.example"]
        asked.append(mail)
        return (
            Accept(
                mail=QueuedMail(**{**_fields(mail), "mail_id": mail_id, "is_notice": True}), content=content
            )
            if told
            else None
        )

    async def play() -> Played:
        agents: dict[str, Any] = {
            "spf": Spf.settings_type(),
            "sender-id": SenderId.settings_type.model_validate(
                frozen({"enabled": True, "on-fail": "reject", "bypassed-recipients": ["bob@ours.example"]})
            ),
        }
        settings = settings_with(spf={"unchecked-networks": []}, **tables)
        lookup = texts({"a.example": record, "c.example": NOBODY})
        async with open_house(settings, agents=agents, lookup=lookup, notice=notice) as house:
            replies = await converse(house, b"EHLO mx.a.example\r\n", ENVELOPE + b"DATA\r\n", TEXT + b".\r\n")
            assert replies[-1].startswith(b"250 2.0.0 Queued"), replies
            changes = [c for transaction in house.store.transactions for c in transaction]
            return house.accepted, asked, [c.data for c in changes if isinstance(c, KeepDossier)]

    return asyncio.run(play())


def _fields(mail: QueuedMail) -> dict[str, Any]:
    return {name: getattr(mail, name) for name in mail.__dataclass_fields__}


@pytest.mark.threat("L06")
def test_a_proven_sender_is_told_at_once_about_the_recipient_that_was_refused() -> None:
    accepted, asked, dossiers = played(OURS)
    assert [str(a.mail.proof) for a in accepted] == ["proven by spf: a.example"] * 2
    assert [a.mail.is_notice for a in accepted] == [False, True]
    assert len(asked) == 1
    # And whoever asks why is told what vouched for it
    lines = explain(dossiers[0], fact_types(ThirdParty())).lines()
    assert any("return-path-proof: by spf; detail a.example" in line for line in lines)


@pytest.mark.threat("L06")
@pytest.mark.parametrize(
    ("record", "tables", "told", "asked"),
    [
        (NOBODY, {}, True, 0),
        (OURS, {"notices": {"proofs": []}}, True, 0),
        (OURS, {}, False, 1),
    ],
    ids=["nobody vouches for it", "SPF is not to count", "too many notices within the hour"],
)
def test_where_nobody_may_be_told_the_refused_copy_waits_for_a_person(
    record: str, tables: dict[str, Any], told: bool, asked: int
) -> None:
    accepted, about, _ = played(record, told=told, **tables)
    states = {str(r.recipient.address): r.state for a in accepted for r in a.mail.recipients}
    assert states == {
        "bob@ours.example": MailState.READY,
        "ann@ours.example": MailState.QUARANTINED,
    }
    assert len(about) == asked
