"""Log files that begin anew by day and size, and of which the oldest go."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

import pytest

from gatepost.adapters.csv_files import WAITING_LINES_LIMIT, CsvFiles, Keep
from gatepost.model.fault import WorldFault

DAY_S = 86400.0


class Files:
    def __init__(self, directory: Path, *, file_bytes: int = 100, directory_bytes: int = 10_000) -> None:
        self.now = time.time()
        self.directory = directory
        keep = Keep(file_bytes=file_bytes, directory_bytes=directory_bytes, age_s=30 * DAY_S)
        self.files = CsvFiles(directory, "RECV", keep, header=lambda _: "#head\r\n", now=lambda: self.now)

    def write(self, *lines: str) -> None:
        """Each written before the next; no two alike."""
        for line in lines:
            self.files.write(line)
            until = time.monotonic() + 5
            while line.strip() not in self.text() and time.monotonic() < until:
                time.sleep(0.001)

    def text(self) -> str:
        found = ""
        for path in self.directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                found += path.read_text()
        return found


def test_lines_are_under_a_header_in_a_file_of_their_day(tmp_path: Path) -> None:
    files = Files(tmp_path / "logs")
    files.write("a\r\n", "b\r\n")
    files.now += DAY_S
    files.write("c\r\n")
    files.files.close()
    assert [p.read_bytes() for p in sorted(files.directory.iterdir())] == [
        b"#head\r\na\r\nb\r\n",
        b"#head\r\nc\r\n",
    ]
    first = min(files.directory.iterdir())
    assert first.name == time.strftime("RECV%Y%m%d-1.log", time.gmtime(files.now - DAY_S))
    assert stat.S_IMODE(first.stat().st_mode) == 0o640


def test_a_full_file_is_followed_by_another_and_the_oldest_go(tmp_path: Path) -> None:
    files = Files(tmp_path, file_bytes=50, directory_bytes=130)
    files.write(*(f"{n}" * 60 + "\r\n" for n in range(5)))
    files.files.close()
    numbers = [p.name.rpartition("-")[2] for p in sorted(tmp_path.iterdir())]
    assert numbers == ["4.log", "5.log"]


def test_old_files_go_and_other_peoples_stay(tmp_path: Path) -> None:
    old, foreign = tmp_path / "RECV20200101-1.log", tmp_path / "SEND20200101-1.log"
    for path in (old, foreign):
        path.write_text("x")
        os.utime(path, (0, 0))
    files = Files(tmp_path)
    files.write("a\r\n")
    files.files.close()
    assert not old.exists()
    assert foreign.exists()


@pytest.mark.threat("S08")
def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    directory = tmp_path / "logs"
    directory.mkdir()
    day = time.strftime("%Y%m%d", time.gmtime())
    (directory / f"RECV{day}-1.log").symlink_to(target)
    files = Files(directory)
    files.write("a\r\n")
    files.files.close()
    assert target.read_text() == "mine"


def test_lines_nobody_takes_are_dropped_and_counted(tmp_path: Path) -> None:
    files = Files(tmp_path / "logs")
    files.write("a\r\n")
    (tmp_path / "logs").rename(tmp_path / "gone")
    files.now += DAY_S
    files.files.write("b\r\n")
    files.files.close()
    assert files.files.dropped == 1
    assert WAITING_LINES_LIMIT > 0


def test_a_directory_that_cannot_be_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(WorldFault):
        Files(tmp_path / "logs")
