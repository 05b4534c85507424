"""An HTTP answer in any pieces is the same answer; what is too long, coded or broken is a fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.fault import WorldFault
from gatepost.protocol.http_client import ETAG_LIMIT_BYTES, HEAD_LIMIT_BYTES, HttpAnswer, HttpExchange

LIMIT = 20


def exchange(body: bytes = b"") -> HttpExchange:
    method = "POST" if body else "GET"
    return HttpExchange(method, "/a?b", [("Host", "issuer.example")], body, body_limit_bytes=LIMIT)


def test_what_is_asked() -> None:
    assert exchange().opening == b"GET /a?b HTTP/1.1\r\nHost: issuer.example\r\nConnection: close\r\n\r\n"
    assert exchange(b"token=x").opening.endswith(b"Connection: close\r\nContent-Length: 7\r\n\r\ntoken=x")


def test_what_http_cannot_say_is_not_said() -> None:
    with pytest.raises(ValueError, match="no HTTP request"):
        HttpExchange("GET", "/", [("Host", "a\r\nX: y")], b"", body_limit_bytes=LIMIT)


OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = [
    ("a length", OK + b"Content-Length: 4\r\n\r\n{  }", 200, b"{  }"),
    ("chunks", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 200, b"{}"),
    ("until the end", OK + b"\r\n{}", 200, b"{}"),
    ("something interim first", b"HTTP/1.1 103 Hints\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", 200, b""),
    ("a no", b"HTTP/1.1 401 No\r\nContent-Length: 1\r\n\r\nx", 401, b"x"),
    ("the coding that is none", OK + b"Content-Encoding: Identity\r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
    ("as long as may be", OK + b"Content-Length: 20\r\n\r\n" + b"x" * LIMIT, 200, b"x" * LIMIT),
]


@pytest.mark.parametrize(("name", "said", "status", "body"), ANSWERS, ids=[row[0] for row in ANSWERS])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in drops"])
def test_an_answer(name: str, said: bytes, status: int, body: bytes, at_once: bool) -> None:
    asking = exchange()
    pieces = [said] if at_once else [said[i : i + 1] for i in range(len(said))]
    answers = (asking.receive(piece) for piece in [*pieces, b""])
    assert next(answer for answer in answers if answer is not None) == HttpAnswer(status, body)


FIELDS = [
    ("none", b"", "", ""),
    ("an entity tag", b'ETag: W/"1"\r\n', 'W/"1"', ""),
    ("one as long as may be", b"ETag: " + b"x" * 1024 + b"\r\n", "x" * ETAG_LIMIT_BYTES, ""),
    ("one that is longer", b"ETag: " + b"x" * 1025 + b"\r\n", "", ""),
    ("one beyond ASCII", b"ETag: a\xe4b\r\n", "ab", ""),
    ("a media type", b"Content-Type: Application/JSON; charset=utf-8\r\n", "", "application/json"),
    ("one beyond ASCII", b"Content-Type: text/\xe4 ;x\r\n", "", "text/ä"),
]


@pytest.mark.parametrize(("name", "field", "etag", "media_type"), FIELDS, ids=[row[0] for row in FIELDS])
def test_the_fields_that_are_read(name: str, field: bytes, etag: str, media_type: str) -> None:
    answer = exchange().receive(OK + field + b"Content-Length: 0\r\n\r\n")
    assert answer == HttpAnswer(200, b"", etag, media_type)


BROKEN = [
    ("not HTTP", b"220 mx.example ESMTP\r\n\r\n"),
    ("nothing", b""),
    ("half a body", OK + b"Content-Length: 4\r\n\r\n{"),
    ("half a chunk", OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\n{"),
    ("one octet too many", OK + b"\r\n" + b"x" * (LIMIT + 1)),
    ("too many in chunks", OK + b"Transfer-Encoding: chunked\r\n\r\n15\r\n" + b"x" * 21 + b"\r\n0\r\n\r\n"),
    ("a head without end", OK + b"X: " + b"y" * HEAD_LIMIT_BYTES),
    ("interim answers without end", b"HTTP/1.1 103 Hints\r\n\r\n" * 4000),
    ("a coding", OK + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"),
    ("two lengths", OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
]


@pytest.mark.parametrize(("name", "said"), BROKEN, ids=[row[0] for row in BROKEN])
def test_what_is_no_answer(name: str, said: bytes) -> None:
    asking = exchange()
    with pytest.raises(WorldFault):
        assert [asking.receive(piece) for piece in (said, b"")] == []


def test_the_head_at_its_limit_and_past_it() -> None:
    assert HEAD_LIMIT_BYTES == 16_384
    asking = exchange()
    assert asking.receive(OK + b"X: " + b"y" * (16_384 - len(OK) - 3)) is None
    with pytest.raises(WorldFault, match="not HTTP"):
        asking.receive(b"y")


def test_everything_together_at_its_limit_and_past_it() -> None:
    # Given 64 KiB and as much as the body may have, in answers that are none yet
    interim = b"HTTP/1.1 103 Hints\r\n\r\n"
    whole, rest = divmod(65_536 + LIMIT, len(interim))
    padded = interim[:-4] + b"!" * rest + b"\r\n\r\n"
    asking = exchange()
    assert all(asking.receive(piece) is None for piece in [interim] * (whole - 1) + [padded])
    with pytest.raises(WorldFault, match="longer than 20 octets"):
        asking.receive(OK[:1])


def test_a_server_that_goes_away() -> None:
    with pytest.raises(WorldFault, match="closed the connection before it answered"):
        exchange().receive(b"")


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(HttpAnswer(200, b"secret"))


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_whatever_a_server_says_is_an_answer_or_a_fault(pieces: list[bytes]) -> None:
    asking = exchange()
    try:
        for piece in [OK, *pieces, b""]:
            if asking.receive(piece) is not None:
                return
    except WorldFault:
        return
    pytest.fail("neither an answer nor a fault at the end of the stream")
