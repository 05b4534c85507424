"""Connections to a next hop: how many, kept open how long, shared by whom."""

from __future__ import annotations

from tests.delivery.fakes import FakeHost, Yard, settings_of
from tests.delivery.playing import play, records_of, to

from gatepost.ports.resolver import Mx


def test_a_connection_is_kept_open_for_the_next_mail() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        for mail_id in range(1, 6):
            made.put(to("b@b.example", mail_id=mail_id))
            await made.settle(lambda mail_id=mail_id: made.store.mail(mail_id) is None)  # type: ignore[misc]
        assert hosts["b.example"].attempts == 1

    play(test, "b.example")


def test_a_connection_is_closed_after_its_number_of_mails() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        for mail_id in range(1, 7):
            made.put(to("b@b.example", mail_id=mail_id))
            await made.settle(lambda mail_id=mail_id: made.store.mail(mail_id) is None)  # type: ignore[misc]
        assert hosts["b.example"].attempts == 3

    play(test, "b.example", settings=settings_of({"messages-per-connection": 2}))


def test_never_more_connections_than_the_setting_says() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        for mail_id in range(1, 200):
            made.put(to("b@b.example", mail_id=mail_id))
        await made.settle(lambda: len(hosts["b.example"].taken) == 199)
        assert 1 < hosts["b.example"].most_connections <= 3

    play(test, "b.example", settings=settings_of({"connections": 3}))


def test_connections_of_an_idle_hop_are_closed_after_the_setting() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("b@b.example", mail_id=1))
        await made.settle(lambda: made.store.mail(1) is None)
        assert hosts["b.example"].connections == 1
        await made.settle(lambda: hosts["b.example"].connections == 0)

    play(test, "b.example", settings=settings_of({"idle-timeout": "50ms"}))


def test_a_kept_connection_that_died_costs_no_attempt() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.put(to("a@b.example", mail_id=1))
        await made.settle(lambda: made.store.mail(1) is None)
        hosts["b.example"].drop_connections()
        made.put(to("b@b.example", mail_id=2))
        await made.settle(lambda: made.store.mail(2) is None)
        assert records_of(made) == ["SEND", "SEND"]
        assert hosts["b.example"].attempts == 2

    play(test, "b.example")


def test_two_domains_with_one_host_share_a_connection() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        made.resolver.exchangers_of["c.example"] = (Mx(10, "mx.b.example"),)
        made.put(to("a@b.example", mail_id=1))
        await made.settle(lambda: made.store.mail(1) is None)
        made.put(to("a@c.example", mail_id=2))
        await made.settle(lambda: made.store.mail(2) is None)
        assert hosts["b.example"].attempts == 1

    play(test, "b.example")
