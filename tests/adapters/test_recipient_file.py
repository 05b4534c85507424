"""The list of recipients: what a line means, and what happens while the file changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.adapters.recipient_file import FILE_LIMIT_BYTES, RecipientFile, parse_recipients
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault
from gatepost.protocol.addresses import parse_mailbox


class HeardLog:
    """Remembers what was written."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.fields: list[dict[str, object]] = []

    def write(self, level: str, event: str, /, **fields: object) -> None:
        self.events.append((level, event))
        self.fields.append(fields)


class Gauges:
    """Remembers the last value of each."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        self.values[name] = self.values.get(name, 0) + amount

    def set(self, name: str, value: float, /, **labels: str) -> None:
        self.values[name] = value


LIST = """\
# our people
ann@example.com
  Bob@Example.COM   # the second
"strange name"@example.com
info@bücher.example
üser@example.com
@whole.example
sales+info@example.com
no address
two@at@signs
x@
"""

KNOWN = [
    ("as listed", "ann", "example.com", True),
    ("in capitals", "ANN", "example.com", True),
    ("listed in capitals", "bob", "example.com", True),
    ("with a tag", "ann+shop", "example.com", True),
    ("with a tag in capitals", "Ann+Shop", "example.com", True),
    ("listed with a tag", "sales+info", "example.com", True),
    ("the owner of a listed tag is not listed", "sales", "example.com", False),
    ("only a tag", "+shop", "example.com", False),
    ("quoted", "strange name", "example.com", True),
    ("of an IDN", "info", "xn--bcher-kva.example", True),
    ("not ASCII", "üser", "example.com", True),
    ("not ASCII, in capitals, is another", "Üser", "example.com", False),
    ("anybody of a whole domain", "anybody", "whole.example", True),
    ("not of its subdomain", "anybody", "sub.whole.example", False),
    ("somebody else", "carl", "example.com", False),
    ("at somebody else's", "ann", "example.org", False),
]


def directory(path: Path, text: str | None = LIST) -> tuple[RecipientFile, HeardLog, Gauges]:
    if text is not None:
        path.write_text(text, encoding="utf-8")
    log, gauges = HeardLog(), Gauges()
    return RecipientFile(str(path), parse_mailbox=parse_mailbox, log=log, counters=gauges), log, gauges


@pytest.mark.parametrize(("name", "local", "domain", "known"), KNOWN, ids=[row[0] for row in KNOWN])
def test_who_is_known(tmp_path: Path, name: str, local: str, domain: str, known: bool) -> None:
    recipients, _, _ = directory(tmp_path / "list")
    assert recipients.refresh()
    assert recipients.knows(Address(local, domain)) is known


def test_a_list_saved_by_windows_has_no_odd_first_line(tmp_path: Path) -> None:
    recipients, log, _ = directory(tmp_path / "list", "\ufeffann@example.com\r\nbob@example.com\r\n")
    assert recipients.refresh()
    assert [recipients.knows(Address(who, "example.com")) for who in ("ann", "bob")] == [True, True]
    assert [event for level, event in log.events if level != "info"] == []


def test_lines_that_are_no_address_are_named_by_their_number(tmp_path: Path) -> None:
    recipients, log, _ = directory(tmp_path / "list")
    recipients.refresh()
    assert [f["line"] for f in log.fields if "line" in f] == [9, 10, 11]
    assert recipients.size == 7


def test_many_bad_lines_are_counted() -> None:
    read = parse_recipients(["nonsense\n"] * 1000 + ["ann@example.com\n"], parse_mailbox)
    assert (len(read.bad_lines), read.bad_count, len(read.keys)) == (20, 1000, 1)


def test_without_a_source_nothing_is_known(tmp_path: Path) -> None:
    recipients = RecipientFile("", parse_mailbox=parse_mailbox, log=HeardLog(), counters=Gauges())
    assert not recipients.refresh()
    with pytest.raises(WorldFault):
        recipients.knows(Address("ann", "example.com"))


def test_a_list_that_was_never_there_is_unknown_not_empty(tmp_path: Path) -> None:
    recipients, log, gauges = directory(tmp_path / "list", text=None)
    assert not recipients.refresh()
    with pytest.raises(WorldFault) as caught:
        recipients.knows(Address("ann", "example.com"))
    assert caught.value.reply.code == 451
    assert ("error", "recipient-list-failed") in log.events
    assert gauges.values["recipient_list_failed"] == 1


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    recipients, _, _ = directory(tmp_path / "list", "ann@example.com\n")
    recipients.refresh()
    assert not recipients.refresh()
    # When the file is replaced
    (tmp_path / "new").write_text("carl@example.com\n")
    os.replace(tmp_path / "new", tmp_path / "list")
    # Then
    assert recipients.refresh()
    assert recipients.knows(Address("carl", "example.com"))
    assert not recipients.knows(Address("ann", "example.com"))


BREAKAGES = {
    "vanished": lambda path: path.unlink(),
    "empty": lambda path: path.write_text(""),
    "only nonsense": lambda path: path.write_text("<html>Not Found</html>\n"),
    "not UTF-8": lambda path: path.write_bytes(b"\xff\xfe\n"),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
    "endless": lambda path: os.truncate(path, FILE_LIMIT_BYTES + 1),
}


@pytest.mark.threat("P15")
@pytest.mark.parametrize("broken", BREAKAGES.values(), ids=BREAKAGES.keys())
def test_a_list_that_breaks_leaves_the_last_one_in_force(tmp_path: Path, broken: object) -> None:
    path = tmp_path / "list"
    recipients, log, gauges = directory(path, "ann@example.com\n")
    recipients.refresh()
    # When
    assert callable(broken)
    broken(path)
    assert not recipients.refresh()
    assert not recipients.refresh()
    # Then
    assert recipients.knows(Address("ann", "example.com"))
    assert log.events.count(("error", "recipient-list-failed")) == 1, "it is said once"
    assert gauges.values["recipient_list_failed"] == 1


def test_a_mended_list_is_taken_and_the_alarm_ends(tmp_path: Path) -> None:
    path = tmp_path / "list"
    recipients, _, gauges = directory(path, "ann@example.com\n")
    recipients.refresh()
    path.unlink()
    recipients.refresh()
    path.write_text("bob@example.com\n")
    assert recipients.refresh()
    assert recipients.knows(Address("bob", "example.com"))
    assert gauges.values["recipient_list_failed"] == 0


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_text_is_a_list(lines: list[str]) -> None:
    parse_recipients(lines, parse_mailbox)
