"""The protocol log: every line, no secret, and nothing that breaks a line or a spreadsheet."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.records.wire_log import LINES_LIMIT, PROTOCOL_FIELDS, Transcript, endpoint, header_lines

NOW = 1_795_352_700.0


def transcript() -> tuple[Transcript, list[str]]:
    lines: list[str] = []
    made = Transcript(
        sink=lines.append, now=lambda: NOW, connector="out", session_id="0" * 16,
        local="192.0.2.1:1025", remote="192.0.2.2:25",
    )  # fmt: skip
    return made, lines


def rows(lines: list[str]) -> list[dict[str, str]]:
    return [dict(zip(PROTOCOL_FIELDS, row, strict=True)) for row in csv.reader(lines)]


def test_a_session_has_numbered_lines_with_all_fields() -> None:
    made, lines = transcript()
    made.connected()
    made.heard(b"220 host.example\r\n250-a\r\n25")
    made.heard(b"0 b\r\n")
    made.commanded(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n")
    made.note("TLSv1.3")
    made.disconnected()
    made.disconnected()
    assert [(r["sequence-number"], r["event"], r["data"], r["context"]) for r in rows(lines)] == [
        ("0", "'+", "", ""),
        ("1", "<", "220 host.example", ""),
        ("2", "<", "250-a", ""),
        ("3", "<", "250 b", ""),
        ("4", ">", "MAIL FROM:<a@b.example>", ""),
        ("5", ">", "RCPT TO:<c@d.example>", ""),
        ("6", "*", "", "TLSv1.3"),
        ("7", "'-", "", ""),
    ]
    assert {r["session-id"] for r in rows(lines)} == {"0" * 16}
    assert rows(lines)[0]["date-time"] == "2026-11-22T13:05:00.000Z"


SECRETS = [
    ("an initial response", [(">", b"AUTH PLAIN c2VjcmV0\r\n"), ("<", b"235 ok\r\n")]),
    (
        "challenges and responses",
        [
            ("<", b"334 c2VjcmV0\r\n"),
            (">", b"AUTH LOGIN\r\n"),
            ("<", b"334 c2VjcmV0\r\n"),
            (">", b"c2VjcmV0\r\n"),
        ],
    ),
    (
        "a challenge in two pieces",
        [(">", b"AUTH LOGIN\r\n"), ("<", b"33"), ("<", b"4 c2Vjcm"), ("<", b"V0\r\n")],
    ),
    ("small letters", [(">", b"auth plain c2VjcmV0\r\n"), (">", b"c2VjcmV0\r\n")]),
]


@pytest.mark.threat("E15", "S07")
@pytest.mark.parametrize("said", [s[1] for s in SECRETS], ids=[s[0] for s in SECRETS])
def test_no_secret_is_written(said: list[tuple[str, bytes]]) -> None:
    made, lines = transcript()
    for who, octets in said:
        (made.commanded if who == ">" else made.heard)(octets)
    assert "c2Vjcm" not in "".join(lines)
    assert "***" in "".join(lines)


@pytest.mark.threat("E15")
def test_after_auth_commands_are_written_again() -> None:
    made, lines = transcript()
    made.commanded(b"AUTH PLAIN c2VjcmV0\r\n")
    made.heard(b"535 no\r\n")
    made.commanded(b"QUIT\r\n")
    assert [r["data"] for r in rows(lines)] == ["AUTH PLAIN ***", "535 no", "QUIT"]


@pytest.mark.threat("E15")
def test_our_own_challenges_are_masked() -> None:
    made, lines = transcript()
    made.replied(b"334 VXNlcm5hbWU6\r\n250-a\r\n250 b\r\n")
    assert [r["data"] for r in rows(lines)] == ["334 ***", "250-a", "250 b"]


@pytest.mark.threat("S01", "S02")
@given(st.lists(st.tuples(st.sampled_from(["heard", "commanded", "replied"]), st.binary()), max_size=8))
def test_whatever_is_said_is_one_line_each(said: list[tuple[str, bytes]]) -> None:
    made, lines = transcript()
    for what, octets in said:
        getattr(made, what)(octets)
    made.asked("=1+1\r\n\x1b[31m")
    for line in lines:
        assert line.endswith("\r\n")
        assert line[:-2].isprintable()
    assert rows(lines)[-1]["data"].startswith("'=1+1")


@pytest.mark.threat("S03", "S04")
def test_a_session_and_a_line_have_limits() -> None:
    made, lines = transcript()
    made.heard(b"x" * 10_000_000)
    made.heard(b"\r\n")
    assert len(lines[-1]) < 3000
    for _ in range(LINES_LIMIT + 100):
        made.heard(b"250 ok\r\n")
    assert len(lines) == LINES_LIMIT + 1


HEADER: list[Any] = [
    "#Software: Gatepost",
    "#Version: 1.0",
    "#Log-Type: X",
    "#Date: 2026-11-22T13:05:00.000Z",
]


def test_a_file_says_what_it_is() -> None:
    assert header_lines("X", ("a", "b"), NOW).split("\r\n") == [*HEADER, "#Fields: a,b", ""]


def test_endpoints() -> None:
    assert (endpoint("192.0.2.1", 25), endpoint("2001:db8::1", 25)) == ("192.0.2.1:25", "[2001:db8::1]:25")
