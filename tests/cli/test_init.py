"""gatepost init: what is asked, what is written, and what is left alone."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result
from tests.cli.terminal import Terminal, load_real

OPTIONS = {
    "--hostname": "mx.example.com",
    "--domains": "example.com, example.org",
    "--mailboxes": "[192.0.2.10]",
    "--relay-from": "",
}


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    made = Terminal(tmp_path)
    made.file.unlink()
    return made


def init(terminal: Terminal, *more: str, **options: str) -> Result:
    wanted = OPTIONS | {"--recipients": str(terminal.directory / "recipients")}
    wanted |= {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    return terminal.type("init", *(word for pair in wanted.items() for word in pair), *more)


def test_five_answers_make_a_configuration_that_passes_its_own_check(terminal: Terminal) -> None:
    done = init(terminal)
    assert done.exit_code == 0, done.output
    assert f"written: {terminal.file}" in done.output
    settings = load_real(str(terminal.file)).settings
    assert settings.server.hostname == "mx.example.com"
    assert list(settings.accepted_domains) == ["example.com", "example.org"]
    assert settings.receive_connectors["internet"].listen == ("0.0.0.0:25", "[::]:25")
    assert list(settings.send_connectors) == ["mailboxes"]
    assert "relay" not in settings.receive_connectors["internet"].anonymous_rights
    # And the list of recipients is begun
    assert (
        (terminal.directory / "recipients")
        .read_text("utf-8")
        .endswith("postmaster@example.com\npostmaster@example.org\n")
    )
    assert terminal.type("config", "check").exit_code == 0
    # Nobody else reads or changes either
    for path in (terminal.file, terminal.directory / "recipients"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0
    # And nothing else was left behind
    assert sorted(path.name for path in terminal.directory.iterdir()) == ["gatepost.toml", "recipients"]


WAYS = {
    "[192.0.2.10]:2525": ("smtp", ("[192.0.2.10]:2525",), ""),
    "mail.example.com": ("smtp", ("mail.example.com",), ""),
    "lmtp:[127.0.0.1]:24": ("lmtp", ("[127.0.0.1]:24",), ""),
    "maildir:/var/mail/{domain}/{local}": ("maildir", (), "/var/mail/{domain}/{local}"),
}


@pytest.mark.parametrize("said", WAYS)
def test_where_the_mailboxes_are(terminal: Terminal, said: str) -> None:
    assert init(terminal, mailboxes=said).exit_code == 0
    way = load_real(str(terminal.file)).settings.send_connectors["mailboxes"]
    assert (way.delivery, way.smart_hosts, way.maildir) == WAYS[said]


def test_machines_of_ours_get_a_way_out(terminal: Terminal) -> None:
    assert init(terminal, relay_from="10.0.0.0/8 2001:db8::/32").exit_code == 0
    settings = load_real(str(terminal.file)).settings
    ours = settings.receive_connectors["internet"].ranges["ours"]
    assert ours.addresses == ("10.0.0.0/8", "2001:db8::/32")
    assert "relay" in ours.rights
    assert settings.send_connectors["world"].address_spaces == ("*",)


def test_everybody_may_exist(terminal: Terminal) -> None:
    assert init(terminal, recipients="everybody").exit_code == 0
    settings = load_real(str(terminal.file)).settings
    assert settings.accepted_domains["example.com"].check_recipients == "no"
    assert settings.recipients.file == ""


def test_a_list_of_recipients_that_is_there_is_left_alone(terminal: Terminal) -> None:
    (terminal.directory / "recipients").write_text("ann@example.com\n", "utf-8")
    (terminal.directory / "recipients").chmod(0o640)
    assert init(terminal).exit_code == 0
    assert (terminal.directory / "recipients").read_text("utf-8") == "ann@example.com\n"


def test_a_configuration_that_is_there_is_never_replaced_unasked(terminal: Terminal) -> None:
    terminal.file.write_text("mine", "utf-8")
    refused = init(terminal)
    assert (refused.exit_code, "is there already; --force replaces it" in refused.output) == (1, True)
    assert terminal.file.read_text("utf-8") == "mine"
    assert init(terminal, "--force").exit_code == 0
    assert load_real(str(terminal.file)).settings.server.hostname == "mx.example.com"


@dataclass(frozen=True)
class Wrong:
    option: str
    value: str
    said: str


WRONG: Sequence[Wrong] = (
    Wrong("hostname", "mx", "has no dot"),
    Wrong("hostname", "192.0.2.1", "an address is not a name"),
    Wrong("domains", " , ", "at least one domain"),
    Wrong("domains", "exa mple..com", "not a domain name"),
    Wrong("mailboxes", "192.0.2.10", "an address stands in brackets"),
    Wrong("mailboxes", "maildir:/var/mail", "is no place for mailboxes"),
    Wrong("recipients", "list.txt", "is not an absolute path"),
    Wrong("relay_from", "10.0.0.1/8", "host bits"),
    Wrong("relay_from", "0.0.0.0/0", "open relay"),
)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: f"{w.option} {w.value}")
def test_an_answer_that_is_none_is_told_and_nothing_is_written(terminal: Terminal, wrong: Wrong) -> None:
    done = init(terminal, **{wrong.option: wrong.value})
    assert (done.exit_code, wrong.said in done.output) == (2, True), done.output
    assert list(terminal.directory.iterdir()) == []


def test_without_a_terminal_every_answer_is_an_option(terminal: Terminal) -> None:
    done = terminal.type("init", "--hostname", "mx.example.com")
    assert (done.exit_code, "--domains is needed" in done.output) == (2, True)


def test_at_a_terminal_it_asks_until_the_answer_is_one(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.cli.init._at_a_terminal", lambda: True)
    listed = terminal.directory / "recipients"
    answers = ("mx", "mx.example.com", "example.com", "[192.0.2.10]", str(listed), "")
    done = terminal.type("init", said="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    assert "'mx' has no dot" in done.output
    assert load_real(str(terminal.file)).settings.server.hostname == "mx.example.com"


def test_a_place_that_others_may_change_is_told_by_its_name_and_left_as_it_was(terminal: Terminal) -> None:
    terminal.directory.chmod(0o777)
    done = init(terminal)
    assert done.exit_code == 1
    assert f"{terminal.file}: its directory can be changed by every user" in done.output
    assert list(terminal.directory.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(terminal: Terminal, tmp_path: Path) -> None:
    done = init(terminal, recipients=str(tmp_path / "none" / "recipients"))
    assert (done.exit_code, "cannot be written" in done.output) == (3, True), done.output
