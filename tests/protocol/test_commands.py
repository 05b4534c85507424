"""Command lines: their syntax, their length, and other protocols on the port."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from tests.protocol.talk import (
    ENVELOPE,
    HELLO,
    LIMITS,
    OFFER,
    SMUGGLED,
    Talk,
    in_transaction,
)


@dataclass(frozen=True, slots=True)
class Said:
    name: str
    data: bytes
    codes: list[str]
    closed: bool = False


LINES = [
    Said("lower case", b"noop\r\n", ["250 2.0.0"]),
    Said("mixed case", b"NoOp\r\n", ["250 2.0.0"]),
    Said("NOOP with text", b"NOOP whatever it is\r\n", ["250 2.0.0"]),
    Said("blanks at the end", b"NOOP  \r\n", ["250 2.0.0"]),
    Said("blanks behind a verb without argument", b"RSET   \r\n", ["250 2.0.0"]),
    Said("unknown verb", b"FOO bar\r\n", ["500 5.5.2"]),
    Said("empty line", b"\r\n", ["500 5.5.2"]),
    Said("only blanks", b"   \r\n", ["500 5.5.2"]),
    Said("leading blank", b" NOOP\r\n", ["500 5.5.2"]),
    Said("leading tab", b"\tNOOP\r\n", ["500 5.5.2"]),
    Said("verb and more", b"NOOPS\r\n", ["500 5.5.2"]),
    Said("a stray dot", b".\r\n", ["500 5.5.2"]),
    Said("LMTP", b"LHLO x\r\n", ["500 5.5.2"]),
    Said("names of events are no verbs", b"DOT\r\n", ["500 5.5.2"]),
    Said("nor is LAST", b"LAST\r\n", ["500 5.5.2"]),
    Said("control character", b"NOOP a\x01b\r\n", ["500 5.5.2"]),
    Said("tab in a command", b"MAIL FROM:<a@b.test>\tSIZE=1\r\n", ["500 5.5.2"]),
    Said("escape in EHLO", b"EHLO a\x1bb\r\n", ["500 5.5.2"]),
    Said("8-bit verb", b"N\xc3\x96OP\r\n", ["500 5.5.2"]),
    Said("8-bit argument", b"NOOP \xc3\xb6\r\n", ["500 5.5.2"]),
    Said("8-bit that is no UTF-8", b"NOOP \xff\r\n", ["500 5.5.2"]),
    Said("telnet negotiation", b"\xff\xfd\x03\xff\xfb\x18\r\n", ["500 5.5.2"]),
    Said("8-bit name", b"EHLO m\xc3\xbcnchen.example\r\n", ["500 5.5.2"]),
    Said("two commands by a semicolon", b"RSET;NOOP\r\n", ["500 5.5.2"]),
    Said("DATA with an argument", b"DATA x\r\n", ["501 5.5.4"]),
    Said("RSET with an argument", b"RSET x\r\n", ["501 5.5.4"]),
    Said("QUIT with an argument", b"QUIT x\r\n", ["501 5.5.4"]),
    Said("EHLO without a name", b"EHLO\r\n", ["501 5.5.4"]),
    Said("HELO of blanks", b"HELO   \r\n", ["501 5.5.4"]),
    Said("a name of 256 octets", b"EHLO " + b"a" * 256 + b"\r\n", ["501 5.5.4"]),
    Said("a name of 255 octets", b"HELO " + b"a" * 255 + b"\r\n", ["250 2.0.0"]),
    Said("a name with a script", b"HELO <script>alert(1)</script>\r\n", ["250 2.0.0"]),
    Said("a name with SQL", b"HELO x'; DROP TABLE mails--\r\n", ["250 2.0.0"]),
    Said("a name with directives", b"HELO %s%n{0.__class__}${jndi:x}{{7*7}}$(id)\r\n", ["250 2.0.0"]),
    Said("a bad literal", b"HELO [999.0.0.1]\r\n", ["250 2.0.0"]),
    Said("MAIL alone", b"MAIL\r\n", ["501 5.5.4"]),
    Said("MAIL without FROM", b"MAIL <a@b.test>\r\n", ["501 5.5.4"]),
    Said("MAIL TO", b"MAIL TO:<a@b.test>\r\n", ["501 5.5.4"]),
    Said("MAIL FROM and no address", b"MAIL FROM:\r\n", ["501 5.5.4"]),
    Said("blank before the colon", b"MAIL FROM :<a@b.test>\r\n", ["501 5.5.4"]),
    Said("two blanks before FROM", b"MAIL  FROM:<a@b.test>\r\n", ["501 5.5.4"]),
    Said("no brackets", b"MAIL FROM:a@b.test\r\n", ["501 5.5.4"]),
    Said("text behind", b"MAIL FROM:<a@b.test>x\r\n", ["501 5.5.4"]),
    Said("a bad sender", b"MAIL FROM:<a@b@c>\r\n", ["501 5.1.7"]),
    Said("postmaster cannot send", b"MAIL FROM:<postmaster>\r\n", ["501 5.1.7"]),
    Said("blank behind the colon", b"MAIL FROM: <a@b.test>\r\n", ["250 2.0.0"]),
    Said("lower case MAIL", b"mail from:<a@b.test>\r\n", ["250 2.0.0"]),
    Said("sender with a percent directive", b"MAIL FROM:<%s%n@b.test>\r\n", ["250 2.0.0"]),
    Said("sender like a shell word", b"MAIL FROM:<;cat$IFS/etc/passwd;@b.test>\r\n", ["501 5.1.7"]),
    Said("UTF-8 sender without SMTPUTF8", b"MAIL FROM:<\xc3\xbc@b.test>\r\n", ["553 5.6.7"]),
    Said("UTF-8 sender", b"MAIL FROM:<\xc3\xbc@b.test> SMTPUTF8\r\n", ["250 2.0.0"]),
    Said("overlong UTF-8", b"MAIL FROM:<\xc0\xae@b.test> SMTPUTF8\r\n", ["553 5.6.7"]),
    Said("surrogate in UTF-8", b"MAIL FROM:<\xed\xa0\x80@b.test> SMTPUTF8\r\n", ["553 5.6.7"]),
    Said("truncated UTF-8", b"MAIL FROM:<a\xc3> SMTPUTF8\r\n", ["553 5.6.7"]),
    Said("invalid UTF-8 in RCPT", b"RCPT TO:<\xff@b.test>\r\n", ["553 5.6.7"]),
    Said("VRFY", b"VRFY bob\r\n", ["250 2.0.0"]),
    Said("VRFY of nobody", b"VRFY \r\n", ["501 5.5.4"]),
    Said("VRFY beyond ASCII", b"VRFY \xc3\xbc\r\n", ["553 5.6.7"]),
    Said("EXPN beyond ASCII with SMTPUTF8", b"EXPN \xc3\xbc SMTPUTF8\r\n", ["250 2.0.0"]),
    Said("invalid UTF-8 in EXPN", b"EXPN \xff SMTPUTF8\r\n", ["553 5.6.7"]),
    Said("a blank beyond ASCII", "MAIL FROM:<a\u00a0b@b.test> SMTPUTF8\r\n".encode(), ["250 2.0.0"]),
    Said("another word than FROM", b"MAIL FORM:<a@b.test>\r\n", ["501 5.5.4"]),
    Said("a letter behind the colon", b"MAIL FROM:X<a@b.test>\r\n", ["501 5.5.4"]),
    Said("invalid UTF-8 in VRFY", b"VRFY \xff SMTPUTF8\r\n", ["553 5.6.7"]),
    Said("ETRN", b"ETRN example.com\r\n", ["502 5.5.1"]),
    Said("TURN", b"turn\r\n", ["502 5.5.1"]),
    Said("ATRN", b"ATRN\r\n", ["502 5.5.1"]),
    Said("SEND", b"SEND FROM:<a@b.test>\r\n", ["502 5.5.1"]),
    Said("SOML", b"SOML FROM:<a@b.test>\r\n", ["502 5.5.1"]),
    Said("SAML", b"SAML FROM:<a@b.test>\r\n", ["502 5.5.1"]),
    Said("WIZ", b"WIZ\r\n", ["502 5.5.1"]),
    Said("DEBUG", b"DEBUG\r\n", ["502 5.5.1"]),
    Said("XCLIENT", b"XCLIENT ADDR=127.0.0.1\r\n", ["550 5.7.0"]),
    Said("XFORWARD", b"XFORWARD NAME=x\r\n", ["550 5.7.0"]),
    Said("XSHADOW", b"XSHADOW x\r\n", ["550 5.7.0"]),
    Said("X-ANONYMOUSTLS", b"X-ANONYMOUSTLS\r\n", ["550 5.7.0"]),
    Said("XEXCH50", b"XEXCH50 1 2\r\n", ["550 5.7.0"]),
    Said("X-EXPS", b"X-EXPS GSSAPI\r\n", ["550 5.7.0"]),
    Said("another X", b"XFOO\r\n", ["500 5.5.2"]),
]

CLOSING = [
    Said("bare LF", b"MAIL FROM:<a@b.test>\n", ["500 5.5.2"]),
    Said("bare LF and a command", b"MAIL FROM:<a@b.test>\nRSET\r\n", ["500 5.5.2"]),
    Said("bare CR", b"MAIL FROM:<a@b.test>\rRSET\r\n", ["500 5.5.2"]),
    Said("bare CR in a parameter", b"MAIL FROM:<a@b.test> ENVID=a\rb\r\n", ["500 5.5.2"]),
    Said("CR CR LF", b"NOOP\r\r\n", ["500 5.5.2"]),
    Said("LF alone", b"\n", ["500 5.5.2"]),
    Said("NUL", b"NOOP a\0b\r\n", ["500 5.5.2"]),
    Said("bare CR without an end", b"NOOP\rab", ["500 5.5.2"]),
    Said("the first octet of TLS", b"\x16", ["500 5.5.2"]),
    Said("NUL without an end", b"NOOP\0", ["500 5.5.2"]),
    Said("a torn quoted string", b'RCPT TO:<"a\\\r\nRCPT TO:<x>"@b.test>\r\n', ["501 5.5.4"]),
    Said("GET", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ["421 4.7.0"]),
    Said("post", b"post / HTTP/1.1\r\n", ["421 4.7.0"]),
    Said("POST with a dialogue", b"POST / HTTP/1.1\r\n\r\n" + HELLO + SMUGGLED, ["421 4.7.0"]),
    Said("CONNECT", b"CONNECT x:25 HTTP/1.1\r\n", ["421 4.7.0"]),
    Said("OPTIONS (also SIP)", b"OPTIONS sip:nm SIP/2.0\r\n", ["421 4.7.0"]),
    Said("HTTP/2", b"PRI * HTTP/2.0\r\n", ["421 4.7.0"]),
    Said("a header line", b"Host: ours.example\r\n", ["421 4.7.0"]),
    Said("a header line of a mail", b"X-Spam-Flag: no\r\n", ["421 4.7.0"]),
    Said("a PROXY header", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n", ["421 4.7.0"]),
    Said("SSH", b"SSH-2.0-OpenSSH_9.0\r\n", ["421 4.7.0"]),
    Said("redis", b"*1\r\n$4\r\nPING\r\n", ["421 4.7.0"]),
    Said("memcached", b"stats\r\n", ["421 4.7.0"]),
    Said("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ["500 5.5.2"]),
    Said("SSLv2", b"\x80\x2e\x01\x00\x02\x00\x15", ["500 5.5.2"]),
    Said("RDP", b"\x03\x00\x00\x13\x0e\xe0", ["500 5.5.2"]),
    Said("SOCKS 4", b"\x04\x01\x00\x19", ["500 5.5.2"]),
    Said("SOCKS 5", b"\x05\x01\x00", ["500 5.5.2"]),
    Said("memcached, binary", b"\x80\x0b\x00\x00", ["500 5.5.2"]),
]


@pytest.mark.threat(
    "B03",
    "B04",
    "B05",
    "B07",
    "B15",
    "B27",
    "B28",
    "B30",
    "B31",
    "B33",
    "B37",
    "C19",
    "C20",
    "F22",
    "F23",
    "Q06",
)
@pytest.mark.parametrize("said", LINES, ids=lambda s: s.name)
def test_lines(said: Said) -> None:
    for cut in (0, 1, 3):
        talk = Talk()
        talk.say(HELLO)
        assert talk.codes(said.data, cut=cut) == said.codes
        assert not talk.closed
        assert bool(talk.violations) is not said.codes[0].startswith("250")


@pytest.mark.threat("A14", "A15", "B03", "C15", "C16", "C17", "F25", "Q01")
@pytest.mark.parametrize("start", [b"", HELLO, HELLO + ENVELOPE], ids=["fresh", "ready", "in a transaction"])
@pytest.mark.parametrize("said", CLOSING, ids=lambda s: s.name)
def test_lines_that_close(said: Said, start: bytes) -> None:
    if start != HELLO + ENVELOPE and said.name == "a torn quoted string":
        pytest.skip("out of sequence")
    for cut in (0, 1):
        talk = Talk()
        for line in start.splitlines(keepends=True):
            talk.say(line)
        before = len(talk.events)
        # When something comes that is no SMTP
        answer = talk.say(said.data, cut=cut)
        # Then there is one answer, nothing behind it is read, and nothing of it is repeated
        assert [" ".join(line.split()[:2]) for line in answer.splitlines()] == said.codes
        assert talk.closed
        assert len(talk.events) == before + 1
        assert talk.violations[0].counts
        assert not any(word.decode("latin-1") in answer for word in said.data.split() if len(word) > 5)


OTHER_PROTOCOLS = {
    "HTTP": "GET POST PUT HEAD DELETE OPTIONS CONNECT PATCH TRACE PRI",
    "SIP and RTSP": "INVITE REGISTER SUBSCRIBE DESCRIBE SETUP",
    "memcached": "STATS SET GETS VERSION",
    "a proxy": "PROXY",
}


@pytest.mark.threat("C15", "C16", "Q01")
@pytest.mark.parametrize("words", OTHER_PROTOCOLS.values(), ids=OTHER_PROTOCOLS.keys())
def test_words_of_other_protocols(words: str) -> None:
    for word in words.split():
        talk = Talk()
        assert talk.codes(f"{word} x y\r\n".encode()) == ["421 4.7.0"], word
        assert talk.closed


@pytest.mark.threat("B01", "B02")
@pytest.mark.parametrize(
    ("name", "data", "codes"),
    [
        ("at the limit", b"NOOP " + b"x" * 505 + b"\r\n", ["250 2.0.0"]),
        ("one above", b"NOOP " + b"x" * 506 + b"\r\n", ["500 5.5.2"]),
        ("without end, at the limit", b"NOOP " + b"x" * 506, []),
        ("without end, one above", b"NOOP " + b"x" * 507, ["500 5.5.2"]),
        ("an unknown verb", b"x" * 512, ["500 5.5.2"]),
        ("AUTH where none is offered", b"AUTH PLAIN " + b"x" * 512, ["500 5.5.2"]),
    ],
)
def test_the_longest_command(name: str, data: bytes, codes: list[str]) -> None:
    for cut in (0, 1, 512):
        talk = Talk(limits=replace(LIMITS, command_line_bytes=512))
        talk.say(HELLO)
        assert talk.codes(data, cut=cut) == codes
        assert talk.closed is (codes == ["500 5.5.2"])


@pytest.mark.threat("B01")
def test_the_length_of_a_line_begins_where_the_line_begins() -> None:
    talk = Talk(limits=replace(LIMITS, command_line_bytes=512))
    talk.say(HELLO)
    assert talk.codes(b"RSET\r\n" * 60 + b"NOOP " + b"x" * 200) == ["250 2.0.0"] * 60
    assert not talk.closed


@pytest.mark.threat("B02")
def test_an_endless_line_is_cut_short() -> None:
    talk = Talk()
    for _ in range(1600):
        talk.say(b"x" * 65536)
    assert talk.closed
    assert talk.engine.buffered_bytes == 0


def test_recipients_have_the_same_syntax() -> None:
    for data, code in (
        (b"RCPT TO:<>", "553 5.1.3"),
        (b"RCPT TO:<a@b@c>", "553 5.1.3"),
        (b"RCPT TO:<PostMaster>", "250 2.0.0"),
        (b"RCPT TO: <a@b.test>", "250 2.0.0"),
        (b"RCPT TO :<a@b.test>", "501 5.5.4"),
        (b"RCPT TO:<a@b.test><c@d.test>", "501 5.5.4"),
        (b"RCPT FROM:<a@b.test>", "501 5.5.4"),
        (b"RCPT", "501 5.5.4"),
    ):
        assert in_transaction().codes(data + b"\r\n") == [code]


@pytest.mark.threat("F22")
def test_a_blank_behind_the_colon_where_it_is_not_tolerated() -> None:
    talk = Talk(offer=replace(OFFER, blank_after_colon=False))
    talk.say(HELLO)
    assert talk.codes(b"MAIL FROM: <a@b.test>\r\n") == ["501 5.5.4"]


@pytest.mark.threat("B06")
def test_a_recipient_beyond_ascii_needs_smtputf8_of_mail() -> None:
    recipient = b"RCPT TO:<\xc3\xbc@ours.example>\r\n"
    talk = Talk()
    talk.say(HELLO)
    assert talk.codes(b"MAIL FROM:<\xc3\xbc@b.test>\r\n" + recipient) == ["553 5.6.7", "503 5.5.1"]
    assert talk.codes(b"DATA\r\n") == ["503 5.5.1"]
    assert talk.codes(b"MAIL FROM:<a@b.test>\r\n" + recipient) == ["250 2.0.0", "553 5.6.7"]
    assert talk.codes(b"DATA\r\n") == ["554 5.5.1"]
    assert talk.codes(b"RSET\r\nMAIL FROM:<a@b.test> SMTPUTF8\r\n" + recipient) == ["250 2.0.0"] * 3
    # The permission ends with its transaction.
    assert talk.codes(b"RSET\r\nMAIL FROM:<a@b.test>\r\n" + recipient)[-1] == "553 5.6.7"
