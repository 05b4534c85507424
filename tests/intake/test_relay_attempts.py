"""Relaying through the whole house: whatever a stranger writes, nothing for elsewhere is taken (I5)."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from tests.intake.clients import Client, in_house
from tests.intake.house import House, NoDns

from gatepost.model.queued import KeepRecords
from gatepost.ports.resolver import Mx

SENDERS = ["spam@foreign.test", "", "x@ours.example", "x@localhost", "x@[127.0.0.1]"]
REFUSED: dict[str, str] = {
    "F01": "<u@foreign.test>",
    "F05": "<u%foreign.test@[127.0.0.1]>",
    "F06": "<u%foreign.test@ours.example>",
    "F07": '<"u@foreign.test">',
    "F08": '<"u%foreign.test">',
    "F09": "<u@foreign.test@[127.0.0.1]>",
    "F10": '<"u@foreign.test"@[127.0.0.1]>',
    "F11": "<u@foreign.test@ours.example>",
    "F12": "<@[127.0.0.1]:u@foreign.test>",
    "F13": "<@ours.example:u@foreign.test>",
    "F14": "<foreign.test!u>",
    "F15": "<foreign.test!u@[127.0.0.1]>",
    "F16": "<foreign.test!u@ours.example>",
    "F17": "<u@FOREIGN.TEST.>",
    "F18": "<u@[203.0.113.9]>",
    "F19": "<u@2130706433>",
    "F20": "<ann@sub.ours.example>",
    "F21": "<ann@ours.example,v@foreign.test>",
    "F22": "<ann@ours.example> <v@foreign.test>",
    "F24": "<@ours.example>",
    "F27": "<nobody@ours.example>",
}


async def transaction(house: House, sender: str, recipient: str) -> str:
    """The reply to the recipient; and no mail comes of it."""
    client = await Client.to(house)
    await client.reply()
    await client.ask(b"EHLO client.example")
    said = await client.ask(f"MAIL FROM:<{sender}>".encode())
    if said.startswith("250"):
        said = await client.ask(f"RCPT TO:{recipient}".encode())
        assert (await client.ask(b"DATA")).startswith("554")
    await client.close()
    return said


@pytest.mark.threat("F01", "F02", "F03", "F04", "F20", "F27")
def test_no_form_and_no_sender_gets_through() -> None:
    async def scenario(house: House) -> None:
        for sender, (row, recipient) in product(SENDERS, REFUSED.items()):
            said = await transaction(house, sender, recipient)
            assert said[:3] in ("501", "550", "553"), f"{row} from <{sender}>: {said}"
        assert house.accepted == []

    in_house(scenario, {"limits": {"errors-soft": 50, "errors-hard": 50}})


@pytest.mark.threat("F35")
def test_that_a_domain_points_to_us_is_no_reason_to_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    async def we_are_its_mx(_self: NoDns, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        return (Mx(10, "mx.ours.example"),)

    monkeypatch.setattr(NoDns, "mail_exchangers", we_are_its_mx)

    async def scenario(house: House) -> None:
        assert (await transaction(house, "spam@foreign.test", "<u@points-to-us.test>")).startswith(
            "550 5.7.1"
        )

    in_house(scenario, {})


HEADER_TRICKS = (
    b"X-Forwarded-For: 10.0.0.5",
    b"X-Originating-IP: [10.0.0.5]",
    b"X-Real-IP: 10.0.0.5",
    b"X-MS-Exchange-Organization-OriginalClientIPAddress: 10.0.0.5",
    b"Received: from office ([10.0.0.5]) by mx.ours.example with ESMTPSA; Fri, 27 Nov 2026 03:00:00 +0000",
)


@pytest.mark.threat("Q08")
def test_what_header_fields_say_of_the_client_counts_for_nothing() -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        for line in (b"EHLO office", b"MAIL FROM:<a@b.example>", b"RCPT TO:<bob@ours.example>", b"DATA"):
            await client.ask(line)
        said = await client.ask(b"\r\n".join((*HEADER_TRICKS, b"", b"text", b".")))
        assert said.startswith("250")
        # Then the client is the one who connected, on every record, and still may not relay
        assert house.accepted[0].mail.client_ip == "127.0.0.1"
        assert not house.accepted[0].mail.authenticated
        kept = [c for changes in house.store.transactions for c in changes if isinstance(c, KeepRecords)]
        (record,) = [json.loads(r.data) for one in kept for r in one.records if r.event == "RECEIVE"]
        assert (record["client-ip"], record["original-client-ip"]) == ("127.0.0.1", "127.0.0.1")
        assert record["directionality"] == "Incoming"
        await client.ask(b"MAIL FROM:<a@b.example>")
        assert (await client.ask(b"RCPT TO:<u@foreign.test>")).startswith("550 5.7.1")
        await client.close()

    office: dict[str, Any] = {
        "addresses": ["10.0.0.5"],
        "rights": ["submit", "relay", "any-sender", "internal"],
    }
    in_house(scenario, {"ranges": {"office": office}})
