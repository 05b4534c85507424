"""Notices as others read them, and that no peer's text can shape them."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.message.dsn import (
    DIAGNOSTIC_LIMIT_BYTES,
    Composed,
    Outcome,
    Report,
    ReportedRecipient,
    clean_diagnostic,
    compose,
    status_of,
)
from gatepost.model.address import Address

NOW = 1_795_352_700.0
HEAD = b"From: ann@example.net\r\nSubject: hello\r\n\r\n"
BODY = b"How are you?\r\n"
FAILED = ReportedRecipient(
    address=Address("bob", "example.com"),
    orcpt="rfc822;robert@example.com",
    outcome=Outcome.FAILED,
    reply="550 5.1.1 No such user",
    last_attempt_at=NOW,
)
REPORT = Report(
    to=Address("ann", "example.net"),
    sent_from=Address("postmaster", "example.org"),
    subject="Your mail was not delivered",
    text="It did not work.\nSorry.",
    recipients=(FAILED,),
    hostname="mx.example.org",
    mail_id="1k3v8q0zt4w00",
    arrived_at=NOW - 60,
    envid="QQ314159",
    message_id="<1@example.net>",
    now=NOW,
    notice_id="1k3v8q0zt4w01",
    boundary_token="0123456789abcdef0123456789abcdef",
)


def composed(
    report: Report = REPORT, head: bytes = HEAD, body: bytes | None = BODY, limit: int = 51200
) -> Composed:
    return compose(report, head, body, head_limit_bytes=limit)


def read(notice: Composed) -> EmailMessage:
    """As the standard library reads it."""
    message = email.message_from_bytes(notice.head + notice.body, policy=email.policy.SMTPUTF8)
    assert isinstance(message, EmailMessage)
    return message


def parts(notice: Composed) -> list[EmailMessage]:
    payload = read(notice).get_payload()
    assert isinstance(payload, list)
    return payload  # type: ignore[return-value]  # a multipart's payload is its parts


def status_groups(notice: Composed) -> list[dict[str, str]]:
    groups = parts(notice)[1].get_payload()
    assert isinstance(groups, list)
    return [{k: str(v) for k, v in group.items()} for group in groups]  # type: ignore[union-attr]  # header blocks


def test_a_failure_notice_is_what_rfc_3464_asks_for() -> None:
    # When the notice is read by somebody else's parser
    notice = composed()
    message = read(notice)
    # Then it is a report from us to the sender, marked as automatic
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    assert (message["From"], message["To"]) == (
        "Mail Delivery System <postmaster@example.org>",
        "ann@example.net",
    )
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == "<1@example.net>"
    assert not message.defects
    # And it has text, status and mail
    kinds = [part.get_content_type() for part in parts(notice)]
    assert kinds == ["text/plain", "message/delivery-status", "message/rfc822"]
    assert parts(notice)[0].get_content().splitlines()[:2] == ["It did not work.", "Sorry."]
    about_mail, about_bob = status_groups(notice)
    assert about_mail == {
        "Original-Envelope-Id": "QQ314159",
        "Reporting-MTA": "dns; mx.example.org",
        "Arrival-Date": "Sun, 22 Nov 2026 13:04:00 +0000",
    }
    assert about_bob == {
        "Original-Recipient": "rfc822; robert@example.com",
        "Final-Recipient": "rfc822; bob@example.com",
        "Action": "failed",
        "Status": "5.1.1",
        "Diagnostic-Code": "smtp; 550 5.1.1 No such user",
        "Last-Attempt-Date": "Sun, 22 Nov 2026 13:05:00 +0000",
        "Final-Log-ID": "1k3v8q0zt4w00",
    }
    assert HEAD + BODY in notice.body
    assert not notice.needs_8bit


@pytest.mark.parametrize(
    ("reply", "is_ours", "expected"),
    [
        ("550 5.1.1 No such user", False, "smtp; 550 5.1.1 No such user"),
        ("554 5.7.0 Removed from the queue", True, "X-Gatepost; 554 5.7.0 Removed from the queue"),
        ("no host was found", False, "X-Gatepost; no host was found"),
    ],
    ids=["a server said it", "we say it", "nobody said it"],
)
def test_only_what_a_server_said_is_a_diagnostic_of_smtp(reply: str, is_ours: bool, expected: str) -> None:
    """RFC 3464 section 2.3.6."""
    failed = replace(FAILED, reply=reply, is_ours=is_ours)
    assert status_groups(composed(replace(REPORT, recipients=(failed,))))[1]["Diagnostic-Code"] == expected


def test_headers_only() -> None:
    notice = composed(body=None)
    assert parts(notice)[2].get_content_type() == "text/rfc822-headers"
    assert HEAD in notice.body
    assert BODY not in notice.body


def test_a_delay_says_until_when_we_try() -> None:
    waiting = replace(FAILED, outcome=Outcome.DELAYED, reply="451 4.4.1 No answer")
    group = status_groups(composed(replace(REPORT, recipients=(waiting,), will_retry_until_at=NOW + 60)))[1]
    assert (group["Action"], group["Status"]) == ("delayed", "4.4.1")
    assert group["Will-Retry-Until"] == "Sun, 22 Nov 2026 13:06:00 +0000"


STATUSES = [
    ("550 5.1.1 No such user", Outcome.FAILED, "5.1.1"),
    ("550-5.1.1 No such user", Outcome.FAILED, "5.1.1"),
    ("550 No such user", Outcome.FAILED, "5.0.0"),
    ("550 4.4.7 Not delivered in time", Outcome.FAILED, "4.4.7"),
    ("550 2.0.0 odd", Outcome.FAILED, "5.0.0"),
    ("451 4.4.1 No answer", Outcome.DELAYED, "4.4.1"),
    ("550 5.1.1 odd", Outcome.DELAYED, "4.0.0"),
    ("250 2.1.5 OK", Outcome.RELAYED, "2.1.5"),
    ("250 OK", Outcome.DELIVERED, "2.0.0"),
    ("", Outcome.FAILED, "5.0.0"),
    ("550 5.1.1.1 version", Outcome.FAILED, "5.0.0"),
    ("550 5.7.1000 too long", Outcome.FAILED, "5.0.0"),
    ("rubbish 5.1.1", Outcome.FAILED, "5.0.0"),
]


@pytest.mark.parametrize(("reply", "outcome", "status"), STATUSES)
def test_status_of(reply: str, outcome: Outcome, status: str) -> None:
    assert status_of(reply, outcome) == status


@pytest.mark.threat("L10")
def test_a_diagnostic_is_one_ascii_line_of_500_octets() -> None:
    assert clean_diagnostic("550 a\r\nb\0c\x1b\u2028ü") == "550 a  b?c???"
    assert len(clean_diagnostic("550 " + "x" * 10_000)) == DIAGNOSTIC_LIMIT_BYTES


SENDER_WITH_UMLAUT = replace(REPORT, to=Address("änn", "example.net"))
UTF8_HEAD = "Subject: Grüße\r\n\r\n".encode()
RETURNED = [
    ("an ordinary mail", REPORT, HEAD, BODY, "message/rfc822", "7bit"),
    ("an 8-bit body", REPORT, HEAD, b"\xe4\r\n", "message/rfc822", "8bit"),
    ("NUL in the body", REPORT, HEAD, b"\0\r\n", "text/rfc822-headers", "7bit"),
    ("a bare LF in the body", REPORT, HEAD, b"a\nb\r\n", "text/rfc822-headers", "7bit"),
    ("a bare CR in the body", REPORT, HEAD, b"a\rb\r\n", "text/rfc822-headers", "7bit"),
    ("998 octets in a line", REPORT, HEAD, b"a" * 998 + b"\r\n", "message/rfc822", "7bit"),
    ("one more", REPORT, HEAD, b"a" * 999 + b"\r\n", "text/rfc822-headers", "7bit"),
    ("8-bit in the head", REPORT, UTF8_HEAD, BODY, "text/rfc822-headers", "base64"),
    ("CRs in the head", REPORT, b"A: b\rc\r\n\r\n", BODY, "text/rfc822-headers", "base64"),
    ("NUL in the head", REPORT, b"A: b\0\r\n\r\n", None, "text/rfc822-headers", "base64"),
    ("8-bit to an 8-bit sender", SENDER_WITH_UMLAUT, UTF8_HEAD, BODY, "message/global", "8bit"),
    ("its head only", SENDER_WITH_UMLAUT, UTF8_HEAD, None, "message/global-headers", "8bit"),
    ("no UTF-8", SENDER_WITH_UMLAUT, b"A: \xff\r\n\r\n", None, "text/rfc822-headers", "base64"),
]


@pytest.mark.threat("L10")
@pytest.mark.parametrize(
    ("report", "head", "body", "kind", "encoding"), [r[1:] for r in RETURNED], ids=[r[0] for r in RETURNED]
)
def test_what_goes_back(report: Report, head: bytes, body: bytes | None, kind: str, encoding: str) -> None:
    # When a notice about such a mail is read
    notice = composed(report, head, body)
    returned = notice.body.split(b"\r\n--=_")[3]
    # Then its last part is of this kind, and says what it needs
    assert f"Content-Type: {kind}".encode() in returned
    assert f"Content-Transfer-Encoding: {encoding}".encode() in returned or encoding == "7bit"
    assert notice.needs_8bit == (
        encoding == "8bit" or (report is SENDER_WITH_UMLAUT and not notice.body.isascii())
    )
    # And no byte of it is one a next hop would refuse
    lines = notice.body.split(b"\r\n")
    assert all(len(line) <= 998 and not set(b"\r\n\0") & set(line) for line in lines)


@pytest.mark.threat("L10")
def test_a_long_head_comes_back_cut_at_a_field() -> None:
    # Given a header section of 64 fields of 1 KiB, of which 50 KiB may go back
    head = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 900) for n in range(64)) + b"\r\n"
    notice = composed(head=head, body=None, limit=50 * 1024)
    # Then whole fields came back, within the limit
    returned = notice.body.partition(b"text/rfc822-headers\r\n\r\n")[2].partition(b"\r\n\r\n")[0]
    assert 49 * 1024 < len(returned) <= 50 * 1024
    assert head.startswith(returned + b"\r\n")
    # And a single field that is larger than the limit does no harm
    assert b"a" * 900 not in composed(head=head, body=None, limit=500).body


def test_one_long_line_of_text_beyond_ascii_has_no_bare_newline() -> None:
    body = composed(replace(REPORT, text="ü" * 300)).body
    assert body.count(b"\n") == body.count(b"\r\n")
    assert "ü" * 300 in parts(composed(replace(REPORT, text="ü" * 300)))[0].get_content()


def test_a_sender_beyond_ascii_gets_the_forms_of_rfc_6533() -> None:
    bob = replace(FAILED, address=Address("böb", "example.com"), orcpt="utf-8;böb@example.com")
    notice = composed(replace(SENDER_WITH_UMLAUT, recipients=(bob,)))
    assert b"Content-Type: message/global-delivery-status\r\n" in notice.body
    assert "Final-Recipient: utf-8; böb@example.com\r\n".encode() in notice.body
    assert notice.needs_8bit


def test_an_ascii_sender_gets_ascii() -> None:
    bob = replace(FAILED, address=Address("böb", "example.com"), orcpt="utf-8;böb@example.com")
    notice = composed(replace(REPORT, recipients=(bob,)))
    assert b"Final-Recipient: utf-8; b\\x{F6}b@example.com\r\n" in notice.body
    assert notice.body.isascii()


HOSTILE = st.text(
    st.sampled_from("\r\n\0\x1b :;a<>@=-\u2028ü.5") | st.characters(exclude_categories=["Cs"]), max_size=300
)


@pytest.mark.threat("L10", "B37")
@given(reply=HOSTILE, orcpt=HOSTILE, envid=HOSTILE, message_id=HOSTILE, text=HOSTILE, utf8=st.booleans())
def test_no_peer_text_shapes_a_notice(
    reply: str, orcpt: str, envid: str, message_id: str, text: str, utf8: bool
) -> None:
    # Given texts of a peer wherever peers' texts go
    recipient = replace(FAILED, reply=f"550 {reply}", orcpt=f"rfc822;{orcpt}")
    report = replace(
        SENDER_WITH_UMLAUT if utf8 else REPORT,
        recipients=(recipient, FAILED),
        envid=envid,
        message_id=message_id,
        text=text.replace("\r", ""),
    )
    notice = composed(report)
    # Then the notice has the shape it always has
    assert len(parts(notice)) == 3
    raw_status = notice.body.split(b"\r\n--=_")[2].partition(b"\r\n\r\n")[2]
    groups = raw_status.split(b"\r\n\r\n")
    assert len(groups) == 3
    names = [line.partition(b":")[0] for line in groups[1].split(b"\r\n") if line[:1] != b" "]
    assert sorted(set(names)) == sorted(names)
    assert set(names) <= {
        b"Original-Recipient", b"Final-Recipient", b"Action", b"Status", b"Diagnostic-Code", b"Last-Attempt-Date",
        b"Final-Log-ID",
    }  # fmt: skip
    assert all(len(line) <= 998 for line in (notice.head + notice.body).split(b"\r\n"))
    assert [k for k, _ in read(notice).items()].count("To") == 1


@pytest.mark.threat("L10")
@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 5000, "\U00010348" * 5000, "\u2028" * 5000, " " * 5000])
@pytest.mark.parametrize("to", [REPORT, SENDER_WITH_UMLAUT], ids=["ascii", "utf-8"])
def test_texts_of_any_length_fit(text: str, to: Report) -> None:
    # Given texts without a blank to fold at, where a line must stay within 998 octets
    local = (text.strip() or "a")[:1000].replace("\u2028", "x")
    recipient = replace(
        FAILED, address=Address(local, "a.example"), orcpt=f"rfc822;{text}", reply=f"550 {text}"
    )
    notice = composed(replace(to, recipients=(recipient,), envid=text, message_id=f"<{text}>"))
    # Then the notice is written, and every line fits
    assert all(len(line) <= 998 for line in (notice.head + notice.body).split(b"\r\n"))
    assert len(notice.body) < 10_000


@pytest.mark.threat("L10")
@pytest.mark.parametrize(
    "message_id", ["<1@a>\r\nBcc: <b@c>", "<1@a> <2@b>", "1@a", "<ü@a>", "", f"<{'a' * 251}>"]
)
def test_only_a_plain_message_id_is_answered(message_id: str) -> None:
    assert b"In-Reply-To" not in composed(replace(REPORT, message_id=message_id)).head


@pytest.mark.threat("L10")
def test_a_mail_cannot_end_its_own_part() -> None:
    # Given a mail that holds lines like a boundary's
    body = b"--=_\r\n--=_0123\r\n--=_0123456789abcdef--\r\n"
    assert len(parts(composed(body=body))) == 3


@pytest.mark.parametrize("token", ["", "short", "a" * 65, "0123456789abcdef\r\n", "0123456789abcde;"])
def test_a_boundary_token_is_letters_and_digits(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        replace(REPORT, boundary_token=token)
