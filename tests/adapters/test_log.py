"""The log: one event, one line of JSON; a stream that is slow or fails stops nobody, and what was lost is told."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from tests.fakes import FakeClock

from gatepost.adapters.log import (
    VALUE_LIMIT_CHARACTERS,
    WAITING_LINES_LIMIT,
    DirectLog,
    JsonLog,
    open_log_file,
)


class Kept(io.BytesIO):
    """Stays readable after it is closed; full: takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.was_closed = False

    def write(self, data: Any) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(data)

    def close(self) -> None:
        self.was_closed = True

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


def log_to(stream: io.RawIOBase | Kept, **wishes: Any) -> JsonLog:
    return JsonLog(FakeClock(), stream=cast(BinaryIO, stream), process="test", **wishes)


def wait_for(stream: Kept, number: int) -> None:
    until = time.monotonic() + 5
    while len(stream.getvalue().splitlines()) < number:
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.threat("S01", "S02", "S03")
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\r\nb", "a\\r\\nb"),
        ("\x1b[31m\x00", "\\x1b[31m\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ('", "level": "debug', '", "level": "debug'),
        (True, True),
        (3, 3),
        (None, None),
    ],
)
def test_any_value_stays_inside_its_line(value: object, shown: object) -> None:
    stream = Kept()
    log = log_to(stream)
    log.write("info", "said", value=value)
    log.close()
    (event,) = stream.events()
    assert event["value"] == shown
    assert (event["level"], event["event"], event["process"]) == ("info", "said", "test")


def test_a_long_value_is_cut_with_its_length() -> None:
    stream = Kept()
    log = log_to(stream)
    log.write("info", "said", value="x" * 5000)
    log.close()
    assert stream.events()[0]["value"] == "x" * VALUE_LIMIT_CHARACTERS + "... (5000 characters)"


def test_lines_below_the_level_are_not_written() -> None:
    stream = Kept()
    log = log_to(stream, level="warning")
    for level in ("debug", "info", "warning", "error"):
        log.write(level, "said")
    log.close()
    assert [event["level"] for event in stream.events()] == ["warning", "error"]


@pytest.mark.threat("P10")
def test_what_a_full_disk_lost_is_told_when_there_is_room_again() -> None:
    stream = Kept()
    log = log_to(stream)
    stream.full = True
    for _ in range(3):
        log.write("info", "lost")
    until = time.monotonic() + 5
    while log.dropped < 3:
        assert time.monotonic() < until
        time.sleep(0.005)
    stream.full = False
    log.write("info", "kept")
    log.close()
    assert [(e["event"], e.get("lines")) for e in stream.events()] == [
        ("kept", None),
        ("log-lines-dropped", 3),
    ]


@pytest.mark.threat("P10")
def test_a_pipe_nobody_reads_blocks_nobody() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as stream, os.fdopen(reading, "rb") as reader:
        log = JsonLog(FakeClock(), stream=cast(BinaryIO, stream), process="test")
        began = time.monotonic()
        for _ in range(WAITING_LINES_LIMIT * 2):
            log.write("info", "said", text="x" * 200)
        assert time.monotonic() - began < 20
        assert log.dropped
        reader.close()  # frees the thread, which stands in its write
        log.close()


@pytest.mark.threat("S08")
def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "log").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match=r"symbolic link"):
        open_log_file(str(tmp_path / "log"))


def test_after_a_rotation_lines_go_to_the_new_file_and_the_old_one_is_closed() -> None:
    old, new = Kept(), Kept()
    log = log_to(old)
    log.write("info", "before")
    wait_for(old, 1)
    log.reopen(cast(BinaryIO, new))
    log.write("info", "after")
    log.close()
    assert [event["event"] for event in old.events()] == ["before"]
    assert [event["event"] for event in new.events()] == ["log-reopened", "after"]
    assert old.was_closed


def test_the_log_without_a_thread_writes_the_same_lines_and_survives_a_full_disk() -> None:
    stream = Kept()
    log = DirectLog(FakeClock(), stream=cast(BinaryIO, stream), process="test")
    log.write("info", "said", value="a\nb")
    stream.full = True
    log.write("info", "lost")
    assert [event["value"] for event in stream.events()] == ["a\\nb"]
