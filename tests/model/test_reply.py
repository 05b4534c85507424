"""A reply that contradicts itself cannot exist; one that exists fits the wire."""

from __future__ import annotations

import pytest

from gatepost.model.reply import Reply


@pytest.mark.parametrize(
    ("code", "enhanced", "text"),
    [
        (550, "4.1.1", "the classes disagree"),
        (199, "", "no such class"),
        (600, "", "no such class"),
        (250, "2.0.0", "two\r\nlines"),
        (250, "2.0.0", "a control \x07 character"),
    ],
)
def test_a_reply_that_contradicts_itself_cannot_exist(code: int, enhanced: str, text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Reply(code, enhanced, text)


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (Reply(250, "2.1.0", "Sender OK"), b"250 2.1.0 Sender OK\r\n"),
        (Reply(354, "", "Start"), b"354 Start\r\n"),
        (Reply(250, "", "mx", ("PIPELINING", "SIZE 1")), b"250-mx\r\n250-PIPELINING\r\n250 SIZE 1\r\n"),
        (Reply(334, "", ""), b"334 \r\n"),
        (Reply(334, "", "x" * 2000), b"334 " + b"x" * 2000 + b"\r\n"),
        (Reply(550, "5.1.1", "Gr\u00fc\u00dfe"), b"550 5.1.1 Gr??e\r\n"),
    ],
)
def test_the_bytes_of_a_reply(reply: Reply, wire: bytes) -> None:
    assert reply.encode() == wire


@pytest.mark.threat("B36")
def test_a_line_is_at_most_512_octets_with_its_end() -> None:
    wire = Reply(550, "5.1.1", "x" * 2000).encode()
    assert len(wire) == 512
    assert wire.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("code", "hangs_up"), [(221, True), (421, True), (521, True), (550, False), (250, False)]
)
def test_which_replies_announce_that_we_close(code: int, hangs_up: bool) -> None:
    assert Reply(code, "", "x").hangs_up is hangs_up
