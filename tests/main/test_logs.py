"""The log of a process follows a reload, and stays where it is when the new place cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.config.log_settings import Log
from gatepost.main.logs import change_log, open_direct_log
from gatepost.model.fault import WorldFault


def to(path: Path | str, level: str = "info") -> Log:
    return Log.model_validate({"file": str(path), "level": level})


def test_it_goes_on_in_another_file_at_another_level(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    log = open_direct_log(to(one), "supervisor")
    log.write("debug", "unheard")
    change_log(log, to(one), to(one, "debug"))
    log.write("debug", "heard")
    assert "unheard" not in one.read_text("utf-8")
    assert "heard" in one.read_text("utf-8")
    change_log(log, to(one), to(two, "error"))
    log.write("info", "unheard")
    log.write("error", "trouble")
    assert [line.count("trouble") for line in two.read_text("utf-8").splitlines()] == [1]
    change_log(log, to(two), to(""))


def test_it_stays_where_it_is_when_the_new_place_cannot_be_written(tmp_path: Path) -> None:
    one = tmp_path / "one"
    log = open_direct_log(to(one), "supervisor")
    with pytest.raises(WorldFault, match="cannot be written"):
        change_log(log, to(one), to(tmp_path / "none" / "two", "error"))
    log.write("info", "still here")
    assert "still here" in one.read_text("utf-8")
    change_log(log, to(one), to(""))


def test_standard_error_is_left_open_for_the_way_back(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    log = open_direct_log(to(""), "supervisor")
    change_log(log, to(""), to(tmp_path / "one"))
    change_log(log, to(tmp_path / "one"), to(""))
    log.write("info", "here again")
    assert b"here again" in capfdbinary.readouterr().err
