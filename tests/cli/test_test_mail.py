"""`gatepost test mail`: shipped scenarios come out as they say, options do what they say, mistakes have a place."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal

from gatepost.control.scenario import look_alike_of, shipped

OURS = '[accepted-domains."firm.test"]\n[receive-connectors.internet]\nlisten = ["127.0.0.1:25"]\n'
ZONE = 'friend.test TXT "v=spf1 ip4:192.0.2.7 -all"\n_dmarc.friend.test TXT "v=DMARC1; p=reject"\n'


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    def no_network(*_: object, **__: object) -> None:
        raise AssertionError("a play with a DNS of its own opens no socket")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket.socket, "sendto", no_network)
    return Terminal(tmp_path)


def played(terminal: Terminal, *words: str) -> tuple[int, dict[str, object]]:
    result = terminal.type("test", "mail", "--json", *words)
    assert result.output.startswith("{"), result.output
    return result.exit_code, json.loads(result.output)


def by_options(tmp_path: Path, zone: str = ZONE) -> list[str]:
    (tmp_path / "zone").write_text(zone)
    return (
        "--first-configuration --client 192.0.2.7 --helo mx.friend.test --from ann@friend.test "
        f"--to bob@ours.example --dns {tmp_path}/zone"
    ).split()


@pytest.mark.parametrize("configuration", ["--first-configuration", "--own-configuration"])
def test_every_shipped_scenario_comes_out_as_it_says(terminal: Terminal, configuration: str) -> None:
    terminal.configure(OURS)
    result = terminal.type("test", "mail", configuration, *shipped())
    assert result.exit_code == 0, result.output
    assert result.output.count("as expected") == len(shipped()) >= 12


def test_ours_is_replaced_by_the_first_domain_of_the_configuration(terminal: Terminal) -> None:
    terminal.configure(OURS)
    status, said = played(terminal, "spoofed-ceo")
    assert (status, said["outcome"]) == (0, "tagged")
    assert said["way"] == [
        "vps66.hosting.example [203.0.113.66] sends for <ceo@firm.test>",
        "mx.example.com is us",
    ]


def test_the_exit_status_is_the_verdict(terminal: Terminal) -> None:
    cases = {"tagged": ("", 0), "refused": ("reject-at = 8", 13), "quarantined": ("quarantine-at = 8", 10)}
    for outcome, (policy, exit_status) in cases.items():
        terminal.configure(f"{OURS}[policy]\n{policy}\n")
        status, said = played(terminal, "spoofed-ceo")
        assert (said["outcome"], status) == (outcome, exit_status)


def test_a_mail_that_is_put_off_comes_again(terminal: Terminal) -> None:
    terminal.configure(OURS + "[agents.greylisting]\nenabled = true\n")
    status, said = played(terminal, "policy-none")
    assert (status, said["outcome"]) == (0, "accepted")
    assert "tried again 3600 s later" in str(said["notes"])


def test_options_alone_make_a_play(terminal: Terminal, tmp_path: Path) -> None:
    words = by_options(tmp_path)
    status, said = played(terminal, *words)
    assert (status, said["outcome"]) == (0, "accepted")
    assert said["results"] == {"spf": "pass", "dkim": "none", "dmarc": "pass", "arc": "none"}
    # When a forwarder that breaks nothing brings the signed mail
    forwarded = [*words, "--sign", "friend.test:s1:ed25519", "--forwarder", "mx.fwd.test@198.51.100.9"]
    _, said = played(terminal, *forwarded)
    assert said["results"] == {"spf": "fail", "dkim": "pass", "dmarc": "pass", "arc": "none"}
    # and when it adds a footer and seals
    _, said = played(terminal, *forwarded, "--forwarder-changes", "footer", "--forwarder-seals", "fwd.test")
    assert said["results"] == {"spf": "fail", "dkim": "fail", "dmarc": "fail", "arc": "pass"}
    assert "seals for fwd.test" in said["way"][1]  # type: ignore[index]  # a list


def test_the_scenario_of_the_manual_comes_out_as_it_says(terminal: Terminal, tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "test-mail.md").read_text(encoding="utf-8")
    (scenario,) = (block for block in manual.split("```") if block.startswith("text\nabout ="))
    (tmp_path / "own.toml").write_text(scenario.removeprefix("text\n"))
    result = terminal.type("test", "mail", "--first-configuration", "--check", f"{tmp_path}/own.toml")
    assert result.exit_code == 0, result.output
    assert [name for name in shipped() if f"`{name}`" not in manual] == []


def test_a_message_file_is_judged_as_it_is_and_saved_as_it_would_be_kept(
    terminal: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "mail.eml").write_bytes(b"From: ann@friend.test\nSubject: mine\n\n.a line\n")
    words = [*by_options(tmp_path), "--message", f"{tmp_path}/mail.eml", "--save", f"{tmp_path}/kept.eml"]
    result = terminal.type("test", "mail", *words, "--header-section", "--dialog")
    assert result.exit_code == 0
    assert "C: (the message, " in result.output
    assert "Subject: mine" in result.output
    kept = (tmp_path / "kept.eml").read_bytes()
    assert kept.startswith(b"Received: from mx.friend.test ([192.0.2.7])")
    assert kept.endswith(b"\r\n\r\n.a line\r\n")


def test_who_does_not_exist_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    scenario = tmp_path / "nobody.toml"
    scenario.write_text(
        'unlisted = ["nobody@ours.example"]\n[mail]\nclient = "192.0.2.7"\nsender = "a@friend.test"\n'
        'recipients = ["nobody@ours.example", "bob@ours.example"]\n[dns]\nrecords = ""\n'
        '[expect]\nreply = "550 5.1.1"\ndecided-by = "recipient-filter"\n'
    )
    result = terminal.type("test", "mail", "--first-configuration", "--check", str(scenario))
    assert result.exit_code == 0, result.output
    assert "REFUSED by recipient-filter: 550 5.1.1" in result.output


def test_what_is_not_as_expected_is_said(terminal: Terminal, tmp_path: Path) -> None:
    scenario = tmp_path / "hope.toml"
    scenario.write_text(
        '[mail]\nclient = "192.0.2.7"\nsender = "a@friend.test"\nrecipients = ["bob@ours.example"]\n'
        '[dns]\nrecords = ""\nsilent = ["friend.test"]\n'
        '[expect]\noutcome = "refused"\nfindings = ["spf-fail"]\n[expect.results]\nspf = "fail"\n'
    )
    result = terminal.type("test", "mail", "--first-configuration", "--check", str(scenario))
    assert result.exit_code == 1
    assert "not as expected: expected to be refused, but it was accepted" in result.output
    assert "expected spf=fail, but it is temperror" in result.output


MISTAKES = [
    ("no scenario of the name", "spoofed-cfo", "did you mean spoofed-ceo?"),
    ("no address", '[mail]\nclient = "here"', ':2: mail.client: "here" is no IP address'),
    ("unknown setting", '[mail]\nclients = "192.0.2.1"', "did you mean client?"),
    ("a value that is not accepted", '[expect]\noutcome = "lost"', "accepted: accepted, tagged"),
    (
        "no record",
        '[dns]\nrecords = """\nfriend.test TXT\n"""',
        ":3: dns.records: 'friend.test TXT' is no record",
    ),
    ("no TOML", "[mail\n", "not TOML"),
    ("an overlay that is wrong", "[configuration.dns]\ntimeout = 5", ":2: configuration.dns.timeout"),
    (
        "half a rewriting list",
        '[[hops]]\nclient = "192.0.2.9"\nhelo = "l.test"\nchanges = ["from"]',
        "author",
    ),
]


@pytest.mark.parametrize(
    ("text", "said"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES]
)
def test_mistakes_have_a_file_a_line_and_what_would_do(
    terminal: Terminal, tmp_path: Path, text: str, said: str
) -> None:
    rest = {
        "[mail]": 'client = "192.0.2.7"',
        "sender": 'sender = "a@friend.test"\nrecipients = ["bob@ours.example"]',
        "[dns]": 'records = ""',
    }
    name = text
    if "[" in text:
        mail = "" if "[mail" in text else f"[mail]\n{rest['[mail]']}\n{rest['sender']}\n"
        more = f"\n{rest['sender']}\n" if "[mail]" in text else ""
        dns = "" if "[dns]" in text else "[dns]\nrecords = ''\n"
        (tmp_path / "case.toml").write_text(f"{text}{more}\n{mail}{dns}")
        name = str(tmp_path / "case.toml")
    result = terminal.type("test", "mail", "--first-configuration", name)
    assert result.exit_code == 1, result.output
    assert said in result.output


def test_what_is_missing_on_the_command_line_is_named(terminal: Terminal) -> None:
    result = terminal.type("test", "mail", "--client", "192.0.2.7")
    assert result.exit_code == 2
    assert "--from, --to" in result.output
    assert terminal.type("test", "mail", "--forwarder-from", "a@b.test", "spoofed-ceo").exit_code == 2
    assert terminal.type("test", "mail", "--forwarder", "mx", "spoofed-ceo").exit_code == 2


def test_the_list_says_what_happens(terminal: Terminal) -> None:
    said = terminal.type("test", "mail", "--list").output
    assert "spoofed-ceo" in said
    assert "A stranger writes in the boss's name" in said


@pytest.mark.parametrize(
    ("domain", "twin"), [("ours.example", "xn--urs-red.example"), ("fmt.example", "fmt-mail.example")]
)
def test_a_look_alike_is_another_domain(domain: str, twin: str) -> None:
    assert look_alike_of(domain) == twin
