"""Every verb of the command line: what it answers, what it changes, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.cli.terminal import Terminal
from tests.control.mailroom import NOW

from gatepost.cli import build
from gatepost.cli.front import COMMANDS
from gatepost.cli.output import octets, plain, span, when
from gatepost.control.commands import ResourceState
from gatepost.model.address import NULL_SENDER
from gatepost.model.certificate import OwnCertificate
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import KeepDossier, KeepRecords, MailState, StoredRecord
from gatepost.ports.store import MailFilter

S = MailState


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    tmp_path.chmod(0o700)
    return Terminal(tmp_path)


def left(terminal: Terminal) -> list[int]:
    return sorted(m.mail_id for w in terminal.workers for m in w.store.find(MailFilter(), limit=99))


# -- looking ------------------------------------------------------------------------------------------


def test_the_queue_is_listed_oldest_first(terminal: Terminal) -> None:
    new = terminal.workers[0].put("bob@example.org", "carl@example.net", age_s=10)
    old = terminal.workers[1].put("dan@example.org", sender=NULL_SENDER, age_s=20)
    result = terminal.type("queue", "list")
    lines = result.output.splitlines()
    heads = [
        "ID",
        "TAKEN",
        "SIZE",
        "SENDER",
        "RECIPIENT",
        "STATE",
        "NEXT HOP",
        "TRIES",
        "NEXT TRY",
        "LAST REPLY",
    ]
    assert lines[0].split() == " ".join(heads).split()
    assert [line.split()[0] for line in lines[1:]] == [mail_id_text(old), mail_id_text(new)]
    assert "<>" in lines[1]
    assert "bob@example.org (+1)" in lines[2]
    assert result.exit_code == 0


def test_an_empty_queue_says_so(terminal: Terminal) -> None:
    assert terminal.type("queue", "list").output == "the queue is empty\n"
    assert json.loads(terminal.type("queue", "list", "--json").output) == []


FILTERS = [
    (["--sender", "ann@*"], 2),
    (["--sender", "<>"], 1),
    (["--recipient", "*@example.net"], 1),
    (["--next-hop", "old:example.org"], 2),
    (["--state", "suspended"], 1),
    (["--older-than", "1h"], 1),
    (["--older-than", "2020-01-01"], 0),
    (["--client-ip", "192.0.2.*"], 3),
    (["--source", "DSN"], 0),
    (["--sender", "ann@*", "--state", "deferred"], 1),
    (["--limit", "1"], 1),
]


@pytest.mark.parametrize(("words", "count"), FILTERS, ids=[" ".join(words) for words, _ in FILTERS])
def test_filters(terminal: Terminal, words: list[str], count: int) -> None:
    one, other = terminal.workers
    one.put("bob@example.org", age_s=7200)
    one.put("bob@example.org", state=S.SUSPENDED)
    other.put("bob@example.net", sender=NULL_SENDER)
    assert len(json.loads(terminal.type("queue", "list", "--json", *words).output)) == count


def test_the_summary_has_a_line_for_each_next_hop(terminal: Terminal) -> None:
    for worker in terminal.workers:
        worker.put("bob@example.org")
    assert "old:example.org" in terminal.type("queue", "list", "--summary").output
    assert json.loads(terminal.type("queue", "list", "--summary", "--json").output)[0]["mails"] == 2


def test_one_mail_is_shown(terminal: Terminal) -> None:
    mail_id = mail_id_text(terminal.workers[1].put("bob@example.org"))
    shown = terminal.type("queue", "show", mail_id, "--headers").output
    assert "recipient 0   bob@example.org deferred, next hop old:example.org" in shown
    assert "Subject: hello" in shown
    assert json.loads(terminal.type("queue", "show", mail_id.upper(), "--json").output)["id"] == mail_id


def test_a_mail_that_has_left_is_said_to_have(terminal: Terminal) -> None:
    result = terminal.type("queue", "show", mail_id_text(1 << 40))
    assert result.exit_code == 1
    assert "gatepost track --id" in result.output


@pytest.mark.threat("S01", "R01")
def test_text_of_a_peer_cannot_move_the_cursor(terminal: Terminal) -> None:
    mail_id = mail_id_text(terminal.workers[0].put("bob@example.org", subject="\x1b[2J\u202eevil\r\n[bold]x"))
    for words in (["queue", "show", mail_id], ["queue", "show", mail_id, "--json"], ["quarantine", "list"]):
        output = terminal.type(*words).output
        assert "\x1b" not in output
        assert "\u202e" not in output
        assert "\r" not in output


def test_mails_are_exported_byte_for_byte(terminal: Terminal, tmp_path: Path) -> None:
    mail_id = mail_id_text(terminal.workers[0].put("bob@example.org"))
    out = tmp_path / "out"
    out.mkdir()
    assert terminal.type("queue", "export", mail_id, "--directory", str(out)).exit_code == 0
    written = out / f"{mail_id}.eml"
    assert written.read_bytes() == b"Subject: hello\r\n\r\ntext\r\n"
    assert written.stat().st_mode & 0o777 == 0o600
    assert terminal.type("queue", "export", mail_id, "--stdout").output_bytes == written.read_bytes()
    again = terminal.type("queue", "export", mail_id, "--directory", str(out))
    assert (again.exit_code, "File exists" in again.output) == (3, True)


# -- changing -----------------------------------------------------------------------------------------


def test_one_mail_is_removed_without_a_question(terminal: Terminal) -> None:
    mail_id = terminal.workers[0].put("bob@example.org")
    result = terminal.type("queue", "remove", mail_id_text(mail_id))
    assert (result.output, result.exit_code) == ("1 mail changed (1 recipient)\n", 0)
    assert left(terminal) == []


def test_several_mails_need_yes(terminal: Terminal) -> None:
    ids = [worker.put("bob@example.org") for worker in terminal.workers]
    refused = terminal.type("queue", "remove", "--sender", "ann@*")
    assert (refused.exit_code, left(terminal)) == (2, sorted(ids))
    assert "this would remove 2 mails with 2 recipients: add --yes" in refused.output
    assert terminal.type("queue", "remove", "--sender", "ann@*", "--yes").exit_code == 0
    assert left(terminal) == []


@pytest.mark.parametrize("verb", ["retry", "remove", "suspend", "resume"])
def test_a_verb_without_mails_is_refused(terminal: Terminal, verb: str) -> None:
    mail_id = terminal.workers[0].put("bob@example.org", state=S.SUSPENDED)
    result = terminal.type("queue", verb, "--yes")
    assert (result.exit_code, "say which mails" in result.output) == (2, True)
    assert terminal.workers[0].states(mail_id) == ["suspended"]


@pytest.mark.parametrize("group", ["quarantine release", "quarantine delete", "dead retry", "dead remove"])
def test_other_verbs_without_mails_are_refused_too(terminal: Terminal, group: str) -> None:
    terminal.workers[0].put("bob@example.org", state=S.QUARANTINED)
    terminal.workers[0].put("bob@example.org", state=S.DEAD)
    assert terminal.type(*group.split(), "--yes").exit_code == 2
    assert len(left(terminal)) == 2


def test_a_dry_run_changes_nothing(terminal: Terminal) -> None:
    ids = [terminal.workers[0].put("bob@example.org") for _ in range(12)]
    result = terminal.type("queue", "remove", "--all", "--dry-run")
    assert result.output.startswith("would remove 12 mails with 12 recipients:\n")
    assert "... and 2 more" in result.output
    counted = json.loads(terminal.type("queue", "remove", "--all", "--dry-run", "--json").output)
    assert (counted["mails"], counted["recipients"], len(counted["sample"])) == (12, 12, 10)
    assert left(terminal) == ids


def test_only_the_recipients_that_fit_are_removed(terminal: Terminal) -> None:
    mail_id = terminal.workers[0].put("bob@example.org", "carl@example.net")
    terminal.type("queue", "remove", mail_id_text(mail_id), "--recipient", "carl@*")
    mail = terminal.workers[0].store.mail(mail_id)
    assert mail is not None
    assert [str(r.recipient.address) for r in mail.recipients] == ["bob@example.org"]


def test_a_removal_with_ndr_tells_the_sender(terminal: Terminal) -> None:
    mail_id = terminal.workers[0].put("bob@example.org")
    result = terminal.type("queue", "remove", mail_id_text(mail_id), "--ndr")
    assert result.output == "1 mail changed (1 recipient, 1 notice sent)\n"


def test_a_mail_in_flight_is_named_and_the_exit_status_is_4(terminal: Terminal) -> None:
    worker = terminal.workers[0]
    mail_id = worker.put("bob@example.org")
    worker.deliveries.in_flight.add(mail_id)
    result = terminal.type("queue", "remove", mail_id_text(mail_id))
    assert result.exit_code == 4
    assert f"{mail_id_text(mail_id)}: is being delivered at this moment" in result.output


def test_mails_that_are_not_there_are_named(terminal: Terminal) -> None:
    here, gone = terminal.workers[0].put("bob@example.org"), 1 << 40
    result = terminal.type("queue", "suspend", mail_id_text(here), mail_id_text(gone))
    assert result.exit_code == 4
    assert f"{mail_id_text(gone)}: not found" in result.output
    assert terminal.workers[0].states(here) == ["suspended"]
    assert terminal.type("queue", "retry", mail_id_text(gone)).exit_code == 1


def test_suspended_mails_are_resumed(terminal: Terminal) -> None:
    suspended = terminal.workers[0].put("bob@example.org", state=S.SUSPENDED)
    deferred = terminal.workers[0].put("bob@example.org")
    assert terminal.type("queue", "resume", "--all").exit_code == 0
    assert terminal.workers[0].states(suspended) == ["ready"]
    assert terminal.workers[0].states(deferred) == ["deferred"]


@pytest.mark.parametrize(
    ("words", "hops"),
    [
        (["--next-hop", "old:example.org"], ["old:example.org"]),
        (["--all"], [""]),
        (["--next-hop", "old:*"], ["new:example.org"]),
    ],
)
def test_a_next_hop_is_retried_as_a_whole(terminal: Terminal, words: list[str], hops: list[str]) -> None:
    mail_id = terminal.workers[0].put("bob@example.org")
    assert terminal.type("queue", "retry", *words).exit_code == 0
    assert [hop for hop, ids in terminal.workers[0].deliveries.retried if not ids] == hops
    assert terminal.workers[0].states(mail_id) == ["ready"]


def test_a_next_hop_is_suspended_and_resumed(terminal: Terminal) -> None:
    terminal.workers[0].put("bob@example.org")
    said = terminal.type("queue", "suspend-hop", "old:example.org")
    assert (said.exit_code, said.output) == (0, "old:example.org is suspended, 1 recipients wait for it\n")
    assert "next hop old:example.org is suspended until" in terminal.type("status").output
    assert "check the name" in terminal.type("queue", "suspend-hop", "odl:example.org").output
    assert terminal.type("queue", "resume-hop", "odl:example.org").exit_code == 0
    assert all(w.deliveries.suspended == {"old:example.org"} for w in terminal.workers)
    assert terminal.type("queue", "resume-hop", "old:example.org").exit_code == 0
    assert not any(w.deliveries.suspended for w in terminal.workers)


def test_the_quarantine(terminal: Terminal) -> None:
    held = terminal.workers[0].put("bob@example.org", state=S.QUARANTINED)
    other = terminal.workers[1].put("carl@example.org", state=S.QUARANTINED)
    queued = terminal.workers[1].put("dan@example.org")
    assert [m["id"] for m in json.loads(terminal.type("quarantine", "list", "--json").output)] == [
        mail_id_text(held),
        mail_id_text(other),
    ]
    assert "REASON" in terminal.type("quarantine", "list").output
    assert terminal.type("quarantine", "release", mail_id_text(held)).exit_code == 0
    assert terminal.workers[0].states(held) == ["ready"]
    assert terminal.type("quarantine", "delete", "--all", "--yes").exit_code == 0
    assert left(terminal) == sorted([held, queued])


def test_the_dead(terminal: Terminal) -> None:
    ids = [terminal.workers[0].put("bob@example.org", state=S.DEAD, is_notice=True) for _ in range(2)]
    assert len(json.loads(terminal.type("dead", "list", "--json").output)) == 2
    terminal.type("dead", "retry", mail_id_text(ids[0]))
    assert terminal.workers[0].states(ids[0]) == ["ready"]
    terminal.type("dead", "remove", "--all", "--yes")
    assert left(terminal) == [ids[0]]


# -- records ------------------------------------------------------------------------------------------


def record(mail_id: int, at: float, event: str = "SEND", kind: str = "track") -> StoredRecord:
    return StoredRecord(
        kind=kind,
        at=at,
        event=event,
        mail_id=mail_id,
        sender="ann@example.com",
        recipients="bob@example.org",
        message_id="<m@x>",
        data=json.dumps({"agent": "a", "reason": "listed"}).encode(),
    )


TRACKED = [
    ([], 3),
    (["--event", "fail"], 1),
    (["--since", "1h"], 2),
    (["--since", "2h", "--until", "1h"], 1),
    (["--recipient", "bob@*", "--sender", "*"], 3),
    (["--message-id", "<other>"], 0),
    (["--limit", "1"], 1),
]


@pytest.mark.parametrize(("words", "count"), TRACKED, ids=[" ".join(w) or "all" for w, _ in TRACKED])
def test_tracking(terminal: Terminal, words: list[str], count: int) -> None:
    records = (record(5, NOW - 10), record(5, NOW - 60, "FAIL"), record(6, NOW - 5000))
    terminal.workers[0].store.commit([KeepRecords(records=records)])
    result = terminal.type("track", "--json", *words)
    assert len(json.loads(result.output)) == count
    assert result.exit_code == (0 if count else 1)


def test_the_agent_log(terminal: Terminal) -> None:
    fields = {"Agent": "recipient-filter", "Reason": "not listed", "Recipient": ["bob@example.org"]}
    entry = msgspec.structs.replace(
        record(5, NOW, "RejectCommand", kind="agent"), data=json.dumps(fields).encode()
    )
    terminal.workers[0].store.commit([KeepRecords(records=(entry, record(5, NOW)))])
    assert "not listed" in terminal.type("agent-log").output
    assert len(json.loads(terminal.type("agent-log", "--json").output)) == 1
    assert len(json.loads(terminal.type("agent-log", "--agent", "recipient-filter", "--json").output)) == 1
    assert terminal.type("agent-log", "--agent", "relay-restriction").exit_code == 1
    assert terminal.type("agent-log", "--action", "rejectcommand").exit_code == 0


def test_explaining_the_unknown_and_the_unreadable(terminal: Terminal) -> None:
    nothing = terminal.type("explain", mail_id_text(5))
    assert (nothing.exit_code, "nothing is known of it" in nothing.output) == (1, True)
    terminal.workers[0].store.commit([KeepRecords(records=(record(5, NOW),))])
    assert "no agent was asked" in terminal.type("explain", mail_id_text(5)).output
    terminal.workers[0].store.commit([KeepDossier(mail_id=5, at=NOW, data=b"\xff")])
    broken = terminal.type("explain", mail_id_text(5))
    assert (broken.exit_code, "cannot be read" in broken.output) == (3, True)


# -- the gateway --------------------------------------------------------------------------------------


def test_the_status(terminal: Terminal) -> None:
    terminal.workers[0].put("bob@example.org")
    up = terminal.type("status")
    assert up.exit_code == 0
    assert "1 recipient waiting, for 1 next hop\n" in up.output
    assert [w["process_id"] for w in json.loads(terminal.type("status", "--json").output)["workers"]] == [
        100,
        101,
    ]
    terminal.up = False
    down = terminal.type("status")
    assert (down.exit_code, "the gateway does not run" in down.output) == (1, True)


@pytest.mark.threat("D21")
def test_the_status_shows_certificates_and_which_end_soon(terminal: Terminal) -> None:
    # Given a door with two certificates, one of which ends in 20 days, and a way out whose certificate has ended
    day_s = 86400
    door = {"direction": "receive", "connector": "internet", "issuer": "Some CA, R11"}
    certificates = (
        OwnCertificate(file="/e/mx.pem", names=("mx.a.example",), expires_at=NOW + 20.5 * day_s, **door),
        OwnCertificate(
            file="/e/b.pem", names=("a.b", "b.b", "c.b", "d.b"), expires_at=NOW + 90 * day_s, **door
        ),
        OwnCertificate(direction="send", connector="out", file="/e/us.pem", expires_at=NOW - 1),
    )
    for worker in terminal.workers:
        worker.certificates = certificates
    said = terminal.type("status").output
    # Then each stands there once, the first to end first, and what is to be done
    rows = [line.split() for line in said.splitlines() if " internet" in line or " out " in line]
    assert [row[-1] for row in rows if "connector" not in row] == ["-1", "20", "90"]
    assert "a.b, b.b, c.b (+1)" in said
    assert "Some CA, R11" in said
    assert "/e/mx.pem of receive connector internet ends in 20 days" in said
    assert "/e/us.pem of send connector out has ended" in said
    assert "/e/b.pem" not in said
    shown = json.loads(terminal.type("status", "--json").output)["certificates"]
    assert [one["days_left"] for one in shown] == [-1, 20, 90]


def test_the_status_tells_which_resource_is_short(terminal: Terminal) -> None:
    # Given a worker that is short of everything, and has too many clients
    terminal.workers[0].resources = (
        ResourceState("disk", "high", float(100 << 20), (1280 << 20, 1024 << 20, 512 << 20)),
        ResourceState("inodes", "normal", 9e6, (30000, 20000, 5000)),
        ResourceState("memory", "medium", 73.2, (71, 72, 75)),
        ResourceState("queue", "medium", 12000, (2000, 9999, 15000)),
        ResourceState("loop-lag", "medium", 1.25, (0.5, 1.0, 3.0)),
    )
    terminal.workers[0].stressed = ("internet",)
    # Then the status says what, how much, and when it is over
    said = terminal.type("status").output
    assert "worker 0: disk is high: 100MiB free, high from 512MiB free, normal again at 1280MiB free" in said
    assert "worker 0: memory is medium: 73 %, medium from 72 %, normal again at 71 %" in said
    assert "worker 0: queue is medium: 12000, medium from 9999, normal again at 2000" in said
    assert "worker 0: loop-lag is medium: 1.25s, medium from 1s, normal again at 0.5s" in said
    assert "worker 0: the stress profile of receive-connectors.internet is in force" in said
    assert "inodes" not in said
    first, second = json.loads(terminal.type("status", "--json").output)["workers"]
    assert (first["pressure"], first["stressed"], second["pressure"]) == ("high", ["internet"], "normal")
    assert first["resources"][1] == {
        "resource": "inodes",
        "level": "normal",
        "value": 9e6,
        "normal": 30000,
        "medium": 20000,
        "high": 5000,
    }


def test_run_and_lab_are_handed_on(terminal: Terminal) -> None:
    assert terminal.type("run").exit_code == 0
    assert terminal.ran == [str(terminal.file)]
    assert terminal.type("lab", "--once", "--help").exit_code == 7
    assert terminal.lab == [("--once", "--help")]


@pytest.mark.threat("T01")
@pytest.mark.parametrize("words", [["run"], ["queue", "list"], ["config", "check"]], ids=" ".join)
def test_without_a_configuration_it_says_what_to_do(terminal: Terminal, words: list[str]) -> None:
    terminal.file.unlink()
    result = terminal.type(*words)
    assert result.exit_code == 1
    assert "there is no configuration to work with" in result.output
    assert "gatepost init" in result.output


@pytest.mark.threat("T02")
def test_a_wrong_configuration_is_not_run(terminal: Terminal) -> None:
    terminal.configure("[log]\nlevle = 1\n")
    for words in (["run"], ["config", "check"], ["queue", "list"]):
        result = terminal.type(*words)
        assert result.exit_code == 1
        assert f"{terminal.file}:7: log.levle: unknown setting, did you mean level?" in result.output
    assert terminal.ran == []


def test_a_good_configuration_is_summed_up(terminal: Terminal) -> None:
    terminal.configure(
        '[receive-connectors.internet]\nlisten = ["0.0.0.0:25"]\n[accepted-domains."example.com"]\n'
        '[send-connectors.box]\naddress-spaces = ["--"]\nsmart-hosts = ["[192.0.2.1]:24"]\ndelivery = "lmtp"\n'
    )
    lines = terminal.type("config", "check").output.splitlines()
    assert "in   internet: 0.0.0.0:25, TLS optional, for 0.0.0.0/0, ::/0, profile internet" in lines
    assert "for  example.com: authoritative" in lines
    assert "out  box: -- to [192.0.2.1]:24, lmtp, TLS opportunistic" in lines
    assert lines[-1].startswith(f"{terminal.file}: ok, revision ")
    assert any(line.endswith("(warning)") for line in lines)
    assert json.loads(terminal.type("config", "check", "--json").output)["ok"]


def test_a_submission_connector_is_one_line(terminal: Terminal) -> None:
    terminal.configure(
        '[receive-connectors.internet]\nlisten = ["0.0.0.0:25"]\nproxies = ["10.0.0.5"]\nxclient-peers = ["10.0.0.7"]\n'
        '[receive-connectors.submission]\nprofile = "submission"\n'
        '[receive-connectors.submissions]\nprofile = "submissions"\ntls = "required"\nauth = false\n'
    )
    said = terminal.type("config", "check").output
    assert (
        "in   submission: 0.0.0.0:587, [::]:587, TLS required, AUTH, for 0.0.0.0/0, ::/0, profile submission\n"
        "       strangers may: nothing\n"
        "       accounts may: submit, relay, bypass-filters, routing-headers, internal\n"
    ) in said
    assert "proxies name the client (PROXY): 10.0.0.5" in said
    assert "peers name the client (XCLIENT): 10.0.0.7" in said
    # And what the file says itself stands, shown with all the profile stands for
    shown = terminal.type("config", "show").output.partition("[receive-connectors.submissions]\n")[2]
    assert shown.splitlines()[:7] == [
        'profile = "submissions"',
        'listen = ["0.0.0.0:465", "[::]:465"]',
        'tls = "required"',
        "auth = false",
        "anonymous-rights = []",
        'authenticated-bare-newlines = "normalize"',
        'refused-recipient-domains = ["single-label"]',
    ]


def test_the_configuration_shown_is_a_configuration(terminal: Terminal, tmp_path: Path) -> None:
    terminal.configure(
        '[accepted-domains."example.com"]\n[receive-connectors.a]\nlisten = ["127.0.0.1:25"]\n'
        'limits = { errors-soft = 5 }\n[receive-connectors.b]\nprofile = "submission"\nauth = false\n'
        '[receive-connectors.a.ranges.us]\naddresses = ["10.0.0.0/8"]\n'
        '[policy.points]\nnul = 2.5\n[queue]\nexpiry = "2h"\n'
    )
    before = json.loads(terminal.type("config", "show", "--json").output)
    for words in ([], ["--all"]):
        shown = terminal.type("config", "show", *words)
        assert shown.exit_code == 0
        copy = Terminal(tmp_path)
        copy.file.write_text(shown.output)
        assert json.loads(copy.type("config", "show", "--json").output) == before
        terminal.file.write_text(shown.output)


def test_the_reference(terminal: Terminal) -> None:
    assert 'first-retry: duration, default "5m", at least 1s' in terminal.type("config", "reference").output
    found = json.loads(terminal.type("config", "reference", "first-retry", "--json").output)
    assert [(t["table"], [s["name"] for s in t["settings"]]) for t in found] == [("[queue]", ["first-retry"])]
    assert terminal.type("config", "reference", "no-such").exit_code == 1


def test_the_agents(terminal: Terminal) -> None:
    terminal.configure('[policy]\ndisabled = ["loop-detection"]\n')
    listed = {a["name"]: a["enabled"] for a in json.loads(terminal.type("agents", "--json").output)}
    assert listed["relay-restriction"]
    assert not listed["loop-detection"]
    assert "relay-restriction" in terminal.type("agents").output
    assert "FINDING" in terminal.type("agents", "--findings").output


@pytest.mark.threat("T11")
def test_accounts(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.type("user", "add", "Ann", said="an apple a day\n").output == "Ann: added\n"
    assert terminal.type("user", "add", "ann", said="an apple a day\n").exit_code == 1
    assert json.loads(terminal.type("user", "list", "--json").output) == [
        {"user": "ann", "disabled": False, "scram": True, "known": True, "send_as": []}
    ]
    assert terminal.type("user", "disable", "ann").exit_code == 0
    assert "disabled" in terminal.type("user", "list").output
    assert terminal.type("user", "enable", "ann").exit_code == 0
    assert "disabled" not in terminal.type("user", "list").output
    assert terminal.type("user", "enable", "carl").exit_code == 1
    assert terminal.type("user", "disable", "ann").exit_code == 0
    assert terminal.type("user", "passwd", "ann", said="two pears a day\n").exit_code == 0
    assert "disabled" not in terminal.type("user", "list").output
    assert terminal.type("user", "passwd", "carl", said="x\n").exit_code == 1
    assert terminal.type("user", "add", "bob", said="\n").exit_code == 2
    assert terminal.type("user", "add", "bob", "secret").exit_code == 2, "never as an argument"
    assert terminal.type("user", "remove", "ann").exit_code == 0
    assert terminal.type("user", "remove", "ann").exit_code == 1
    assert "apple" not in (tmp_path / "users").read_text()


@pytest.mark.threat("E11")
def test_what_accounts_may_send_as(terminal: Terminal) -> None:
    terminal.configure('[users.addresses]\nann = ["*@*.lists.example"]\n')
    assert terminal.type("user", "add", "ann", said="an apple a day\n").exit_code == 0
    done = terminal.type("user", "grant", "Ann", "Sales@Ours.example", "*@ours.example")
    assert done.output == "Ann: may send as *@ours.example, sales@ours.example\n"
    (listed,) = json.loads(terminal.type("user", "list", "--json").output)
    assert listed["send_as"] == ["*@*.lists.example", "*@ours.example", "sales@ours.example"]
    assert "*@ours.example, sales@ours.example" in terminal.type("user", "list").output
    assert terminal.type("user", "revoke", "ann", "*@OURS.example").exit_code == 0
    again = terminal.type("user", "revoke", "ann", "*@ours.example")
    assert again.exit_code == 1
    assert "was not given *@ours.example" in again.output
    assert "no account here" in terminal.type("user", "grant", "nobody", "a@ours.example").output
    assert terminal.type("user", "grant", "ann", "nonsense").exit_code == 2
    assert terminal.type("user", "grant", "ann").exit_code == 2
    listed = json.loads(terminal.type("user", "list", "--json").output)
    assert [(one["user"], one["known"], one["send_as"]) for one in listed] == [
        ("ann", True, ["*@*.lists.example", "sales@ours.example"]),
        ("nobody", False, ["a@ours.example"]),
    ]


@pytest.mark.threat("E06")
@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("bob", "short", "12 characters or more"),
        ("bob", "Password2026!", "common word"),
        ("bob", "xy-Bob-went-home", "the account's name"),
        ("guest", "two pears a day", "no guests"),
    ],
)
def test_a_password_that_would_be_guessed_is_refused(
    terminal: Terminal, tmp_path: Path, name: str, password: str, said: str
) -> None:
    result = terminal.type("user", "add", name, said=f"{password}\n")
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "users").exists()


# -- how it ends --------------------------------------------------------------------------------------


def test_a_misspelt_command_is_answered_with_the_right_one(terminal: Terminal) -> None:
    result = terminal.type("qeue")
    assert (result.exit_code, "Did you mean queue?" in result.output) == (2, True)


def test_a_bug_is_one_line(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("gatepost.cli.queue.found_by", broken)
    result = terminal.type("queue", "list")
    assert (result.exit_code, result.output.count("\n")) == (70, 1)
    assert "RuntimeError: boom" in result.output
    assert "Traceback" in terminal.type("--debug", "queue", "list").output


@pytest.mark.parametrize("words", [["queue", "show", "zzz"], ["track", "--since", "yesterday"]], ids=" ".join)
def test_words_that_make_no_sense(terminal: Terminal, words: list[str]) -> None:
    assert terminal.type(*words).exit_code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(terminal: Terminal, name: str) -> None:
    if name == "lab":
        return  # its own --help is handed on
    result = terminal.type(name, "--help")
    assert result.exit_code == 0
    assert "Usage: gatepost" in result.output


def test_help_loads_nothing_of_the_gateway() -> None:
    program = (
        "import sys\nfrom gatepost.cli import build\n"
        "build(None).main(['--help'], standalone_mode=False)\n"
        "heavy = {m for m in sys.modules if m.split('.')[0] in ('pydantic', 'msgspec', 'apsw', 'rich', 'asyncio')}\n"
        "sys.exit(f'{heavy}' if heavy else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "queue" in done.stdout


def test_the_command_is_built_without_asking_the_world() -> None:
    assert build(None).name == "gatepost"  # type: ignore[arg-type]


# -- words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (when(0), "-"),
        (when(1_800_000_000), "2027-01-15T08:00:00Z"),
        (when(1e300), "?"),
        (span(0), "0s"),
        (span(93784), "1d2h"),
        (span(61), "1m1s"),
        (octets(0), "0 B"),
        (octets(4096), "4.0 KiB"),
        (octets(1 << 40), "1024.0 GiB"),
        (plain("a\tb\x9b\u2028ü"), "a\\tb\\x9b\\u2028ü"),
    ],
)
def test_words_for_numbers(made: str, said: str) -> None:
    assert made == said
