"""What an administrator may say about notices: to whom, in which words, with copies to whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.notices.test_notices import (
    CONTENT,
    MAIL,
    NO_USER,
    NOW,
    STRANGER,
    TOKEN,
    OneWay,
    house,
    recipient,
)

from gatepost.config.schema import frozen
from gatepost.config.settings import Settings
from gatepost.message.headers import HeaderIndex
from gatepost.model.address import Address
from gatepost.model.content import Content
from gatepost.model.envelope import Notify
from gatepost.model.proof import ProvenBy, ReturnPathProof
from gatepost.model.queued import Accept, QueuedMail
from gatepost.notices.compose import compose_delay, compose_failure, compose_success
from gatepost.notices.policy import Kind, Silence
from gatepost.notices.remote import RemoteDomains, refused_kinds
from gatepost.notices.words import language_of, reason_in_words


def settings(notices: dict[str, Any] | None = None, remote: dict[str, Any] | None = None) -> Settings:
    text = {
        "server": {"hostname": "mx.ours.example"},
        "notices": notices or {},
        "remote-domains": remote or {},
    }
    return Settings.model_validate(frozen(text))


def failure(
    chosen: Settings, mail: QueuedMail = MAIL, content: Content = CONTENT, reply: str = NO_USER
) -> Accept | Silence:
    return compose_failure(
        mail,
        [(mail.recipients[0], reply)],
        content,
        house=house(chosen),
        now=NOW,
        mail_id=99,
        token=TOKEN,
    )


def octets(notice: Accept | Silence) -> bytes:
    assert isinstance(notice, Accept)
    assert isinstance(notice.content.body, bytes)
    return notice.content.head + notice.content.body


@pytest.mark.threat("L06")
def test_a_sender_nobody_knows_hears_nothing() -> None:
    # Given a mail of a client that is neither authenticated nor internal
    # Then its return path, which may be a victim's, gets no notice of any kind
    asked = replace(STRANGER, recipients=(recipient(notify=Notify.SUCCESS | Notify.FAILURE | Notify.DELAY),))
    told = [(asked.recipients[0], "250 2.1.5 OK")]
    way = {"house": house(settings()), "now": NOW, "mail_id": 99, "token": TOKEN}
    assert failure(settings(), asked) is Silence.UNKNOWN_SENDER
    assert compose_success(asked, told, CONTENT, relayed=True, **way) is Silence.UNKNOWN_SENDER  # type: ignore[arg-type]
    assert compose_delay(asked, told, CONTENT, **way) is Silence.UNKNOWN_SENDER  # type: ignore[arg-type]
    # And with notices.to = "everyone" it does
    assert isinstance(failure(settings({"to": "everyone"}), asked), Accept)


PROVEN = ReturnPathProof(by=ProvenBy.SPF, detail="there.example")


@pytest.mark.threat("L06")
def test_a_sender_whose_return_path_was_proven_hears_of_it() -> None:
    # Given a stranger's mail whose return path was proven when it came in, days ago
    asked = replace(
        STRANGER,
        proof=PROVEN,
        recipients=(recipient(notify=Notify.SUCCESS | Notify.FAILURE | Notify.DELAY),),
    )
    told = [(asked.recipients[0], "250 2.1.5 OK")]
    way = {"house": house(settings()), "now": NOW, "mail_id": 99, "token": TOKEN}
    # Then every kind of notice goes there
    assert isinstance(failure(settings(), asked), Accept)
    assert isinstance(compose_success(asked, told, CONTENT, relayed=True, **way), Accept)  # type: ignore[arg-type]
    assert isinstance(compose_delay(asked, told, CONTENT, **way), Accept)  # type: ignore[arg-type]
    # But not about spam, and not where a remote domain is to get none
    assert failure(settings(), replace(asked, scl=9)) is Silence.SPAM
    silent = settings(remote={"*": {"failure-notices": False}})
    assert failure(silent, asked) is Silence.REMOTE_DOMAIN


@pytest.mark.threat("L06")
def test_where_nothing_leads_to_strangers_they_get_no_notice_and_the_administrator_a_dead_letter() -> None:
    # Given a gateway that only takes mail in
    inside = replace(house(settings()), router=OneWay("unreachable"))
    way = {"house": inside, "now": NOW, "mail_id": 99, "token": TOKEN}
    proven = replace(STRANGER, proof=PROVEN)
    failed = [(proven.recipients[0], NO_USER)]
    assert compose_failure(proven, failed, CONTENT, **way) is Silence.NO_WAY  # type: ignore[arg-type]
    # Then a user's notice waits for a way, as all mail of users does
    ours = replace(proven, authenticated=True)
    assert isinstance(compose_failure(ours, failed, CONTENT, **way), Accept)  # type: ignore[arg-type]


DOMAINS = {
    "*": {"delay-notices": False},
    "partner.example": {},
    "*.partner.example": {"failure-notices": False},
    "*.deep.partner.example": {"success-notices": False},
}
LOOKED_UP = [
    ("the domain itself", "partner.example", set()),
    ("below it", "mx.partner.example", {Kind.FAILURE}),
    ("the nearest above counts", "a.b.deep.partner.example", {Kind.SUCCESS}),
    ("a name that only ends alike", "notpartner.example", {Kind.DELAY}),
    ("anybody else", "elsewhere.example", {Kind.DELAY}),
    ("an address literal", "[192.0.2.1]", {Kind.DELAY}),
]


@pytest.mark.parametrize(("domain", "refused"), [c[1:] for c in LOOKED_UP], ids=[c[0] for c in LOOKED_UP])
def test_the_nearest_entry_of_a_remote_domain_counts(domain: str, refused: set[Kind]) -> None:
    domains = RemoteDomains(settings(remote=DOMAINS).remote_domains)
    assert refused_kinds(domains.entry_for(domain)) == refused


def test_without_a_table_everything_goes_everywhere() -> None:
    assert refused_kinds(RemoteDomains({}).entry_for("a.example")) == frozenset()


def test_no_ndr_leaves_for_a_domain_that_gets_none() -> None:
    silent = settings(remote={"example.net": {"failure-notices": False}})
    assert failure(silent) is Silence.REMOTE_DOMAIN
    assert isinstance(failure(silent, replace(MAIL, sender=Address("ann", "example.org"))), Accept)


def test_diagnostics_may_stay_at_home() -> None:
    # Given a mail that passed inner hosts, and an answer that names one
    head = b"Received: from inner.ours.example\r\nX-Filter: inner\r\nSubject: hello\r\n\r\n"
    reply = "550 5.1.1 No such user at inner.ours.example"
    # When its notice goes to a domain that is to see no names
    hidden = settings(remote={"*": {"diagnostics": False}})
    notice = octets(failure(hidden, content=Content(head=head, body=b"text\r\n"), reply=reply))
    # Then only the codes are told
    assert b"inner" not in notice
    assert b"Subject: hello\r\n" in notice
    assert b"\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1\r\n" in notice
    assert b"inner" in octets(failure(settings(), content=Content(head=head, body=b"text\r\n"), reply=reply))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("550 5.1.1 No such user", b"smtp"),
        ("550 4.4.7 Not delivered in time; the last answer was: 451 4.3.0 later", b"X-Gatepost"),
        ("451 4.4.1 no connection to mx.example port 25: Connection refused", b"X-Gatepost"),
    ],
)
def test_our_own_words_are_no_diagnostic_of_smtp(reply: str, kind: bytes) -> None:
    assert b"\r\nDiagnostic-Code: " + kind + b"; " + reply[:20].encode() in octets(
        failure(settings(), reply=reply)
    )


GERMAN = {
    "5.1.1": "Dieses Postfach gibt es nicht.",
    "5.7": "Abgelehnt.",
    "5": "Ging nicht.",
    "failed": "Leider:",
}
CODES = [
    ("the whole code", "5.1.1", GERMAN["5.1.1"]),
    ("its subject", "5.7.1", GERMAN["5.7"]),
    ("its class", "5.2.2", GERMAN["5"]),
    ("no text of ours", "4.4.7", reason_in_words("4.4.7")),
]


@pytest.mark.parametrize(("status", "text"), [c[1:] for c in CODES], ids=[c[0] for c in CODES])
def test_the_nearest_own_text_of_a_code_counts(status: str, text: str) -> None:
    assert reason_in_words(status, GERMAN) == text


LANGUAGES = [
    ("asked for", b"Accept-Language: de-DE, en-US\r\n", "de"),
    ("the second of two", b"Accept-Language: fr, de;q=0.5\r\n", "de"),
    ("a region of its own", b"Accept-Language: pt-BR\r\n", "pt-br"),
    ("written in", b"Content-Language: de\r\n", "de"),
    ("none of ours", b"Accept-Language: fr\r\n", ""),
    ("nothing said", b"Subject: x\r\n", ""),
    ("rubbish", b"Accept-Language: \xff\xfe,,;;\r\n", ""),
    ("too far down", b"Accept-Language: " + b"fr, " * 20 + b"de\r\n", ""),
]


@pytest.mark.parametrize(("field", "language"), [c[1:] for c in LANGUAGES], ids=[c[0] for c in LANGUAGES])
def test_the_language_of_a_notice_is_the_mails(field: bytes, language: str) -> None:
    assert language_of(HeaderIndex.parse(field + b"\r\n"), {"de": {}, "pt-br": {}}) == language


WHO_CHOOSES = [
    ("the mail", {}, {}, b"Accept-Language: de\r\n\r\n", True),
    ("nobody", {}, {}, b"Subject: x\r\n\r\n", False),
    ("the house", {"language": "de"}, {}, b"Subject: x\r\n\r\n", True),
    ("the remote domain", {}, {"*": {"language": "de"}}, b"Subject: x\r\n\r\n", True),
    ("the mail before the house", {"language": "de"}, {}, b"Accept-Language: it\r\n\r\n", False),
]


@pytest.mark.parametrize(
    ("notices", "remote", "head", "german"), [c[1:] for c in WHO_CHOOSES], ids=[c[0] for c in WHO_CHOOSES]
)
def test_who_chooses_the_language(
    notices: dict[str, Any], remote: dict[str, Any], head: bytes, german: bool
) -> None:
    chosen = settings({"texts": {"de": GERMAN, "it": {"5": "No."}}, **notices}, remote)
    notice = octets(failure(chosen, content=Content(head=head, body=b"x\r\n")))
    assert (b"Leider:\r\n" in notice and b"Dieses Postfach" in notice) is german


def test_own_words_cannot_break_out_of_their_part() -> None:
    # Given an administrator's text of several lines with characters no line may have
    chosen = settings({"language": "de", "texts": {"de": {"5": "one\n\x1b[31mtwo", "failed": "Ä\r\nB"}}})
    notice = octets(failure(chosen))
    # Then the lines stand in the text, cleaned, and the other parts are where they were
    assert b"\x1b" not in notice
    assert notice.count(b"\r\n--=_" + TOKEN.encode()) == 4
    assert b"    one\r\n" in notice


COPIES = [
    ("a code on the list", {"copies-to": "help@ours.example"}, "554 5.4.6 Loop", ["ann", "help"]),
    ("another code", {"copies-to": "help@ours.example"}, NO_USER, ["ann"]),
    ("nobody to copy to", {}, "554 5.4.6 Loop", ["ann"]),
    (
        "a list of one's own",
        {"copies-to": "help@Ours.Example", "copy-codes": ["5.1.1"]},
        NO_USER,
        ["ann", "help"],
    ),
    ("the sender is the reader", {"copies-to": "ann@example.net"}, "554 5.4.6 Loop", ["ann"]),
]


@pytest.mark.parametrize(("notices", "reply", "readers"), [c[1:] for c in COPIES], ids=[c[0] for c in COPIES])
def test_copies_of_notices(notices: dict[str, Any], reply: str, readers: list[str]) -> None:
    notice = failure(settings(notices), reply=reply)
    assert isinstance(notice, Accept)
    assert [r.recipient.address.local for r in notice.mail.recipients] == readers
    assert [r.number for r in notice.mail.recipients] == list(range(len(readers)))
    assert all(r.recipient.notify is Notify.NEVER for r in notice.mail.recipients)
