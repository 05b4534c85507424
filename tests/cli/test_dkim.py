"""gatepost dkim: a key from its making to its use, and what the DNS says of it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.standards.signing import rsa_key

from gatepost.standards.dkim import NoAnswer


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def configured(terminal: Terminal, state: str = "active") -> tuple[str, str]:
    """A key in the configuration: its name and record."""
    made = terminal.type("dkim", "keygen", "sender.test", "s1", "--type", "ed25519")
    assert made.exit_code == 0, made.output
    table = made.output.partition("configuration:\n")[2].replace('"next"', f'"{state}"')
    terminal.configure(table)
    (row,) = json.loads(terminal.type("dkim", "records", "--json").output)
    return row["name"], "".join(row["strings"])


def test_a_key_is_made_private_and_never_overwritten(terminal: Terminal, tmp_path: Path) -> None:
    name, record = configured(terminal)
    file = tmp_path / "dkim" / "sender.test" / "s1.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (name, record[:40]) == (
        "s1._domainkey.sender.test",
        "v=DKIM1; k=ed25519; h=sha256; p=" + record[32:40],
    )
    before = file.read_bytes()
    again = terminal.type("dkim", "keygen", "sender.test", "s1")
    assert again.exit_code == 1
    assert "is there already" in again.output
    assert file.read_bytes() == before


def test_the_configuration_is_checked_with_it(terminal: Terminal) -> None:
    configured(terminal)
    assert terminal.type("config", "check").exit_code == 0
    shown = terminal.type("dkim", "show")
    assert shown.output.splitlines()[1].split() == ["sender.test", "s1", "ed25519", "active"]


def test_a_long_record_is_printed_in_strings_that_the_dns_can_hold(terminal: Terminal) -> None:
    made = terminal.type("dkim", "keygen", "sender.test", "r1")
    terminal.configure(made.output.partition("configuration:\n")[2])
    line = terminal.type("dkim", "records", "sender.test").output
    strings = line.split('"')[1::2]
    assert len(strings) == 2
    assert max(map(len, strings)) == 255


DNS = [
    ("as it should be", None, 0, "as it should be"),
    ("not there", b"", 1, "is not published"),
    ("revoked", b"v=DKIM1; k=ed25519; p=", 1, "is revoked"),
    ("another key", rsa_key().record.encode(), 1, "is another key"),
    ("no record", b"hello", 1, "is no key record"),
    ("in testing", b"RIGHT; t=y", 1, "says t=y"),
]


@pytest.mark.parametrize(("record", "status", "said"), [d[1:] for d in DNS], ids=[d[0] for d in DNS])
def test_the_dns_is_compared(terminal: Terminal, record: bytes | None, status: int, said: str) -> None:
    name, right = configured(terminal)
    text = right.encode() if record is None else record.replace(b"RIGHT", right.encode())
    terminal.txt[name] = (text,) if text else ()
    checked = terminal.type("dkim", "check")
    assert (checked.exit_code, said in checked.output) == (status, True), checked.output


def test_two_records_and_silence_are_told_apart(terminal: Terminal) -> None:
    name, right = configured(terminal)
    terminal.txt[name] = (right.encode(), right.encode())
    assert "2 TXT records" in terminal.type("dkim", "check").output
    terminal.txt[name] = NoAnswer("no name server answers")
    silent = terminal.type("dkim", "check", "--json")
    assert silent.exit_code == 3
    assert json.loads(silent.output)[0]["unknown"] is True


@pytest.mark.parametrize("words", [("a..b", "s"), ("a b", "s"), ("a.test", "s/../x"), ("a.test", "")])
def test_what_is_no_name_is_refused(terminal: Terminal, words: tuple[str, str]) -> None:
    assert terminal.type("dkim", "keygen", *words).exit_code == 2


def test_a_domain_without_key_is_told(terminal: Terminal) -> None:
    configured(terminal)
    assert terminal.type("dkim", "records", "other.test").exit_code == 1


def test_a_key_that_others_can_read_and_a_second_active_one_are_refused(
    terminal: Terminal, tmp_path: Path
) -> None:
    configured(terminal)
    first = tmp_path / "dkim" / "sender.test" / "s1.pem"
    terminal.type(
        "dkim", "keygen", "sender.test", "s2", "--type", "ed25519", "--file", str(tmp_path / "s2.pem")
    )
    terminal.configure(
        f'[dkim-signing.domains."sender.test".selectors]\ns1 = {{key-file = "{first}"}}\n'
        f's2 = {{key-file = "{tmp_path}/s2.pem"}}\n'
    )
    twice = terminal.type("config", "check")
    assert "is active beside s1, which is an Ed25519 key, too" in twice.output
    first.chmod(0o644)
    assert "can be read or changed by others (mode 0644)" in terminal.type("config", "check").output
    first.chmod(0o600)
    first.write_text("nonsense")
    assert "is no PEM file with a private key" in terminal.type("config", "check").output
