"""Who hears, what the notice says, and what mail it becomes."""

from __future__ import annotations

import email
import email.policy
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.settings import Settings
from gatepost.message.dsn import Outcome, ReportedRecipient
from gatepost.message.headers import HeaderIndex
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.content import BodyForm, Content, SpooledBody
from gatepost.model.envelope import BodyType, Notify, Recipient, Ret
from gatepost.model.queued import Accept, MailState, QueuedMail, QueuedRecipient
from gatepost.notices.compose import (
    House,
    RecipientReply,
    Routes,
    compose_delay,
    compose_failure,
    compose_success,
    postmaster,
    wants_grave,
)
from gatepost.notices.policy import Audience, Kind, Rules, Silence, may_answer_automatically, who_hears
from gatepost.notices.rate import WINDOW_S, NoticeRate
from gatepost.notices.remote import RemoteDomains
from gatepost.notices.words import reason_in_words, text_for_people
from gatepost.routing.next_hop import NextHop

NOW = 1_795_352_700.0
TOKEN = "0123456789abcdef0123456789abcdef"
NO_USER = "550 5.1.1 No such user"
ACCEPTED = AcceptedDomains({"ours.example": DomainType.AUTHORITATIVE})


class OneWay:
    """Everything goes to one next hop; or nothing goes anywhere."""

    def __init__(self, key: str = "internet:smtp:example.net") -> None:
        self.asked: list[Address] = []
        self._key = key

    def next_hop_for(self, address: Address) -> _Hop:
        self.asked.append(address)
        return _Hop(self._key)


class _Hop:
    def __init__(self, key: str) -> None:
        self.key = key
        self.first_state = MailState.UNREACHABLE if key == "unreachable" else MailState.READY


def settings(**notices: Any) -> Settings:
    return Settings.model_validate({"server": {"hostname": "mx.ours.example"}, "notices": notices})


def recipient(name: str = "bob", notify: Notify = Notify.DEFAULT, number: int = 0) -> QueuedRecipient:
    address = Address(name, "example.com")
    return QueuedRecipient(number=number, recipient=Recipient(address=address, notify=notify), next_hop="x")


MAIL = QueuedMail(
    mail_id=(1_795_352_000_000 << 20) + 7,
    session_id="0123456789abcdef",
    received_at=NOW - 60,
    expires_at=NOW + 1000,
    sender=Address("ann", "example.net"),
    recipients=(recipient(),),
    size_bytes=100,
    source="SMTP:internet",
    authenticated=True,
    message_id="<1@example.net>",
    subject="hello",
    envid="QQ1",
)
STRANGER = replace(MAIL, authenticated=False)
CONTENT = Content(head=b"From: ann@example.net\r\nSubject: hello\r\n\r\n", body=b"How are you?\r\n")


def house(
    with_settings: Settings | None = None, router: Routes | None = None, rate: NoticeRate | None = None
) -> House:
    chosen = with_settings or settings()
    return House(
        settings=chosen,
        hostname="mx.ours.example",
        accepted=ACCEPTED,
        router=router or OneWay(),
        remote=RemoteDomains(chosen.remote_domains),
        rate=rate,
    )


def failure(
    mail: QueuedMail = MAIL,
    failed: tuple[RecipientReply, ...] = ((MAIL.recipients[0], NO_USER),),
    content: Content = CONTENT,
    *,
    with_settings: Settings | None = None,
    router: OneWay | None = None,
    rate: NoticeRate | None = None,
) -> Accept | None:
    """The notice; None for any silence."""
    notice = compose_failure(
        mail,
        failed,
        content,
        house=house(with_settings, router, rate),
        now=NOW,
        mail_id=99,
        token=TOKEN,
    )
    return notice if isinstance(notice, Accept) else None


def written(notice: Accept | Silence | None) -> bytes:
    assert isinstance(notice, Accept)
    assert isinstance(notice.content.body, bytes)
    return notice.content.head + notice.content.body


def test_a_failure_becomes_a_mail_of_ours() -> None:
    # When a recipient has failed
    router = OneWay()
    notice = failure(router=router)
    # Then the sender gets a notice from nobody, that is never answered
    assert notice is not None
    mail = notice.mail
    assert mail.sender == NULL_SENDER
    assert mail.recipients == (
        QueuedRecipient(
            number=0,
            recipient=Recipient(address=MAIL.sender, notify=Notify.NEVER),
            next_hop="internet:smtp:example.net",
            due_at=NOW,
        ),
    )
    assert (mail.mail_id, mail.source, mail.is_notice, mail.session_id) == (99, "DSN", True, MAIL.session_id)
    assert (mail.received_at, mail.expires_at) == (NOW, NOW + 86400)
    assert mail.size_bytes == len(written(notice))
    assert (mail.body_type, mail.smtputf8) == (BodyType.SEVEN_BIT, False)
    assert router.asked == [MAIL.sender]
    # And its bytes say so
    message = email.message_from_bytes(written(notice), policy=email.policy.default)
    assert message["Return-Path"] is None
    assert message["From"] == "Mail Delivery System <postmaster@ours.example>"
    assert message["Message-ID"] == mail.message_id
    assert b"bob@example.com\r\n    There is no such mailbox." in written(notice)
    assert b"The answer was: 550 5.1.1 No such user" in written(notice)
    assert b"Original-Envelope-Id: QQ1\r\n" in written(notice)


def test_a_notice_nobody_can_carry_waits() -> None:
    notice = failure(router=OneWay("unreachable"))
    assert notice is not None
    assert notice.mail.recipients[0].state is MailState.UNREACHABLE


def test_the_router_of_the_house_fits() -> None:
    class Router:
        def next_hop_for(self, address: Address) -> NextHop:
            return NextHop(key="unreachable")

    notice = compose_failure(
        MAIL, [(MAIL.recipients[0], NO_USER)], CONTENT,
        house=house(router=Router()), now=NOW, mail_id=99, token=TOKEN,
    )  # fmt: skip
    assert isinstance(notice, Accept)
    assert notice.mail.recipients[0].next_hop == "unreachable"


NEVER, ON_FAILURE, ON_SUCCESS, ON_DELAY = Notify.NEVER, Notify.FAILURE, Notify.SUCCESS, Notify.DELAY
LIST_HEAD = b"List-Id: <a.example>\r\n\r\n"
BOTH = ON_FAILURE | ON_DELAY
SILENCES = [
    ("nothing asked, failed", MAIL, Notify.DEFAULT, Kind.FAILURE, b"\r\n", None),
    ("nothing asked, waiting", MAIL, Notify.DEFAULT, Kind.DELAY, b"\r\n", None),
    ("nothing asked, delivered", MAIL, Notify.DEFAULT, Kind.SUCCESS, b"\r\n", Silence.NOT_WANTED),
    ("never", MAIL, NEVER, Kind.FAILURE, b"\r\n", Silence.NOT_WANTED),
    ("never, delivered", MAIL, NEVER, Kind.SUCCESS, b"\r\n", Silence.NOT_WANTED),
    ("failures only, failed", MAIL, ON_FAILURE, Kind.FAILURE, b"\r\n", None),
    ("failures only, waiting", MAIL, ON_FAILURE, Kind.DELAY, b"\r\n", Silence.NOT_WANTED),
    ("failures and delays, waiting", MAIL, BOTH, Kind.DELAY, b"\r\n", None),
    ("success only, failed", MAIL, ON_SUCCESS, Kind.FAILURE, b"\r\n", Silence.NOT_WANTED),
    ("success only, delivered", MAIL, ON_SUCCESS, Kind.SUCCESS, b"\r\n", None),
    (
        "a bounce",
        replace(MAIL, sender=NULL_SENDER),
        Notify.DEFAULT,
        Kind.FAILURE,
        b"\r\n",
        Silence.NULL_SENDER,
    ),
    (
        "a sender without a domain",
        replace(MAIL, sender=Address("ann", "")),
        ON_FAILURE,
        Kind.FAILURE,
        b"\r\n",
        Silence.NULL_SENDER,
    ),
    (
        "our own notice",
        replace(MAIL, is_notice=True),
        Notify.DEFAULT,
        Kind.FAILURE,
        b"\r\n",
        Silence.OWN_NOTICE,
    ),
    ("spam of somebody", replace(STRANGER, scl=5), Notify.DEFAULT, Kind.FAILURE, b"\r\n", Silence.SPAM),
    ("nearly spam", replace(STRANGER, scl=4), Notify.DEFAULT, Kind.FAILURE, b"\r\n", None),
    (
        "spam of a user of ours",
        replace(MAIL, scl=9, authenticated=True),
        Notify.DEFAULT,
        Kind.FAILURE,
        b"\r\n",
        None,
    ),
    ("a list hears of failures", MAIL, Notify.DEFAULT, Kind.FAILURE, LIST_HEAD, None),
    ("but not of delays", MAIL, Notify.DEFAULT, Kind.DELAY, LIST_HEAD, Silence.AUTOMATIC),
]


@pytest.mark.threat("L04", "L05", "L09")
@pytest.mark.parametrize(
    ("mail", "notify", "kind", "head", "silence"), [s[1:] for s in SILENCES], ids=[s[0] for s in SILENCES]
)
def test_who_hears(
    mail: QueuedMail, notify: Notify, kind: Kind, head: bytes, silence: Silence | None
) -> None:
    bob = recipient(notify=notify)
    rules = Rules(to_everyone=True, spam_from_scl=5)
    audience = who_hears(mail, [bob], kind, head=head, rules=rules)
    assert audience == (Audience((bob,)) if silence is None else Audience(silence=silence))


@pytest.mark.threat("L04")
@pytest.mark.parametrize(
    "mail", [replace(MAIL, sender=NULL_SENDER), replace(MAIL, is_notice=True)], ids=["null sender", "notice"]
)
def test_a_bounce_is_never_answered_by_a_bounce(mail: QueuedMail) -> None:
    assert failure(mail) is None


def test_what_fails_of_our_own_mail_is_a_dead_letter_when_it_told_of_a_failure() -> None:
    """Else nobody would know that a mail was lost; that a success was not told is no loss."""
    told = failure(MAIL)
    assert told is not None
    assert all(wants_grave(told.mail, r) for r in told.mail.recipients)
    for other in (
        replace(told.mail, subject="Your mail is not delivered yet"),
        replace(told.mail, source="DMARC-REPORT"),
    ):
        assert not any(wants_grave(other, r) for r in other.recipients)


@pytest.mark.threat("F33")
def test_a_recipient_that_the_next_hop_refuses_later_is_told_to_senders_we_know_only() -> None:
    # Given recipients of a domain that is not ours to check, refused when we tried to deliver
    assert failure(MAIL) is not None
    assert failure(STRANGER) is None
    assert wants_grave(STRANGER, STRANGER.recipients[0])


@pytest.mark.threat("L05")
def test_undeliverable_spam_of_a_stranger_is_not_thrown_at_its_sender() -> None:
    everyone = settings(to="everyone")
    assert failure(STRANGER, with_settings=everyone) is not None
    assert failure(replace(STRANGER, scl=5), with_settings=everyone) is None
    assert failure(replace(MAIL, scl=5)) is not None


def test_notify_never_is_silence_without_a_grave() -> None:
    bob = recipient(notify=NEVER)
    assert failure(failed=((bob, NO_USER),)) is None
    assert not wants_grave(MAIL, bob)


@pytest.mark.threat("L11")
def test_a_thousand_failures_are_one_notice() -> None:
    # Given a mail whose 1,000 recipients failed, every second of whom nobody wants to hear about
    failed = tuple(
        (recipient(f"user{n}", NEVER if n % 2 else Notify.DEFAULT, n), NO_USER) for n in range(1000)
    )
    # When the notice is written
    notice = written(failure(failed=failed))
    # Then it is one, with those 500 in the machine's part and 100 in the people's
    assert notice.count(b"\r\nFinal-Recipient: ") == 500
    assert b"user1@" not in notice
    assert notice.count(b"    The answer was: ") == 100
    assert b"and 400 more" in notice


@pytest.mark.threat("L11", "L06")
def test_a_flood_of_notices_to_one_domain_ends() -> None:
    # Given two notices an hour for a domain
    rate = NoticeRate(limit=2)
    admitted = [rate.admits("victim.example", NOW + n) for n in range(4)]
    # Then the third is not written; others' are, and so are the next hour's
    assert admitted == [True, True, False, False]
    assert rate.admits("other.example", NOW)
    assert not rate.admits("victim.example", NOW + WINDOW_S - 1)
    assert rate.admits("victim.example", NOW + WINDOW_S)


@pytest.mark.threat("L11")
def test_a_clock_that_goes_back_does_not_silence_us() -> None:
    rate = NoticeRate(limit=1)
    assert rate.admits("a.example", NOW)
    assert rate.admits("a.example", NOW - 10 * WINDOW_S)


@pytest.mark.threat("L11")
def test_domains_counted_are_bounded() -> None:
    rate = NoticeRate(limit=1, targets_limit=3)
    assert all(rate.admits(f"d{n}.example", NOW) for n in range(4))
    # The first was forgotten, the others were not.
    assert [rate.admits(f"d{n}.example", NOW) for n in (1, 2, 3, 0)] == [False, False, False, True]


@pytest.mark.threat("L11")
def test_a_notice_over_the_limit_is_not_written() -> None:
    rate = NoticeRate(limit=1)
    notices = [failure(rate=rate) for _ in range(2)]
    assert [n is not None for n in notices] == [True, False]


AUTOMATIC = [
    ("a person", b"Subject: x", True),
    ("Auto-Submitted: no", b"Auto-Submitted: no", True),
    ("auto-replied", b"Auto-Submitted: auto-replied", False),
    ("auto-generated with a comment", b"auto-submitted: Auto-Generated; x", False),
    ("bulk", b"Precedence: Bulk", False),
    ("list", b"Precedence: list", False),
    ("first-class", b"Precedence: first-class", True),
    ("a list", b"List-Id: <a.example>", False),
    ("a newsletter", b"List-Unsubscribe: <mailto:x@a.example>", False),
    ("Exchange's wish", b"X-Auto-Response-Suppress: OOF", False),
]


@pytest.mark.threat("L09")
@pytest.mark.parametrize(("field", "may"), [a[1:] for a in AUTOMATIC], ids=[a[0] for a in AUTOMATIC])
def test_machines_get_no_automatic_answer(field: bytes, may: bool) -> None:
    assert may_answer_automatically(HeaderIndex.parse(field + b"\r\n\r\n"), MAIL.sender) is may


@pytest.mark.threat("L09")
@pytest.mark.parametrize(
    "local", ["MAILER-DAEMON", "noreply", "no-reply", "owner-list", "list-bounces", "list-request"]
)
def test_nor_do_their_addresses(local: str) -> None:
    assert not may_answer_automatically(HeaderIndex.parse(b"\r\n"), Address(local, "a.example"))
    assert not may_answer_automatically(HeaderIndex.parse(b"\r\n"), NULL_SENDER)


LIMIT = 51200
LINES = (b"a" * 76 + b"\r\n") * 1000
WHOLE, HEAD_ONLY = b"message/rfc822", b"text/rfc822-headers"


RETURNS = [
    ("a small mail", None, CONTENT, WHOLE),
    ("RET=FULL", Ret.FULL, CONTENT, WHOLE),
    ("RET=HDRS", Ret.HDRS, CONTENT, HEAD_ONLY),
    (
        "at the limit",
        None,
        Content(head=CONTENT.head, body=LINES[: LIMIT - len(CONTENT.head)]),
        WHOLE,
    ),
    (
        "over the limit",
        Ret.FULL,
        Content(head=CONTENT.head, body=LINES[: LIMIT - len(CONTENT.head) + 1]),
        HEAD_ONLY,
    ),
    ("a body in a file", Ret.FULL, Content(head=CONTENT.head, body=SpooledBody("x", 10, 0)), HEAD_ONLY),
]


@pytest.mark.threat("L10")
@pytest.mark.parametrize(("ret", "content", "kind"), [r[1:] for r in RETURNS], ids=[r[0] for r in RETURNS])
def test_how_much_goes_back(ret: Ret | None, content: Content, kind: bytes) -> None:
    notice = written(failure(replace(MAIL, ret=ret), content=content))
    assert b"Content-Type: " + kind + b"\r\n" in notice


@pytest.mark.threat("L10")
def test_a_huge_mail_makes_a_small_notice_quickly() -> None:
    content = Content(head=b"A: " + b"b" * 200_000 + b"\r\n\r\n", body=b"x" * 36_000_000)
    started = time.process_time()
    assert len(written(failure(content=content))) < 100_000
    assert time.process_time() - started < 10


def test_an_8bit_mail_comes_back_as_8bit() -> None:
    notice = failure(content=Content(head=CONTENT.head, body=b"\xe4\r\n"))
    assert notice is not None
    assert notice.mail.body_type is BodyType.EIGHT_BIT_MIME
    assert notice.content.form == BodyForm(size_bytes=len(notice.content.body), has_8bit=True)  # type: ignore[arg-type]  # bytes here


def test_a_sender_beyond_ascii_needs_smtputf8() -> None:
    notice = failure(replace(MAIL, sender=Address("änn", "example.net"), smtputf8=True))
    assert notice is not None
    assert notice.mail.smtputf8


def success(relayed: bool, notify: Notify) -> Accept | Silence:
    return compose_success(
        MAIL, [(recipient(notify=notify), "250 2.1.5 OK")], CONTENT, relayed=relayed,
        house=house(), now=NOW, mail_id=99, token=TOKEN,
    )  # fmt: skip


@pytest.mark.parametrize(("relayed", "action"), [(True, b"relayed"), (False, b"delivered")])
def test_success_is_told_when_asked_for(relayed: bool, action: bytes) -> None:
    notice = written(success(relayed, ON_SUCCESS))
    assert b"\r\nAction: " + action + b"\r\nStatus: 2.1.5\r\n" in notice
    assert b"How are you?" not in notice
    assert success(relayed, Notify.DEFAULT) is Silence.NOT_WANTED


def test_a_delay_says_that_nothing_need_be_done() -> None:
    notice = compose_delay(
        MAIL, [(recipient(), "451 4.4.1 No answer")], CONTENT,
        house=house(), now=NOW, mail_id=99, token=TOKEN,
    )  # fmt: skip
    assert b"\r\nAction: delayed\r\nStatus: 4.4.1\r\n" in written(notice)
    assert b"You need not do anything" in written(notice)
    assert b"Will-Retry-Until: " in written(notice)


@pytest.mark.parametrize(
    ("setting", "accepted", "sender"),
    [
        ("", ACCEPTED, Address("postmaster", "ours.example")),
        ("", AcceptedDomains({}), Address("postmaster", "mx.ours.example")),
        ("help@Other.Example", ACCEPTED, Address("help", "other.example")),
        ("nonsense", ACCEPTED, Address("postmaster", "ours.example")),
    ],
)
def test_postmaster(setting: str, accepted: AcceptedDomains, sender: Address) -> None:
    assert postmaster(settings(postmaster=setting), accepted, "mx.ours.example") == sender


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("5.1.1", "no such mailbox"),
        ("4.4.7", "so long that we gave up"),
        ("5.7.999", "refused the mail by its rules"),
        ("5.9.9", "did not say why"),
        ("", "did not say why"),
    ],
)
def test_reasons_are_words(status: str, words: str) -> None:
    assert words in reason_in_words(status)


@pytest.mark.threat("L10", "B37")
@given(
    subject=st.text(max_size=300),
    footer=st.text(max_size=300),
    reply=st.text(max_size=800),
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=64),
)
def test_the_text_for_people_is_plain_lines(subject: str, footer: str, reply: str, name: str) -> None:
    bob = ReportedRecipient(address=Address(name, "example.com"), outcome=Outcome.FAILED, reply=reply)
    text = text_for_people([bob], hostname="mx.ours.example", subject=subject, footer=footer, mail_id="x")
    assert all(line.isprintable() and len(line) <= 998 for line in text.split("\n"))
