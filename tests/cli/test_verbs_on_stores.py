"""Each verb of `queue` and `dead` on a store of SQLite: what it does to a mail in each state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.test_real_store import CONFIGURATION, opened, typed
from tests.control.mailroom import CONTENT, Worker

from gatepost.control.worker import committed
from gatepost.model.mail_id import mail_id_text
from gatepost.model.proof import ReturnPathProof
from gatepost.model.queued import Accept, Change, KeepRecords, MailState, QueuedMail
from gatepost.records import tracking

S = MailState


def kept(
    directory: Path,
    state: MailState,
    changed: Callable[[QueuedMail], QueuedMail] = lambda mail: mail,
    why: str = "",
) -> str:
    """One mail with two recipients in this state in the store of worker 0; the gateway is down. Its id."""
    directory.chmod(0o700)
    (directory / "gatepost.toml").write_text(CONFIGURATION.format(directory=directory))
    fake = Worker(0)
    mail_id = fake.put("bob@example.org", "carl@example.org", state=state)
    mail = fake.store.mail(mail_id)
    assert mail is not None
    changes: list[Change] = [Accept(mail=changed(mail), content=CONTENT)]
    if why:
        record = tracking.dead(mail, mail.recipients, at=1.0, reply="550 5.1.1 No", reason=why)
        changes.append(KeepRecords(records=(record,)))
    with asyncio.Runner() as runner:
        store = opened(directory, 0, runner.get_loop())
        runner.run(committed(store, changes))
        store.close()
    return mail_id_text(mail_id)


# verb, state before -> states after ([]: the mail is gone), events on record
CASES: list[tuple[str, str, MailState, list[str], list[str]]] = [
    ("a dead mail is tried again", "dead retry", S.DEAD, ["ready", "ready"], ["RESUBMIT"]),
    ("and removed for good", "dead remove", S.DEAD, [], ["REMOVE"]),
    ("dead is for dead mail: no retry of others", "dead retry", S.DEFERRED, ["deferred"] * 2, []),
    ("nor their removal", "dead remove", S.DEFERRED, ["deferred"] * 2, []),
    ("a waiting mail is tried now", "queue retry", S.DEFERRED, ["ready", "ready"], []),
    ("an unreachable one, too", "queue retry", S.UNREACHABLE, ["ready", "ready"], ["RESUBMIT"]),
    ("and poison", "queue retry", S.POISON, ["ready", "ready"], ["RESUBMIT"]),
    ("a suspended mail is resumed", "queue resume", S.SUSPENDED, ["ready", "ready"], []),
    ("what is not suspended is not", "queue resume", S.DEFERRED, ["deferred"] * 2, []),
    ("a waiting mail is suspended", "queue suspend", S.DEFERRED, ["suspended"] * 2, []),
    ("a mail is removed", "queue remove", S.POISON, [], ["REMOVE"]),
]


@pytest.mark.parametrize(
    ("verb", "state", "after", "events"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_what_a_verb_does(
    tmp_path: Path, verb: str, state: MailState, after: list[str], events: list[str]
) -> None:
    mail_id = kept(tmp_path, state)
    result = typed(tmp_path, *verb.split(), mail_id)
    assert result.exit_code == (0 if events or after != [state.value] * 2 else 1), result.output
    shown = typed(tmp_path, "queue", "show", mail_id, "--json")
    states = [r["state"] for r in json.loads(shown.output)["recipients"]] if shown.exit_code == 0 else []
    assert states == after
    found = typed(tmp_path, "track", "--json").output
    assert [record["event"] for record in json.loads(found or "[]")] == events


def bury(mail: QueuedMail) -> QueuedMail:
    """As a stranger's mail whose sender nobody could vouch for."""
    return replace(mail, proof=ReturnPathProof(detail="SPF says softfail"))


@pytest.mark.threat("L06")
def test_dead_mail_is_listed_and_shown_and_other_mail_is_not(tmp_path: Path) -> None:
    mail_id = kept(tmp_path, S.DEAD, bury, why="no notice: nobody knows")
    (mail,) = json.loads(typed(tmp_path, "dead", "list", "--json").output)
    assert (mail["id"], [r["state"] for r in mail["recipients"]]) == (mail_id, ["dead", "dead"])
    assert mail_id in typed(tmp_path, "dead", "list", "--sender", "ann@example.com").output
    assert mail_id not in typed(tmp_path, "dead", "list", "--sender", "eve@example.com").output
    shown = typed(tmp_path, "dead", "show", mail_id).output
    assert "451 4.2.0 later" in shown
    assert "priority      normal" in shown
    # And why nobody was told: from the record, and what was known of its return path
    assert "dead since" in shown
    assert "no notice: nobody knows" in shown
    assert "return path   not proven: SPF says softfail" in shown
    assert "became a dead letter at" in typed(tmp_path, "explain", mail_id).output
    silent = json.loads(typed(tmp_path, "dead", "show", mail_id, "--json").output)["no_notice"]
    assert [said.partition("Z: ")[2] for said in silent] == ["no notice: nobody knows"]
    # A dry run changes nothing
    typed(tmp_path, "dead", "remove", "--all", "--dry-run")
    assert len(json.loads(typed(tmp_path, "dead", "list", "--json").output)) == 1
    typed(tmp_path, "dead", "remove", "--all", "--yes")
    assert typed(tmp_path, "dead", "list").output == "there is no dead mail\n"
    waiting = kept(tmp_path, S.DEFERRED)
    assert waiting not in typed(tmp_path, "dead", "list").output


def test_mail_is_sent_by_another_connector(tmp_path: Path) -> None:
    mail_id = kept(tmp_path, S.DEFERRED)
    with (tmp_path / "gatepost.toml").open("a") as file:
        file.write(
            "[send-connectors.backup]\naddress-spaces = ['x.example']\nsmart-hosts = ['[192.0.2.9]']\n"
        )
    assert typed(tmp_path, "queue", "retry", "--all", "--yes", "--via", "nobody").exit_code == 2
    assert typed(tmp_path, "queue", "retry", "--all", "--yes", "--via", "backup").exit_code == 0
    shown = json.loads(typed(tmp_path, "queue", "show", mail_id, "--json").output)
    assert [(r["state"], r["next_hop"]) for r in shown["recipients"]] == [("ready", "backup:smart")] * 2
