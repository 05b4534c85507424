"""The log of a process takes what would otherwise go raw to standard error."""

from __future__ import annotations

import contextlib
import ssl
import sys
from pathlib import Path

import pytest
from tests.certificates import client, in_file, leaf
from tests.intake.house import Lines

from gatepost.adapters.certificates import Pair
from gatepost.adapters.tls import ServerTls
from gatepost.main.logs import tell_unraisable
from gatepost.model.fault import WorldFault


@pytest.mark.threat("D17")
def test_a_server_name_that_is_no_text_is_a_line_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    lines = Lines()
    tell_unraisable(lines)
    more = [Pair(in_file(tmp_path / "two.pem", leaf("mail.second.example")))]
    door = ServerTls(in_file(tmp_path / "one.pem", leaf("mx.ours.example")), more=more)
    hello = hello_to("x" * 20).replace(b"x" * 20, b"\xff\n" + b"y" * 18)
    with contextlib.suppress(WorldFault):
        door.pump().receive(hello)
    ((event, fields),) = lines.written
    assert event == "unraisable"
    assert fields["where"] == repr(b"\xff\n" + b"y" * 18)
    assert capfd.readouterr().err == ""


def hello_to(name: str) -> bytes:
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        client().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()
