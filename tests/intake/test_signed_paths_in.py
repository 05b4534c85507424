"""Notices to return paths we signed: who gets them, who is refused, from EHLO to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.intake.house import House, open_house, settings_with
from tests.intake.test_taking_in import send

from gatepost.model.address import Address
from gatepost.policy import order
from gatepost.routing.accepted import accepted_domains
from gatepost.standards.return_paths import ReturnPaths
from gatepost.standards.signed_paths import DAY_S, Srs, Tags

KEY = b"a key of this gateway"
PATHS = ReturnPaths(
    accepted=accepted_domains(settings_with()),
    srs=Srs(keys=(KEY,), domain="ours.example", max_age_s=21 * DAY_S),
    tags=Tags(keys=(KEY,), max_age_s=7 * DAY_S),
)
OUT = Address("eve", "out.example")
BOB, STRANGER = Address("bob", "ours.example"), Address("ann", "client.example")
NOTICE = b"From: mailer-daemon@out.example\r\nSubject: failed\r\n\r\ntext\r\n"


def notice(to: Address, *, sender: str = "", refuses: bool = True) -> tuple[Sequence[bytes], House]:
    """What a client hears that sends a mail to a signed address."""

    async def scenario() -> tuple[Sequence[bytes], House]:
        wishes = {"untagged-notices": "refuse" if refuses else "find"}
        table = order.agent_settings()["return-paths"].model_validate(wishes)
        async with open_house(settings_with(), agents={"return-paths": table}, return_paths=PATHS) as house:
            now = house.clock.now()
            if to == STRANGER:
                path = PATHS.leaving(STRANGER, [OUT], now)
            elif to == BOB:
                path = PATHS.leaving(BOB, [OUT], now)
            else:
                path = to
            replies = await send(house, f"MAIL FROM:<{sender}>\r\nRCPT TO:<{path}>\r\n".encode(), NOTICE)
            return replies, house

    return asyncio.run(scenario())


def went_to(house: House) -> list[str]:
    return [str(r.recipient.address) for accept in house.accepted for r in accept.mail.recipients]


@pytest.mark.threat("L14")
def test_a_notice_about_forwarded_mail_goes_to_its_sender() -> None:
    replies, house = notice(STRANGER)
    assert replies[-1].startswith(b"250 2.0.0")
    assert went_to(house) == ["ann@client.example"]


@pytest.mark.threat("L14")
def test_nothing_but_notices_goes_there() -> None:
    replies, house = notice(STRANGER, sender="spam@evil.example")
    assert any(reply.startswith(b"550 5.1.1") for reply in replies)
    assert house.accepted == []


@pytest.mark.threat("L14")
def test_a_forged_one_is_an_unknown_recipient() -> None:
    replies, house = notice(Address("SRS0=AAAAAAAA=AA=victim.example=ann", "ours.example"))
    assert any(reply.startswith(b"550 5.1.1") for reply in replies)
    assert house.accepted == []


@pytest.mark.threat("L08")
def test_a_notice_with_a_good_tag_reaches_the_mailbox() -> None:
    replies, house = notice(BOB)
    assert replies[-1].startswith(b"250 2.0.0")
    assert went_to(house) == ["bob@ours.example"]


@pytest.mark.threat("L08")
def test_a_notice_without_a_tag_is_refused_after_the_data() -> None:
    replies, house = notice(Address("BOB", "ours.example"))
    assert replies[-1].startswith(b"550 5.7.1 This recipient sent no mail")
    assert house.accepted == []


@pytest.mark.threat("L08")
def test_or_taken_and_weighed() -> None:
    replies, house = notice(Address("BOB", "ours.example"), refuses=False)
    assert replies[-1].startswith(b"250 2.0.0")
    assert house.accepted[0].mail.scl == 3


def test_a_bad_tag_is_an_unknown_recipient() -> None:
    replies, _ = notice(Address("prvs=0123abcdef=bob", "ours.example"))
    assert any(reply.startswith(b"550 5.1.1") for reply in replies)


def test_other_mail_needs_no_tag() -> None:
    replies, house = notice(Address("BOB", "ours.example"), sender="ann@client.example")
    assert replies[-1].startswith(b"250 2.0.0")
    assert len(house.accepted) == 1
