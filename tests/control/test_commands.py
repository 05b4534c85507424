"""Commands and answers as octets: what goes in comes out, and nothing else is understood."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.control.mailroom import Worker

from gatepost.control.commands import (
    COMMAND_LIMIT_BYTES,
    TARGETS_LIMIT,
    AnyCommand,
    Changed,
    HopState,
    Refused,
    RemoveMail,
    RetryHop,
    RetryMail,
    Skipped,
    Target,
    WorkerStatus,
    decode_command,
    decode_reply,
    encode,
)
from gatepost.control.links import BATCH_TARGETS

LARGEST = Target((1 << 63) - 1, tuple(range(100_000 - 300, 100_000)))
COMMANDS: list[AnyCommand] = [
    RetryHop(next_hop="internet:smtp:example.org", by="root"),
    RetryMail(targets=(Target(1), Target(2, (0, 5)))),
    RemoveMail(targets=(Target((1 << 63) - 1),), notice=True),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
def test_a_command_is_read_back(command: AnyCommand) -> None:
    assert decode_command(encode(command)) == command


def test_an_answer_is_read_back() -> None:
    for reply in (
        Changed(mails=2, skipped=(Skipped(5, "gone"),)),
        Refused("no"),
        WorkerStatus(worker=1, process_id=2, started_at=3.0, revision="x", hops=(HopState("a"),)),
    ):
        assert decode_reply(encode(reply)) == reply


def test_a_full_batch_fits_into_a_frame() -> None:
    batch = RetryMail(targets=(LARGEST,) * BATCH_TARGETS, by="x" * 1000)
    assert len(encode(batch)) <= COMMAND_LIMIT_BYTES


HOSTILE = {
    "nothing": b"",
    "an unknown tag": msgspec.msgpack.encode({"type": "shutdown"}),
    "no tag": msgspec.msgpack.encode({"targets": []}),
    "an unknown field": msgspec.msgpack.encode({"type": "retry-hop", "next_hop": "", "eval": "1"}),
    "a wrong type": msgspec.msgpack.encode({"type": "retry-mail", "targets": "all"}),
    "a mail id of 0": msgspec.msgpack.encode({"type": "retry-mail", "targets": [[0, []]]}),
    "a negative recipient": msgspec.msgpack.encode({"type": "retry-mail", "targets": [[1, [-1]]]}),
    "too many mails": msgspec.msgpack.encode(
        {"type": "retry-mail", "targets": [[1, []]] * (TARGETS_LIMIT + 1)}
    ),
    "a long name": msgspec.msgpack.encode({"type": "retry-hop", "next_hop": "x" * 1001}),
    "a pickle": b"\x80\x04\x95\x0f\x00\x00\x00",
    "deep": b"\x91" * 100_000,
    "trailing octets": msgspec.msgpack.encode({"type": "status"}) + b"x",
    "a length that lies": b"\xdd\xff\xff\xff\xff",
    "bad UTF-8": b"\x82\xa4type\xa9retry-hop\xa8next_hop\xa1\xff",
}


@pytest.mark.threat("Q11", "T09")
@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_command_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not understood"):
        decode_command(data)
    worker = Worker()
    answer = decode_reply(asyncio.run(worker.commands.answer(data)))
    assert isinstance(answer, Refused)


@given(st.binary(max_size=200))
def test_any_octets(data: bytes) -> None:
    for decode in (decode_command, decode_reply):
        try:
            decode(data)
        except ValueError:
            continue
