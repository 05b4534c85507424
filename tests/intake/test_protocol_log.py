"""The protocol log of a receive connector: what was understood and answered; no password, no content."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.intake.clients import MAIL, PLAIN, Client, in_house
from tests.intake.house import House

from gatepost.adapters.tls import ServerTls, self_signed
from gatepost.records.wire_log import PROTOCOL_FIELDS

LOGGED = {"protocol-log": True, "tls": "optional", "auth": True}


def lines(house: House) -> list[tuple[str, str]]:
    rows = [dict(zip(PROTOCOL_FIELDS, row, strict=True)) for row in csv.reader(house.lines.said)]
    return [(row["event"].strip("'"), row["data"]) for row in rows]


@pytest.mark.threat("E15")
def test_a_session_is_written_down(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        await client.start_tls()
        await client.ask(b"EHLO client.example")
        assert (await client.ask(b"AUTH PLAIN " + PLAIN)).startswith("235")
        client.writer.write(MAIL + b"DATA\r\n")
        for _ in range(3):
            await client.reply()
        await client.ask(b"Subject: private\r\n\r\nvery private\r\n.")
        await client.ask(b"HACK")
        await client.ask(b"QUIT")
        await client.close()
        said = lines(house)
        assert said[0] == ("+", "")
        for line in (
            ("<", "EHLO client.example"),
            ("<", "STARTTLS"),
            (">", "220 2.0.0 Ready to start TLS"),
            ("<", "AUTH PLAIN ***"),
            (">", "235 2.7.0 Authentication successful"),
            ("<", "MAIL FROM:<ann@client.example>"),
            ("<", "RCPT TO:<bob@ours.example>"),
            ("<", "DATA"),
            ("<", "QUIT"),
        ):
            assert line in said, line
        whole = "".join(house.lines.said)
        assert "private" not in whole
        assert PLAIN.decode() not in whole
        assert ",TLSv1.3 " in whole

    in_house(scenario, LOGGED, ServerTls(str(self_signed(tmp_path, "mx.ours.example", now=1_800_000_000.0))))


def test_it_is_off_by_default() -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"QUIT")
        await client.close()
        assert house.lines.said == []

    in_house(scenario, {})
