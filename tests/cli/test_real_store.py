"""The command line on stores of SQLite, while the gateway is down and while a worker answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.control.mailroom import CONTENT, NOW, Worker

from gatepost.adapters.log import DirectLog
from gatepost.adapters.sqlite_store import SqliteStore, open_store
from gatepost.adapters.world import SystemClock
from gatepost.cli import build
from gatepost.cli.world import ControlWorld
from gatepost.control.worker import committed
from gatepost.main import stores
from gatepost.main.command_line import _accounts, _load, _look_up
from gatepost.main.directory_desk import Desk
from gatepost.main.dns_desk import DnsAtHand
from gatepost.main.list_book import open_lists
from gatepost.main.mail_test import play
from gatepost.main.questions import ask_dns, ask_zone
from gatepost.main.report_keeping import report_desk
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import Accept
from gatepost.queue.states import settled

CONFIGURATION = """\
[server]
hostname = "mx.example.com"
state-directory = "{directory}"
[accepted-domains."example.org"]
check-recipients = "no"
[send-connectors.box]
address-spaces = ["*"]
smart-hosts = ["[192.0.2.25]"]
[queue]
disk-low = "0B"
reserve = "64KiB"
allow-volatile = true
"""


def opened(directory: Path, number: int, loop: asyncio.AbstractEventLoop) -> SqliteStore:
    settings = _load(str(directory / "gatepost.toml")).settings
    clock = SystemClock()
    return open_store(
        directory / f"worker-{number}",
        settings.queue,
        clock,
        DirectLog(clock, level="error", process="test"),
        loop=loop,
        settled=settled,
        allow_volatile=True,
    )


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, list[int]]:
    """A state directory with two workers' stores, one mail in each; the gateway is down."""
    tmp_path.chmod(0o700)
    (tmp_path / "gatepost.toml").write_text(CONFIGURATION.format(directory=tmp_path))
    ids = []
    for number in (0, 1):
        fake = Worker(number)
        ids.append(fake.put("bob@example.org", "carl@example.org"))
        mail = fake.store.mail(ids[-1])
        assert mail is not None
        with asyncio.Runner() as runner:
            store = opened(tmp_path, number, runner.get_loop())
            runner.run(committed(store, [Accept(mail=mail, content=CONTENT)]))
            store.close()
    return tmp_path, ids


def typed(place: Path, *words: str) -> Result:
    world = ControlWorld(
        load=_load,
        in_force=lambda path: None,
        run=lambda path: 0,
        lab=lambda arguments: 0,
        readers=stores.readers,
        links=stores.links,
        running=stores.running,
        gateway=stores.tell_gateway,
        accounts=_accounts,
        look_up=_look_up,
        shared=stores.shared,
        lists=open_lists,
        ask_providers=lambda settings, address, name: (),
        directories=Desk,
        ask_dns=ask_dns,
        ask_zone=ask_zone,
        monotonic=lambda: 0.0,
        dkim_keys=lambda settings: (),
        texts=lambda settings, names: {},
        dns=DnsAtHand,
        reports=report_desk,
        now=lambda: NOW,
        play=play,
    )
    return CliRunner().invoke(build(world), ["--config", str(place / "gatepost.toml"), *words])


def test_mails_of_both_workers_are_seen_and_changed(place: tuple[Path, list[int]]) -> None:
    directory, ids = place
    listed = json.loads(typed(directory, "queue", "list", "--json").output)
    assert [mail["id"] for mail in listed] == [mail_id_text(i) for i in sorted(ids)]
    # When one is suspended, the other loses a recipient with a notice to the sender
    assert (
        typed(directory, "queue", "suspend", mail_id_text(ids[0])).output == "1 mail changed (2 recipients)\n"
    )
    removed = typed(directory, "queue", "remove", mail_id_text(ids[1]), "--recipient", "carl@*", "--ndr")
    assert removed.output == "1 mail changed (1 recipient, 1 notice sent)\n"
    # Then it is so on disk
    after = json.loads(typed(directory, "queue", "list", "--json").output)
    assert {mail["id"]: [r["state"] for r in mail["recipients"]] for mail in after if not mail["notice"]} == {
        mail_id_text(ids[0]): ["suspended", "suspended"],
        mail_id_text(ids[1]): ["deferred"],
    }
    notices = [mail for mail in after if mail["notice"]]
    assert [mail["recipients"][0]["address"] for mail in notices] == ["ann@example.com"]
    head = typed(directory, "queue", "export", notices[0]["id"], "--stdout").output
    assert "Removed from the queue by an administrator" in head
    events = [record["event"] for record in json.loads(typed(directory, "track", "--json").output)]
    assert sorted(events) == ["DSN", "REMOVE"]


def test_status_and_hops_say_that_it_is_down(place: tuple[Path, list[int]]) -> None:
    directory, _ = place
    assert typed(directory, "status").exit_code == 1
    refused = typed(directory, "queue", "suspend-hop", "box:smart")
    assert (refused.exit_code, "the gateway is down" in refused.output) == (3, True)


def test_a_store_that_another_process_holds_is_not_changed(place: tuple[Path, list[int]]) -> None:
    directory, ids = place
    with asyncio.Runner() as runner:
        held = opened(directory, 0, runner.get_loop())
        try:
            result = typed(directory, "queue", "remove", mail_id_text(ids[0]))
            assert result.exit_code == 3
            assert result.output.startswith("gatepost: ")
            assert len(json.loads(typed(directory, "queue", "list", "--json").output)) == 2
        finally:
            held.close()
