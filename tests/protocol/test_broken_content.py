"""Whether we hung up inside of content: the client still sends then, and a reset would take our reply from it."""

from __future__ import annotations

import pytest
from tests.protocol.talk import in_transaction

BROKEN = [
    ("a bare LF in the text", [b"DATA\r\n", b"x\ny"], True),
    ("a bare LF behind the end of data", [b"DATA\r\n", b"x\r\n.\r\n", b"RSET\nQUIT\r\n"], False),
    ("far more than the limit, in a chunk", [b"BDAT 900000\r\n" + b"x" * 250_000], True),
    ("before any content", [b"RSET\nQUIT\r\n"], False),
    ("a whole conversation", [b"QUIT\r\n"], False),
    ("a whole chunk before", [b"BDAT 1\r\nx", b"RSET\nQUIT\r\n"], False),
]


@pytest.mark.threat("A01")
@pytest.mark.parametrize(("name", "data", "within"), BROKEN, ids=[row[0] for row in BROKEN])
def test_whether_we_hung_up_inside_of_content(name: str, data: list[bytes], within: bool) -> None:
    talk = in_transaction()
    for piece in data:
        assert not talk.engine.broke_off
        talk.say(piece)
    assert talk.closed
    assert talk.engine.broke_off is within
