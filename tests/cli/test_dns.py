"""gatepost dns: the numbers of all workers in one table, and one question asked as the gateway would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal

from gatepost.ports.resolver import LookedUp, Mx, RecordType, Tlsa

TLSA = Tlsa(usage=3, selector=1, matching=1, data=b"\xab\xcd")


PLAIN = "not proven by DNSSEC; to be believed for 0 s"
SAID = [
    ("A", LookedUp(records=("192.0.2.1",), ttl_s=60), ["192.0.2.1", PLAIN.replace("0 s", "60 s")], 0),
    ("TLSA", LookedUp(records=(TLSA,), is_secure=True), ["3 1 1 abcd", PLAIN.removeprefix("not ")], 0),
    ("MX", LookedUp(records=(Mx(0, ""),)), ["0 .", PLAIN], 0),
    ("TXT", LookedUp(records=(b"a\x1b[31m\xff",)), ["a\\x1b[31m\\xff", PLAIN], 0),
    ("NS", LookedUp(records=()), ["no such record", PLAIN], 1),
    ("NS", LookedUp(records=(), exists=False), ["no such name", PLAIN], 1),
]


@pytest.mark.parametrize(("kind", "said", "lines", "status"), SAID, ids=[lines[0] for _, _, lines, _ in SAID])
def test_asking(tmp_path: Path, kind: str, said: LookedUp, lines: list[str], status: int) -> None:
    terminal = Terminal(tmp_path)
    terminal.names["a.example", RecordType[kind]] = said
    result = terminal.type("dns", "ask", "a.example", kind.lower())
    assert (result.output.splitlines(), result.exit_code) == (lines, status)


def test_statistics_are_of_all_workers(tmp_path: Path) -> None:
    # Given two workers that asked
    terminal = Terminal(tmp_path)
    for worker in terminal.workers:
        worker.samples = (
            ("dns_questions", (("zone", "list.example"), ("outcome", "found")), 2.0),
            ("dns_questions", (("zone", "list.example"), ("outcome", "unknown")), 1.0),
            ("dns_wait_seconds", (("zone", "list.example"),), 0.3),
            ("dns_server_answers", (("server", "127.0.0.1:53"),), 4.0),
            ("dns_server_silences", (("server", "127.0.0.1:53"),), 1.0),
            ("dns_server_wait_seconds", (("server", "127.0.0.1:53"),), 0.02),
            ("dns_server_usual_seconds", (("server", "127.0.0.1:53"),), 0.003),
            ("dns_cache_hits", (), 7.0),
        )
    # Then
    said = json.loads(terminal.type("dns", "statistics", "--json").output)
    assert said["zones"] == {"list.example": {"found": 4, "none": 0, "unknown": 2, "wait_s": 0.6}}
    assert said["cache"]["hits"] == 14
    shown = terminal.type("dns", "statistics").output
    assert ["list.example", "4", "0", "2", "100.0", "ms"] in [line.split() for line in shown.splitlines()]
    assert ["127.0.0.1:53", "8", "0", "2", "5.0", "ms", "3.0", "ms"] in [
        line.split() for line in shown.splitlines()
    ]


def test_a_gateway_that_is_down_has_no_statistics(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, up=False)
    assert terminal.type("dns", "statistics").exit_code == 1
