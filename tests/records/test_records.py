"""Tracking and agent log: the right event, every field, and one line whatever a peer says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.envelope import Envelope, Recipient
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import QueuedMail, QueuedRecipient, StoredRecord
from gatepost.model.reply import Reply
from gatepost.model.session import Session
from gatepost.model.verdict import Action, Disposition, Finding, Stage, Verdict
from gatepost.records import agent_log, tracking
from gatepost.records.agent_log import LoggedAction, Subject
from gatepost.records.csv_log import agent_log_lines, tracking_lines
from gatepost.records.tracking import Event, Peer, Source
from gatepost.records.values import VALUE_LIMIT_CHARS, all_shown, shown

AT = 1_795_352_700.25
ANN, BOB, EVE = Address("ann", "example.net"), Address("bob", "ours.example"), Address("eve", "ours.example")
OURS = "mx.ours.example"


def to(number: int, address: Address, reply: str = "") -> QueuedRecipient:
    return QueuedRecipient(
        number=number, recipient=Recipient(address=address), next_hop="box:smart", last_reply=reply
    )


MAIL = QueuedMail(
    mail_id=(1_795_352_700_000 << 20) + 7,
    session_id="0123456789abcdef",
    received_at=AT - 1,
    expires_at=AT + 1000,
    sender=ANN,
    recipients=(to(0, BOB), to(1, EVE, "550 5.2.2 Full")),
    size_bytes=4096,
    source="SMTP:internet",
    client_ip="192.0.2.1",
    message_id="<1@example.net>",
    subject="hello",
)
SESSION = Session(
    session_id="0123456789abcdef",
    connector="internet",
    client_ip="192.0.2.1",
    client_port=40000,
    local_ip="2001:db8::25",
    local_port=25,
    started_at=AT - 2,
    helo="client.example.net",
    origin_ip="203.0.113.9",
)
NEXT = Peer(connector="mailboxes", host="box.ours.example", ip="10.0.0.5")
NOTICE = replace(
    MAIL,
    mail_id=99 << 20,
    sender=NULL_SENDER,
    is_notice=True,
    recipients=(to(0, ANN),),
    message_id="<n@ours>",
)


def test_every_field_of_a_received_mail() -> None:
    # When a mail was taken in
    record = tracking.received(
        MAIL, SESSION, at=AT, hostname=OURS, reply="250 2.6.0 Queued", from_address="Ann <a@b>"
    )
    # Then the record has Exchange's fields, all of them
    assert json.loads(record.data) == {
        "date-time": "2026-11-22T13:05:00.250Z",
        "client-ip": "192.0.2.1",
        "client-hostname": "client.example.net",
        "server-ip": "2001:db8::25",
        "server-hostname": OURS,
        "source-context": "0123456789abcdef",
        "connector-id": "internet",
        "source": "SMTP",
        "event-id": "RECEIVE",
        "internal-message-id": mail_id_text(MAIL.mail_id),
        "message-id": "<1@example.net>",
        "network-message-id": f"0123456789abcdef-{1_795_352_699_250:x}",
        "recipient-address": ["bob@ours.example", "eve@ours.example"],
        "recipient-status": [],
        "total-bytes": 4096,
        "recipient-count": 2,
        "related-recipient-address": "",
        "reference": "",
        "message-subject": "hello",
        "sender-address": "Ann <a@b>",
        "return-path": "ann@example.net",
        "message-info": "2026-11-22T13:04:59.250Z",
        "directionality": "Incoming",
        "original-client-ip": "203.0.113.9",
        "original-server-ip": "",
        "custom-data": "250 2.6.0 Queued",
        "schema-version": tracking.SCHEMA_VERSION,
    }
    # And the columns to search by
    assert msgspec.structs.replace(record, data=b"") == StoredRecord(
        kind="track",
        at=AT,
        event="RECEIVE",
        mail_id=MAIL.mail_id,
        sender="ann@example.net",
        recipients="bob@ours.example;eve@ours.example",
        message_id="<1@example.net>",
        data=b"",
    )


ALL = MAIL.recipients
EVENTS: list[tuple[Callable[[], StoredRecord], Event, Source, dict[str, object]]] = [
    (
        lambda: tracking.sent(MAIL, ALL[:1], at=AT, hostname=OURS, peer=NEXT, reply="250 ok"),
        Event.SEND,
        Source.SMTP,
        {
            "recipient_status": ("250 ok",),
            "server_ip": "10.0.0.5",
            "server_hostname": "box.ours.example",
            "connector_id": "mailboxes",
            "client_hostname": OURS,
            "recipient_count": 1,
        },
    ),
    (
        lambda: tracking.sent(MAIL, ALL, at=AT, hostname=OURS, peer=NEXT, reply="250 ok", into_mailbox=True),
        Event.DELIVER,
        Source.SMTP,
        {"recipient_status": ("250 ok", "550 5.2.2 Full")},
    ),
    (
        lambda: tracking.deferred(
            MAIL, ALL[:1], at=AT, hostname=OURS, peer=NEXT, reply="451 later", due_at=AT + 60
        ),
        Event.DEFER,
        Source.SMTP,
        {"custom_data": "next attempt 2026-11-22T13:06:00.250Z", "source_context": "451 later"},
    ),
    (
        lambda: tracking.deferred(
            MAIL, ALL, at=AT, hostname=OURS, reply="451 4.4.3 DNS", due_at=AT, source=Source.DNS
        ),
        Event.DEFER,
        Source.DNS,
        {"connector_id": ""},
    ),
    (
        lambda: tracking.failed(MAIL, ALL, at=AT, hostname=OURS, reply="550 no"),
        Event.FAIL,
        Source.SMTP,
        {"recipient_status": ("550 no", "550 5.2.2 Full")},
    ),
    (
        lambda: tracking.dsn(NOTICE, MAIL, at=AT, hostname=OURS),
        Event.DSN,
        Source.DSN,
        {"reference": "<1@example.net>", "return_path": "", "directionality": "Originating"},
    ),
    (
        lambda: tracking.dropped(MAIL, ALL, at=AT, agent="rules", reason="silent"),
        Event.DROP,
        Source.AGENT,
        {"source_context": "rules", "custom_data": "silent"},
    ),
    (
        lambda: tracking.quarantined(MAIL, ALL, at=AT, agent="score", reason="SCL 7"),
        Event.QUARANTINE,
        Source.AGENT,
        {},
    ),
    (
        lambda: tracking.transferred(MAIL, at=AT, parent_id=1 << 20),
        Event.TRANSFER,
        Source.ROUTING,
        {"reference": mail_id_text(1 << 20)},
    ),
    (
        lambda: tracking.dead(NOTICE, NOTICE.recipients, at=AT, reply="550 no", reason="no sender"),
        Event.BADMAIL,
        Source.DSN,
        {"recipient_status": ("550 no",), "custom_data": "no sender"},
    ),
    (
        lambda: tracking.poison(MAIL, at=AT, crashes=3),
        Event.POISONMESSAGE,
        Source.POISONMESSAGE,
        {"custom_data": "crashes=3"},
    ),
    (
        lambda: tracking.released(MAIL, ALL, at=AT, by="root"),
        Event.RELEASE,
        Source.ADMIN,
        {"source_context": "root"},
    ),
    (lambda: tracking.removed(MAIL, ALL, at=AT, by="root"), Event.REMOVE, Source.ADMIN, {}),
    (
        lambda: tracking.resubmitted(MAIL, ALL, at=AT, by="routing", reason="x"),
        Event.RESUBMIT,
        Source.ADMIN,
        {"custom_data": "x"},
    ),
]


@pytest.mark.parametrize(
    ("made", "event", "source", "columns"), EVENTS, ids=[e[1].value + str(n) for n, e in enumerate(EVENTS)]
)
def test_each_event(
    made: Callable[[], StoredRecord], event: Event, source: Source, columns: dict[str, object]
) -> None:
    record = made()
    read = tracking.decode(record)
    assert (read.event_id, read.source, record.event, record.kind) == (event, source, event.value, "track")
    assert {name: getattr(read, name) for name in columns} == columns
    assert read.original_client_ip == "192.0.2.1"


def test_parts_of_a_split_mail_share_their_network_id() -> None:
    part = replace(MAIL, mail_id=MAIL.mail_id + 1, recipients=ALL[1:])
    first, second = (tracking.decode(tracking.poison(m, at=AT, crashes=1)) for m in (MAIL, part))
    assert first.network_message_id == second.network_message_id
    assert first.internal_message_id != second.internal_message_id


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1.9996, "1970-01-01T00:00:01.999Z"),
        (-1.0, "1970-01-01T00:00:00.000Z"),
        (1e300, "1970-01-01T00:00:00.000Z"),
        (float("nan"), "1970-01-01T00:00:00.000Z"),
    ],
)
def test_times(at: float, text: str) -> None:
    assert tracking.iso_time(at) == text


FINDING = Finding(name="long-line", means="A long line", points=1.0)
NO = Reply(550, "5.7.1", "No")
ENVELOPE = Envelope(sender=ANN, recipients=(Recipient(address=BOB), Recipient(address=EVE)))
ABOUT = Subject(
    envelope=ENVELOPE, mail_id=MAIL.mail_id, message_id="<1@example.net>", from_addresses=("Ann <a@b>",)
)


def test_every_field_of_an_agents_refusal() -> None:
    # Given an agent that refused the mail for eve only, and one that had nothing to say
    verdict = Verdict.reject("filter", NO, "on the list", recipients=(EVE,))
    said = Disposition(
        action=Action.REJECT, verdicts=(Verdict(agent="silent"), verdict), decided_by="filter", reply=NO
    )
    about = Subject(**{f: getattr(ABOUT, f) for f in ABOUT.__struct_fields__} | {"recipients": (EVE,)})
    # When it is logged
    (record,) = agent_log.entries(SESSION, Stage.END_OF_DATA, said, at=AT, about=about)
    # Then the entry has Exchange's fields
    assert json.loads(record.data) == {
        "Timestamp": "2026-11-22T13:05:00.250Z",
        "SessionId": "0123456789abcdef",
        "LocalEndpoint": "[2001:db8::25]:25",
        "RemoteEndpoint": "192.0.2.1:40000",
        "EnteredOrgFromIP": "203.0.113.9",
        "MessageId": "<1@example.net>",
        "P1FromAddress": "ann@example.net",
        "P2FromAddresses": ["Ann <a@b>"],
        "Recipient": ["eve@ours.example"],
        "NumRecipients": 1,
        "Agent": "filter",
        "Event": "OnEndOfData",
        "Action": "RejectRecipients",
        "SmtpResponse": "550 5.7.1 No",
        "Reason": "on the list",
        "ReasonData": "",
        "Diagnostics": "",
        "NetworkMessageId": mail_id_text(MAIL.mail_id),
    }
    assert (record.kind, record.event, record.recipients) == ("agent", "RejectRecipients", "eve@ours.example")


@pytest.mark.parametrize(
    ("recipients", "action"),
    [
        (None, LoggedAction.REJECT_MESSAGE),
        ((BOB, EVE), LoggedAction.REJECT_MESSAGE),
        ((BOB,), LoggedAction.REJECT_RECIPIENTS),
    ],
    ids=["nobody named", "everybody named", "one named"],
)
def test_an_opinion_about_everybody_is_about_the_mail(
    recipients: tuple[Address, ...] | None, action: LoggedAction
) -> None:
    said = Disposition(
        action=Action.REJECT, verdicts=(Verdict.reject("a", NO, "x"),), decided_by="a", reply=NO
    )
    about = Subject(envelope=ENVELOPE, recipients=recipients)
    (record,) = agent_log.entries(SESSION, Stage.END_OF_DATA, said, at=AT, about=about)
    assert agent_log.decode(record).action is action


def test_findings_and_the_score_are_logged_and_silence_is_not() -> None:
    found = Verdict(agent="form", findings=(FINDING,))
    said = Disposition(
        action=Action.QUARANTINE,
        scl=7,
        verdicts=(found, Verdict(agent="x")),
        decided_by="score",
        reason="SCL 7",
    )
    first, second = (
        agent_log.decode(r) for r in agent_log.entries(SESSION, Stage.END_OF_DATA, said, at=AT, about=ABOUT)
    )
    assert (first.agent, first.action, first.reason_data) == (
        "form",
        LoggedAction.ACCEPT_MESSAGE,
        "long-line",
    )
    assert (second.agent, second.action, second.reason_data) == (
        "score",
        LoggedAction.QUARANTINE_MESSAGE,
        "SCL=7",
    )
    assert agent_log.entries(SESSION, Stage.RCPT, Disposition(verdicts=(Verdict(agent="x"),)), at=AT) == ()


def test_the_engines_refusals_are_logged_too() -> None:
    record = agent_log.refused_by_engine(
        SESSION, Stage.MAIL, Reply(521, "5.5.2", "Bare LF"), "bare LF", at=AT
    )
    entry = agent_log.decode(record)
    assert (entry.agent, entry.action, entry.smtp_response) == (
        "protocol",
        LoggedAction.DISCONNECT,
        "521 5.5.2 Bare LF",
    )
    assert (entry.recipient, entry.p1_from_address, entry.network_message_id) == ((), "", "")


WORDS = [
    (Stage.CONNECT, Action.REJECT, False, False, LoggedAction.REJECT_CONNECTION),
    (Stage.CONNECT, Action.PASS, False, False, LoggedAction.ACCEPT_MESSAGE),
    (Stage.HELO, Action.REJECT, False, False, LoggedAction.REJECT_COMMAND),
    (Stage.MAIL, Action.DEFER, False, False, LoggedAction.REJECT_COMMAND),
    (Stage.MAIL, Action.REJECT, False, True, LoggedAction.DISCONNECT),
    (Stage.AUTH, Action.REJECT, False, False, LoggedAction.REJECT_AUTHENTICATION),
    (Stage.RCPT, Action.REJECT, False, False, LoggedAction.REJECT_RECIPIENTS),
    (Stage.END_OF_HEADERS, Action.REJECT, False, False, LoggedAction.REJECT_MESSAGE),
    (Stage.END_OF_DATA, Action.REJECT, False, False, LoggedAction.REJECT_MESSAGE),
    (Stage.END_OF_DATA, Action.REJECT, True, False, LoggedAction.REJECT_RECIPIENTS),
    (Stage.END_OF_DATA, Action.QUARANTINE, True, False, LoggedAction.QUARANTINE_RECIPIENTS),
    (Stage.END_OF_DATA, Action.DISCARD, False, False, LoggedAction.DELETE_MESSAGE),
    (Stage.END_OF_DATA, Action.DISCARD, True, False, LoggedAction.DELETE_RECIPIENTS),
    (Stage.END_OF_DATA, Action.TAG, False, False, LoggedAction.ACCEPT_MESSAGE),
    (Stage.DISCONNECT, Action.REJECT, False, False, LoggedAction.DISCONNECT),
]


@pytest.mark.parametrize(("stage", "action", "some", "hangs_up", "logged"), WORDS)
def test_logged_action(
    stage: Stage, action: Action, some: bool, hangs_up: bool, logged: LoggedAction
) -> None:
    assert agent_log.logged_action(stage, action, some_recipients=some, hangs_up=hangs_up) is logged


def test_every_stage_has_an_event_name() -> None:
    for stage in Stage:
        assert agent_log.decode(agent_log.refused_by_engine(SESSION, stage, NO, "x", at=AT)).event.startswith(
            "On"
        )


VALUES = [
    ("plain", "hello", "hello"),
    ("CR LF", "a\r\nb", "a\\r\\nb"),
    ("NUL and ESC", "a\0\x1b[31m", "a\\x00\\x1b[31m"),
    ("BEL and backspace", "\x07\x08", "\\x07\\x08"),
    ("U+2028", "a\u2028b", "a\\u2028b"),
    ("bidirectional", "a\u202eb", "a\\u202eb"),
    ("a lone surrogate", "a\ud800", "a\\ud800"),
    ("letters stay", "Grüße 日本", "Grüße 日本"),
    ("format directives stay text", "%s%n{0.__class__}${jndi:x}", "%s%n{0.__class__}${jndi:x}"),
    ("a thousand characters", "a" * VALUE_LIMIT_CHARS, "a" * VALUE_LIMIT_CHARS),
    ("one more", "a" * (VALUE_LIMIT_CHARS + 1), "a" * VALUE_LIMIT_CHARS + "... (1001 characters)"),
]


@pytest.mark.threat("S01", "S02", "S03", "B37")
@pytest.mark.parametrize(("text", "there"), [v[1:] for v in VALUES], ids=[v[0] for v in VALUES])
def test_how_a_value_stands_in_a_record(text: str, there: str) -> None:
    assert shown(text) == there
    assert list(all_shown(["plain", text])) == ["plain", there]


PEER_TEXT = st.text(max_size=100) | st.sampled_from(
    ["a\r\nb", "to=<x>, status=sent", '","x":"y', "=cmd|x", "\ud800"]
)


def hostile(text: str) -> list[StoredRecord]:
    """A record of each kind with a peer's text wherever one goes."""
    mail = replace(MAIL, subject=text, message_id=text, client_ip="192.0.2.1", recipients=(to(0, BOB, text),))
    peer = Peer(connector="c", host=text, ip="192.0.2.1")
    about = Subject(envelope=ENVELOPE, message_id=text, from_addresses=(text,))
    said = Disposition(
        action=Action.TAG, verdicts=(Verdict(agent="a", action=Action.TAG, reason=text or "x"),)
    )
    return [
        tracking.received(
            mail, structs.replace(SESSION, helo=text), at=AT, hostname=OURS, from_address=text, reply=text
        ),
        tracking.sent(mail, mail.recipients, at=AT, hostname=OURS, peer=peer, reply=text),
        tracking.dead(mail, mail.recipients, at=AT, reply=text, reason=text),
        tracking.dropped(mail, mail.recipients, at=AT, agent="a", reason=text),
        *agent_log.entries(structs.replace(SESSION, helo=text), Stage.END_OF_DATA, said, at=AT, about=about),
    ]


@pytest.mark.threat("S01", "S02", "B15")
@given(PEER_TEXT)
def test_a_record_is_one_line_of_json_whatever_the_peer_said(text: str) -> None:
    for record in hostile(text):
        line = record.data.decode("utf-8")
        assert line.isprintable()
        values = json.loads(line)
        assert ("status" in values) is False
        assert len(values) in (27, 18)
        assert record.message_id.isprintable()


@pytest.mark.threat("S03")
def test_a_megabyte_is_cut_in_every_value() -> None:
    for record in hostile("x" * 1_000_000):
        assert len(record.data) < 10_000
        assert len(record.message_id) < 1100


@pytest.mark.threat("S01", "S02")
@given(PEER_TEXT)
def test_an_exported_log_keeps_its_columns_and_computes_nothing(text: str) -> None:
    # Given records with a peer's text, exported
    records = hostile(text)
    tracks = [r for r in records if r.kind == "track"]
    out = "".join(tracking_lines(tracks, at=AT))
    # When a CSV reader reads them
    head, rows = out.split("\r\n")[:5], list(csv.reader(io.StringIO(out, newline="")))[5:]
    # Then the columns are those named, and no cell is a formula
    names = head[4].removeprefix("#Fields: ").split(",")
    assert head[:3] == ["#Software: Gatepost", "#Version: 1.0", "#Log-Type: Message Tracking Log"]
    assert len(rows) == len(tracks)
    for row, record in zip(rows, tracks, strict=True):
        assert len(row) == len(names)
        assert not any(value.startswith(("=", "+", "-", "@")) for value in row)
        subject = row[names.index("message-subject")]
        assert subject.removeprefix("'") == tracking.decode(record).message_subject.removeprefix("'")


def test_the_agent_log_has_a_line_for_each_recipient() -> None:
    said = Disposition(action=Action.TAG, verdicts=(Verdict(agent="a", action=Action.TAG, reason="x"),))
    records = agent_log.entries(SESSION, Stage.END_OF_DATA, said, at=AT, about=ABOUT)
    lines = list(agent_log_lines(records, at=AT))
    assert lines[2] == "#Log-Type: Agent Log\r\n"
    assert lines[4].startswith(
        "#Fields: Timestamp,SessionId,LocalEndpoint,RemoteEndpoint,EnteredOrgFromIP,MessageId,"
    )
    assert len(lines) == 7
    assert ",bob@ours.example,2,a,OnEndOfData,AcceptMessage," in lines[5]
    assert ",eve@ours.example,2,a,OnEndOfData,AcceptMessage," in lines[6]
