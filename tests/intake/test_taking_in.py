"""The end of data: what is kept, what is answered, and that nothing is answered before it is kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from tests.intake.house import House, open_house, settings_with

from gatepost.config.agent_table import AgentTable
from gatepost.config.own_names import own_authserv_ids, own_hostnames
from gatepost.model.fault import WorldFault
from gatepost.model.known import Known, MailView
from gatepost.model.queued import KeepDossier, KeepRecords, MailState
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, AddHeader, Finding, Stage, Verdict
from gatepost.policy import order
from gatepost.queue.schedule import Held

MAIL = b"MAIL FROM:<ann@client.example>\r\nRCPT TO:<bob@ours.example>\r\n"
TWO = b"MAIL FROM:<ann@client.example>\r\nRCPT TO:<bob@ours.example>\r\nRCPT TO:<ann@ours.example>\r\n"
TEXT = b"From: ann@client.example\r\nSubject: hello\r\nMessage-ID: <1@client.example>\r\n\r\ntext\r\n"


async def converse(house: House, *commands: bytes) -> list[bytes]:
    """Say each piece, wait for the last reply line it causes; the reply lines in order."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    replies = [await reader.readline()]
    for command in (b"EHLO client.example\r\n", *commands):
        writer.write(command)
        ends = 1 if command.endswith(b".\r\n") else command.count(b"\r\n")
        for _ in range(ends):
            while True:
                line = await asyncio.wait_for(reader.readline(), 5)
                if line[3:4] != b"-":
                    replies.append(line)
                    break
    writer.close()
    await writer.wait_closed()
    return replies


def send(house: House, envelope: bytes = MAIL, text: bytes = TEXT) -> Any:
    return converse(house, envelope + b"DATA\r\n", text + b".\r\n")


@pytest.mark.threat("A13")
def test_a_message_without_a_byte_is_answered_and_commands_follow() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            replies = await converse(house, MAIL + b"DATA\r\n", b".\r\n", b"NOOP\r\n")
            assert replies[-2][:3] in (b"250", b"554", b"550")
            assert replies[-1].startswith(b"250 2.0.0")

    asyncio.run(scenario())


def test_what_was_accepted_is_in_the_store_with_its_records() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            replies = await send(house)
            assert replies[-1].startswith(b"250 2.0.0 Queued as ")
            mail = house.accepted[0].mail
            assert str(mail.sender) == "ann@client.example"
            assert [str(r.recipient.address) for r in mail.recipients] == ["bob@ours.example"]
            assert (mail.message_id, mail.subject) == ("<1@client.example>", "hello")
            assert house.message().endswith(TEXT)
            assert house.message().startswith(b"Received: from ")
            assert [m.mail_id for m in house.parcels.offered] == [mail.mail_id]
            kinds = {type(change) for change in house.store.transactions[-1]}
            assert {KeepDossier, KeepRecords} < kinds

    asyncio.run(scenario())


@pytest.mark.threat("O03")
def test_no_reply_before_the_mail_is_durable() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            house.store.held = True
            waiting = asyncio.ensure_future(send(house))
            await asyncio.wait([waiting], timeout=0.3)
            assert not waiting.done()
            assert not house.parcels.offered
            house.store.held = False
            house.store.sync()
            assert (await waiting)[-1].startswith(b"250 ")

    asyncio.run(scenario())


@pytest.mark.threat("O04", "O05")
@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (WorldFault("the disk is full", Reply(452, "4.3.1", "Insufficient system storage")), b"452 4.3.1"),
        (WorldFault("the disk failed"), b"451 4.3.0"),
    ],
)
@pytest.mark.parametrize("size", [10, 200_000])
def test_a_store_that_fails_keeps_nothing_and_says_so(failure: WorldFault, code: bytes, size: int) -> None:
    async def scenario() -> None:
        async with open_house() as house:
            house.store.failure = failure
            replies = await send(house, text=TEXT + (b"x" * 70 + b"\r\n") * (size // 72))
            assert replies[-1].startswith(code)
            assert not house.accepted
            assert not house.parcels.offered
            assert not house.store.bodies

    asyncio.run(scenario())


@pytest.mark.threat("O06", "G10")
def test_a_store_that_takes_nothing_refuses_at_mail() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            house.store.reason = "the disk is low"
            replies = await converse(
                house, b"MAIL FROM:<ann@client.example>\r\n", b"RCPT TO:<bob@ours.example>\r\n"
            )
            assert replies[-2].startswith(b"452 4.3.1")
            assert replies[-1].startswith(b"503")
            house.store.reason = ""
            assert (await send(house))[-1].startswith(b"250")

    asyncio.run(scenario())


def test_a_large_body_goes_to_a_file_and_is_the_same() -> None:
    async def scenario() -> None:
        text = TEXT + (b"0123456789" * 7 + b"\r\n") * 5000
        async with open_house() as house:
            assert (await send(house, text=text))[-1].startswith(b"250")
            assert len(house.store.bodies) == 1
            assert house.message().endswith(text)

    asyncio.run(scenario())


@pytest.mark.threat("A22", "C07")
@pytest.mark.parametrize("rest", [b"half a line", b"0123456789\r\n" * 20000])
def test_a_connection_that_breaks_off_leaves_nothing(rest: bytes) -> None:
    async def scenario() -> None:
        async with open_house() as house:
            await house.say(b"EHLO x\r\n", pieces=[b"EHLO x\r\n"])
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            await reader.readline()
            for octets in (b"EHLO client.example\r\n", MAIL + b"DATA\r\n", TEXT + rest):
                writer.write(octets)
                await asyncio.sleep(0.05)
            writer.transport.abort()
            while house.listener.session_count:
                await asyncio.sleep(0.01)
            assert not house.accepted
            assert not house.store.bodies

    asyncio.run(scenario())


@pytest.mark.threat("A23")
def test_a_client_that_half_closes_after_the_dot_is_served_once() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(b"HELO client.example\r\n")
            await asyncio.sleep(0.05)
            for octets in (b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<bob@ours.example>\r\n", b"DATA\r\n"):
                writer.write(octets)
                await asyncio.sleep(0.05)
            writer.write(TEXT + b".\r\n")
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(), 5)
            assert b"\r\n250 2.0.0 Queued" in answer
            assert len(house.accepted) == 1
            writer.close()

    asyncio.run(scenario())


@pytest.mark.threat("H34", "Q10", "J33")
def test_what_only_we_may_write_is_taken_off() -> None:
    async def scenario() -> None:
        text = (
            b"X-Gatepost-SCL: -1\r\nX-MS-Exchange-Organization-SCL: -1\r\n"
            b"Authentication-Results: mx.ours.example; dkim=pass\r\n" + TEXT
        )
        async with open_house() as house:
            await send(house, text=text)
            below = house.message().split(b"\r\n\r\n")[0]
            assert b"X-MS-Exchange" not in below
            assert b"-SCL: -1" not in below
            assert b"dkim=pass" not in below

    asyncio.run(scenario())


@pytest.mark.threat("J33")
@pytest.mark.parametrize(
    ("server", "connector"),
    [
        ({}, {"hostname": "door.ours.example"}),
        ({"authserv-id": "ours.example"}, {}),
        ({"authserv-id": "ours.example"}, {"hostname": "door.ours.example"}),
    ],
)
def test_results_in_any_name_of_ours_are_taken_off(server: dict[str, Any], connector: dict[str, Any]) -> None:
    async def scenario() -> None:
        settings = settings_with(connector, server={"hostname": "mx.ours.example", **server})
        text = b"".join(
            b"Authentication-Results: %b; dkim=pass\r\n" % name.encode()
            for name in (*own_authserv_ids(settings), *own_hostnames(settings))
        )
        async with open_house(settings) as house:
            await send(house, text=text + b"Authentication-Results: far.example; spf=pass\r\n" + TEXT)
            below = house.message().split(b"\r\n\r\n")[0]
            assert b"dkim=pass" not in below
            assert b"far.example; spf=pass" in below

    asyncio.run(scenario())


def test_our_name_in_results_is_one_for_all_doors_or_each_door_s_own() -> None:
    settings = settings_with({"hostname": "door.ours.example"})
    assert own_authserv_ids(settings) == ("mx.ours.example", "door.ours.example")
    one = settings_with(server={"hostname": "mx.ours.example", "authserv-id": "ours.example"})
    assert (own_authserv_ids(one), own_hostnames(one)) == (("ours.example",), ("mx.ours.example",))


class Differing:
    """An agent whose opinions differ: what it says of ann and of bob is set by the test."""

    name: ClassVar[str] = "differing"
    Settings = AgentTable
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_DATA: ()}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = ()
    says: ClassVar[dict[str, Action]] = {}

    def __init__(self, settings: AgentTable, site: Site) -> None:
        pass

    def examine(self, mail: MailView, known: Known) -> Verdict:
        assert mail.envelope is not None
        refused = [r.address for r in mail.envelope.recipients if self.says.get(r.address.local)]
        if not refused:
            return Verdict(agent=self.name)
        action = self.says[refused[0].local]
        reply = {
            Action.REJECT: Reply(550, "5.7.1", "No"),
            Action.DEFER: Reply(451, "4.7.1", "Later"),
        }.get(action)
        edits = (AddHeader("X-Test", "tagged"),) if action is Action.TAG else ()
        return Verdict(
            agent=self.name,
            action=action,
            reply=reply,
            reason="the test says so",
            recipients=tuple(refused),
            edits=edits,
        )


@dataclass(frozen=True)
class Case:
    name: str
    says: dict[str, Action]
    reply: bytes
    states: dict[str, MailState]
    mails: int


READY, KEPT = MailState.READY, MailState.QUARANTINED
CASES = [
    Case("all pass", {}, b"250", {"ann": READY, "bob": READY}, 1),
    Case("one tagged: the mail is split", {"ann": Action.TAG}, b"250", {"ann": READY, "bob": READY}, 2),
    Case("one quarantined", {"ann": Action.QUARANTINE}, b"250", {"ann": KEPT, "bob": READY}, 2),
    Case("one dropped", {"ann": Action.DISCARD}, b"250", {"bob": READY}, 1),
    Case(
        "one refused, sender unknown: quarantined",
        {"ann": Action.REJECT},
        b"250",
        {"ann": KEPT, "bob": READY},
        2,
    ),
    Case("one deferred: nothing is taken", {"ann": Action.DEFER}, b"451", {}, 0),
    Case("all refused", {"ann": Action.REJECT, "bob": Action.REJECT}, b"550", {}, 0),
    Case("all dropped", {"ann": Action.DISCARD, "bob": Action.DISCARD}, b"250", {}, 0),
]


@pytest.mark.threat("I10")
@pytest.mark.parametrize("large", [False, True], ids=["small", "in a file"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_each_recipient_has_its_own_outcome(case: Case, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Differing, "says", case.says)
    monkeypatch.setattr(order, "ORDER", (*order.ORDER, (Differing, (Stage.END_OF_DATA,))))
    text = TEXT + (b"0123456789" * 7 + b"\r\n") * (2000 if large else 1)

    async def scenario() -> None:
        async with open_house() as house:
            replies = await send(house, TWO, text)
            assert replies[-1].startswith(case.reply), replies[-1]
            found = {r.recipient.address.local: r.state for a in house.accepted for r in a.mail.recipients}
            assert found == case.states
            assert len(house.accepted) == case.mails
            assert len({a.mail.mail_id for a in house.accepted}) == case.mails
            for number, accept in enumerate(house.accepted):
                assert house.message(number).endswith(text)
                is_tagged = (
                    case.says.get("ann") is Action.TAG
                    and accept.mail.recipients[0].recipient.address.local == "ann"
                )
                assert (b"X-Test: tagged" in accept.content.head) is is_tagged
            offered = {r.recipient.address.local for m in house.parcels.offered for r in m.recipients}
            assert offered == {name for name, state in case.states.items() if state is READY}
            if not case.mails:
                assert not house.store.bodies

    asyncio.run(scenario())


@pytest.mark.threat("H01")
def test_a_header_section_beyond_the_limit_is_refused() -> None:
    async def scenario() -> None:
        limits = {"header-size": "1024B"}
        async with open_house(settings_with({"limits": limits})) as house:
            text = b"Subject: x\r\n" + b"X: " + b"y" * 70 + b"\r\n"
            replies = await send(house, text=text + (b"X: " + b"y" * 70 + b"\r\n") * 2000 + b"\r\nbody\r\n")
            assert replies[-1].startswith(b"552 5.3.4")
            assert not house.accepted
            assert (await send(house))[-1].startswith(b"250")

    asyncio.run(scenario())


@pytest.mark.threat("F29", "P07")
def test_recipients_are_deferred_while_their_source_is_away() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            house.directory.broken = True
            replies = await converse(house, MAIL)
            assert replies[-1].startswith(b"451 4.3.0")
            house.directory.broken = False
            assert (await send(house))[-1].startswith(b"250")

    asyncio.run(scenario())


def test_mail_for_a_next_hop_that_takes_nothing_now_is_stored_as_waiting() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            first = await send(house)
            key, soon = (
                house.accepted[0].mail.recipients[0].next_hop,
                house.accepted[0].mail.received_at + 600,
            )
            house.parcels.holding[key] = Held("451 4.3.2 Suspended by the administrator", soon)
            second = await send(house)
            assert first[-1].startswith(b"250")
            assert second[-1].startswith(b"250")
            waiting = house.accepted[1].mail.recipients[0]
            assert (waiting.state, waiting.due_at) == (MailState.DEFERRED, soon)
            assert waiting.last_reply == "451 4.3.2 Suspended by the administrator"
            assert len(house.parcels.offered) == 1
            # And not past the time at which it is given up
            house.parcels.holding[key] = Held("451 4.3.2 Suspended by the administrator", soon + 10_000_000)
            await send(house)
            mail = house.accepted[2].mail
            assert mail.recipients[0].due_at == mail.expires_at

    asyncio.run(scenario())


@pytest.mark.threat("L01")
@pytest.mark.parametrize(
    "rights", [["submit"], ["submit", "routing-headers"]], ids=["may not bring Received", "may"]
)
def test_a_loop_is_seen_whatever_the_client_may_bring(rights: list[str]) -> None:
    async def scenario() -> None:
        settings = settings_with({"anonymous-rights": [*rights, "any-sender"]})
        async with open_house(settings) as house:
            looped = b"Received: from a by b; Sun, 22 Nov 2026 13:00:00 +0000\r\n" * 101 + TEXT
            assert (await send(house, text=looped))[-1].startswith(b"554 5.4.6")
            once = b"Received: from a by b; Sun, 22 Nov 2026 13:00:00 +0000\r\n" + TEXT
            assert (await send(house, text=once))[-1].startswith(b"250")
            assert (b"from a by b" in house.message()) is ("routing-headers" in rights)

    asyncio.run(scenario())
