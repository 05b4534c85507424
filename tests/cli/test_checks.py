"""gatepost test: what was looked up, and what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.standards.zones import Zones, texts


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    made = Terminal(tmp_path)
    made.zones = texts({
        "a.test": "v=spf1 include:b.test -all exp=why.a.test",
        "b.test": "v=spf1 ip4:192.0.2.0/24 ?all",
        "why.a.test": "%{i} is not ours",
        "odd.test": "v=spf1 \x1b[31m -all",
    })  # fmt: skip
    return made


def test_spf_shows_every_record_and_term(terminal: Terminal) -> None:
    done = terminal.type("test", "spf", "ann@A.test", "192.0.2.7", "--helo", "mx.a.test")
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "a.test",
        "  ? a.test TXT: v=spf1 include:b.test -all exp=why.a.test",
        "  record v=spf1 include:b.test -all exp=why.a.test",
        "    b.test",
        "      ? b.test TXT: v=spf1 ip4:192.0.2.0/24 ?all",
        "      record v=spf1 ip4:192.0.2.0/24 ?all",
        "      ip4:192.0.2.0/24: matches, pass",
        "a.test",
        "  include:b.test: matches, pass",
        "",
        "pass by ip4:192.0.2.0/24 of b.test: 192.0.2.7 and a.test",
        "on the way: a.test > b.test",
    ]


def test_spf_shows_what_the_domain_says(terminal: Terminal) -> None:
    done = terminal.type("test", "spf", "a.test", "::ffff:203.0.113.9")
    assert "fail by -all of a.test: 203.0.113.9 and a.test" in done.output
    assert "203.0.113.9 is not ours" in done.output


def test_a_strangers_record_does_not_move_the_cursor(terminal: Terminal) -> None:
    done = terminal.type("test", "spf", "odd.test", "192.0.2.7")
    assert "\x1b" not in done.output
    assert "problem: odd.test: '\\x1b[31m' is no mechanism" in done.output


def test_spf_answers_programs(terminal: Terminal) -> None:
    said = json.loads(terminal.type("test", "spf", "a.test", "192.0.2.7", "--json").output)
    assert (said["result"], said["path"], said["steps"][0]["depth"]) == ("pass", ["a.test", "b.test"], 0)


@pytest.mark.parametrize(
    ("words", "says"),
    [(("a b", "192.0.2.7"), "neither a domain nor an address"), (("a.test", "192.0.2"), "is no IP address")],
)
def test_what_cannot_be_asked_is_wrong_usage(terminal: Terminal, words: tuple[str, ...], says: str) -> None:
    done = terminal.type("test", "spf", *words)
    assert (done.exit_code, says in done.output) == (2, True)


def test_senderid_reads_spf2_records_and_says_why_it_fails(terminal: Terminal) -> None:
    terminal.zones = texts({"a.test": ["v=spf1 -all", "spf2.0/mfrom,pra +all"], "b.test": "v=spf1 -all"})
    assert "Sender ID: pass" in terminal.type("test", "senderid", "a.test", "192.0.2.7").output
    assert (
        "Sender ID: fail (not-permitted)" in terminal.type("test", "senderid", "b.test", "192.0.2.7").output
    )
    said = json.loads(terminal.type("test", "senderid", "no.test", "192.0.2.7", "--json").output)
    assert (said["sender_id"], said["sender_id_reason"]) == ("fail", "domain-does-not-exist")


@pytest.fixture
def walking(tmp_path: Path) -> Terminal:
    made = Terminal(tmp_path)
    made.zones = texts({"_dmarc.a.test": "v=DMARC1; p=reject; sp=quarantine; pct=50; t=y", "n.a.test": ""})
    return made


def test_dmarc_shows_the_walk_and_whose_record_applies(walking: Terminal) -> None:
    done = walking.type("test", "dmarc", "ann@n.A.test", "--spf", "evil.test")
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "? _dmarc.n.a.test: nothing",
        "? _dmarc.a.test: v=DMARC1; p=reject; sp=quarantine; pct=50; t=y",
        "? _dmarc.test: nothing",
        "",
        "fail: mail of n.a.test",
        "a.test asks for: quarantine (t=y: one step less)",
        "note: pct has no meaning since RFC 9989",
    ]


def test_dmarc_as_json(walking: Terminal) -> None:
    done = walking.type("test", "dmarc", "a.test", "--dkim", "b.a.test", "--json")
    told = json.loads(done.output)
    assert (told["result"], told["aligned_with"], told["policy"]) == ("pass", "dkim b.a.test", "reject")
    assert told["questions"][0] == {
        "name": "_dmarc.a.test",
        "answer": "v=DMARC1; p=reject; sp=quarantine; pct=50; t=y",
    }


def test_dmarc_of_what_is_no_domain(walking: Terminal) -> None:
    done = walking.type("test", "dmarc", "a b")
    assert done.exit_code == 2
    assert "neither a domain nor an address" in done.output


def test_records_that_nobody_has_published_yet(terminal: Terminal, tmp_path: Path) -> None:
    zone = tmp_path / "zone"
    zone.write_text(
        'new.test TXT "v=spf1 ip4:192.0.2.0/24 -all"  # soon\n_dmarc.new.test TXT "v=DMARC1; p=reject"\n'
    )
    words = ("192.0.2.7", "--dns", str(zone))
    assert "pass by ip4:192.0.2.0/24" in terminal.type("test", "spf", "new.test", *words).output
    assert "Sender ID: pass" in terminal.type("test", "senderid", "new.test", *words).output
    done = terminal.type("test", "dmarc", "new.test", "--spf", "new.test", "--dns", str(zone))
    assert "pass by spf new.test" in done.output
    zone.write_text("new.test TXT")
    done = terminal.type("test", "spf", "new.test", *words)
    assert (done.exit_code, "is no record such as" in done.output) == (2, True)
    assert terminal.type("test", "spf", "new.test", "192.0.2.7", "--dns", str(tmp_path)).exit_code == 2


def test_a_silent_dns_has_an_exit_status(terminal: Terminal) -> None:
    terminal.zones = Zones({}, silent=frozenset({"a.test", "_dmarc.a.test"}))
    for words in (("spf", "a.test", "192.0.2.7"), ("senderid", "a.test", "192.0.2.7"), ("dmarc", "a.test")):
        done = terminal.type("test", *words)
        assert (done.exit_code, "temperror" in done.output) == (3, True), words
