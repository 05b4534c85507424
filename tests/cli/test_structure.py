"""gatepost test structure: a tree for people, JSON for programs, and where readers may differ."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal

PLAIN = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n"
    b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
    b'Content-Disposition: attachment; filename="report.pdf"\r\n\r\nQUJD\r\n--b--\r\n'
)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def file_of(tmp_path: Path, mail: bytes) -> str:
    path = tmp_path / "mail.eml"
    path.write_bytes(mail)
    return str(path)


def test_the_parts_are_shown(terminal: Terminal, tmp_path: Path) -> None:
    done = terminal.type("test", "structure", file_of(tmp_path, PLAIN))
    assert done.exit_code == 0
    assert [line.split() for line in done.output.splitlines()] == [
        ["PART", "TYPE", "ENCODING", "CHARSET", "OCTETS", "NAME"],
        ["TEXT", "multipart/mixed", "7bit"],
        ["1", "text/plain", "7bit", "utf-8", "5"],
        ["2", "application/pdf", "base64", "3", "report.pdf"],
    ]


@pytest.mark.threat("H16", "S01")
def test_what_two_readers_could_see_differently_is_said(terminal: Terminal, tmp_path: Path) -> None:
    odd = (
        PLAIN.replace(b"report.pdf", b"..\\\\\x1b[31m\xe2\x80\xaegpj.exe").replace(b"QUJD", b"Q!UJD")
        + b"more"
    )
    done = terminal.type("test", "structure", file_of(tmp_path, odd))
    assert done.exit_code == 1
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output
    for said in (
        "TEXT at 271: text-after-end:",
        "2 at 124: name-path:",
        "name-turns:",
        "2 at 257: base64-rubbish:",
    ):
        assert said in done.output, done.output


def test_programs_are_answered(terminal: Terminal, tmp_path: Path) -> None:
    two = PLAIN.replace(b"\r\n\r\nhello", b"\r\nContent-Type: text/html\r\n\r\nhello")
    said = json.loads(terminal.type("test", "structure", file_of(tmp_path, two), "--json").output)
    assert [(part["path"], part["depth"], part["size_bytes"]) for part in said["parts"]] == [
        ("TEXT", 0, 0),
        ("1", 1, 5),
        ("2", 1, 3),
    ]
    assert said["parts"][1]["defects"][0]["word"] == "two-content-types"
    assert (said["reads_otherwise"], said["is_plain"], said["passed"]) == (True, False, [])


def test_a_mail_that_is_attached_encoded_is_opened(terminal: Terminal, tmp_path: Path) -> None:
    mail = (
        b"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(PLAIN)
    )
    said = json.loads(terminal.type("test", "structure", file_of(tmp_path, mail), "--json").output)
    assert [part["path"] for part in said["parts"]] == ["1", "1/TEXT", "1/1", "1/2"]


def test_a_file_with_lf_is_read_as_the_mail_it_stands_for(terminal: Terminal, tmp_path: Path) -> None:
    done = terminal.type("test", "structure", file_of(tmp_path, PLAIN.replace(b"\r\n", b"\n")))
    assert done.exit_code == 0
    assert "the file has LF for line ends" in done.output


def test_limits_of_the_configuration_hold(terminal: Terminal, tmp_path: Path) -> None:
    terminal.configure('[structure]\nparts = 2\nleaf = "1KiB"\n')
    done = terminal.type("test", "structure", file_of(tmp_path, PLAIN.replace(b"hello", b"x" * 2000)))
    assert done.exit_code == 1
    assert "the limit parts was passed" in done.output
    assert "the limit leaf was passed" in done.output


def test_a_file_that_is_not_there_is_told(terminal: Terminal) -> None:
    done = terminal.type("test", "structure", "/no/such/file")
    assert done.exit_code == 2
