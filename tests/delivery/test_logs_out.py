"""What is written down of connections to next hops."""

from __future__ import annotations

import csv

from tests.delivery.fakes import CONTENT, FakeHost, Yard, settings_of
from tests.delivery.playing import play, to

from gatepost.records.wire_log import CONNECTIVITY_FIELDS, PROTOCOL_FIELDS

LOGGED = settings_of({"protocol-log": True})


def protocol(made: Yard) -> list[tuple[str, str]]:
    rows = [dict(zip(PROTOCOL_FIELDS, row, strict=True)) for row in csv.reader(made.said)]
    return [(row["event"].strip("'"), row["data"]) for row in rows]


def connectivity(made: Yard) -> list[tuple[str, ...]]:
    rows = [dict(zip(CONNECTIVITY_FIELDS, row, strict=True)) for row in csv.reader(made.connected)]
    return [(r["source"], r["destination"], r["direction"].strip("'"), r["description"]) for r in rows]


def test_a_conversation_is_written_without_its_content() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: made.store.mail(1) is None)
        await made.settle(lambda: len(made.attempts.courier.parked) == 1)
        made.attempts.courier.parked.close_all()
        said = protocol(made)
        assert said[:2] == [("+", ""), ("<", "220 host.example")]
        assert (">", "MAIL FROM:<ann@us.example>") in said
        assert (">", "RCPT TO:<b@b.example>") in said
        assert said[-2:] == [(">", "QUIT"), ("-", "")]
        assert isinstance(CONTENT.body, bytes)
        assert CONTENT.body.decode().strip() not in "".join(made.said)
        assert connectivity(made) == [
            ("out", "mx.b.example", "+", "connected to 8.8.1.1:25"),
            ("out", "mx.b.example", "-", "mails=1"),
        ]

    play(test, "b.example", settings=LOGGED)


def test_without_the_setting_only_connections_are_known() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: made.store.mail(1) is None)
        assert made.said == []
        assert connectivity(made)[0][2] == "+"

    play(test, "b.example")


def test_hosts_that_cannot_be_spoken_to_are_written_down() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        hosts["b.example"].state = "down"
        made.put(to("b@b.example", mail_id=1))
        made.put(to("c@nowhere.example", mail_id=2))
        await made.settle(lambda: len(made.connected) == 2)
        assert sorted(connectivity(made)) == [
            ("out", "mx.b.example", ">", "no connection to 8.8.1.1: refused"),
            ("out", "nowhere.example", ">", "550 5.1.2 Recipient's domain does not exist"),
        ]

    play(test, "b.example")
