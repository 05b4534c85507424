"""gatepost dns: what is asked, what is printed, what is published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.terminal import FakeDesk, Terminal

from gatepost.control.dns_history import DnsChange, DnsHistory
from gatepost.control.dns_survey import MailHost, Survey


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    hosts = [MailHost(name="mx.b.example", preference=10, addresses=("192.0.2.1",))]
    found = Survey(domain="b.example", zone="b.example", hosts=hosts, spf=("v=spf1 a ~all",))
    return Terminal(tmp_path, desk=FakeDesk(found=found))


def test_a_survey_shows_what_is_there_and_what_is_wrong(terminal: Terminal) -> None:
    terminal.desk.found.problems.append("there is no DMARC record")
    done = terminal.type("dns", "survey", "B.example.")
    assert done.exit_code == 1
    assert "MX                  10 mx.b.example" in done.output
    assert "wrong: there is no DMARC record" in done.output
    answer = json.loads(terminal.type("dns", "survey", "b.example", "--json").output)
    assert answer["published"]["SPF"] == ["v=spf1 a ~all"]


def test_the_wizard_by_options(terminal: Terminal) -> None:
    words = [
        "--address",
        "192.0.2.0/24",
        "--provider",
        "p.example",
        "--others",
        "softfail",
        "--mta-sts",
        "testing",
    ]
    done = terminal.type("dns", "wizard", "b.example", *words)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert 'b.example. 3600 IN TXT "v=spf1 ip4:192.0.2.0/24 mx include:p.example ~all"' in lines
    assert "; instead of: v=spf1 a ~all" in lines
    assert "mode: testing" in lines
    assert 'dnscmd . /RecordDelete b.example @ TXT "v=spf1 a ~all" /f' in lines
    assert terminal.desk.published == []


def test_the_wizard_asks(terminal: Terminal) -> None:
    # sends, takes mail, mx, not a, an address, no hosts, a provider, softfail, DMARC none to nobody, no TLS reports
    said = "y\ny\ny\nn\n192.0.2.1\n\np.example\n\nnone\n\n\n"
    done = terminal.type("dns", "wizard", "b.example", "--ask", said=said)
    assert done.exit_code == 0
    assert '"v=spf1 ip4:192.0.2.1 mx include:p.example ~all"' in done.output
    assert '_dmarc.b.example. 3600 IN TXT "v=DMARC1; p=none"' in done.output


def test_publishing(terminal: Terminal) -> None:
    assert terminal.type("dns", "wizard", "b.example", "--publish").exit_code == 2
    to = ["--publish", "--server", "192.0.2.53", "--key-file", "/etc/key"]
    done = terminal.type("dns", "wizard", "b.example", *to)
    assert done.exit_code == 0
    assert "added something" in done.output
    ((plan, zone, server),) = terminal.desk.published
    assert (plan.spf, zone, server) == ("v=spf1 mx -all", "b.example", "192.0.2.53")
    terminal.desk.lookups = 11
    done = terminal.type("dns", "wizard", "b.example", *to)
    assert done.exit_code == 1
    assert "nothing was published" in done.output
    assert len(terminal.desk.published) == 1


def test_the_domains_keys_are_among_its_records(terminal: Terminal) -> None:
    made = terminal.type("dkim", "keygen", "b.example", "s1", "--type", "ed25519")
    other = terminal.type("dkim", "keygen", "c.example", "s1", "--type", "ed25519")
    tables = [one.output.partition("configuration:\n")[2] for one in (made, other)]
    terminal.configure("".join(tables))
    said = json.loads(terminal.type("dns", "wizard", "b.example", "--json").output)
    names = [record["name"] for record in said["records"]]
    assert names == ["b.example", "s1._domainkey.b.example"]
    without = json.loads(terminal.type("dns", "wizard", "b.example", "--json", "--no-dkim").output)
    assert [record["name"] for record in without["records"]] == ["b.example"]


def test_publishing_with_a_ticket(terminal: Terminal) -> None:
    to = ["--publish", "--server", "192.0.2.53", "--kerberos", "dc1.corp.example"]
    assert terminal.type("dns", "wizard", "b.example", *to).exit_code == 0
    assert terminal.desk.signed_by == "dc1.corp.example"
    both = terminal.type("dns", "wizard", "b.example", *to, "--key-file", "/etc/key")
    assert both.exit_code == 2
    assert "--key-file or --kerberos" in both.output


MISTAKES = [
    (("wizard", "b.example", "--address", "x"), "not an IP address"),
    (("wizard", "not a name"), "is not a domain name"),
    (("wizard", "b.example", "--tlsa"), "no receive connector has a certificate-file"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES)
def test_mistakes_are_told(terminal: Terminal, words: tuple[str, ...], said: str) -> None:
    done = terminal.type("dns", *words)
    assert done.exit_code == 2
    assert said in done.output


def test_the_history(terminal: Terminal) -> None:
    done = terminal.type("dns", "history", "b.example")
    assert done.exit_code == 1
    assert "was not looked at yet" in done.output
    change = DnsChange(1_800_000_000.0, "SPF", ("v=spf1 a",), ("v=spf1 mx",))
    terminal.desk.held = DnsHistory(domain="b.example", at=1.0, changes=[change], problems=["bad"])
    done = terminal.type("dns", "history", "b.example")
    assert "2027-01-15T08:00:00Z  SPF  - v=spf1 a" in done.output
    assert "wrong: bad" in done.output
    assert (
        json.loads(terminal.type("dns", "history", "b.example", "--json").output)["changes"][0]["kind"]
        == "SPF"
    )
