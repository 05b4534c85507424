"""The benchmark measures each server that is installed, and its one verb prints the table."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.__main__ import PEERS, main
from bench.filling import filled
from bench.load import measure_latency, offer
from bench.measures import Scenario, Work
from bench.server import Server

from gatepost.adapters.sqlite_reader import open_reader
from gatepost.model.queued import MailState
from gatepost.ports.store import MailFilter, RecordFilter

pytestmark = [pytest.mark.slow, pytest.mark.service("smtp-source"), pytest.mark.timeout(300)]


@pytest.fixture
def directory() -> Iterator[Path]:
    """On a disk, and where the accounts of other servers may look."""
    made = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.name)
def test_a_server_keeps_what_it_acknowledges_and_knows_its_recipients(
    directory: Path, kind: type[Server]
) -> None:
    if reason := kind.why_not():
        pytest.skip(reason)
    with kind(directory / "it") as server:
        load = offer(Scenario(4, False, 20), server)
        offer(Scenario(2, True, 10, size_bytes=65536), server)
        offer(Scenario(2, False, 4, Work.REFUSED), server)
        measure_latency(port=server.port, kept=True, messages=5)
        assert load.rate > 0
        assert load.memory_bytes > 1 << 20
        assert server.version
        assert server.accounted() == 35


def test_a_filled_store_is_what_accepting_would_have_written(directory: Path) -> None:
    state = filled(300, directory, kept=directory / "kept")
    assert filled(300, directory, kept=directory / "kept") == state, "the second time it is there"
    reader = open_reader(state / "worker-0")
    mails = reader.find(MailFilter(state=MailState.DEFERRED), limit=1000)
    assert len(mails) == 300
    one = mails[150]
    assert reader.content(one.mail_id).head
    assert reader.dossier(one.mail_id)
    assert reader.records(RecordFilter(mail_id=one.mail_id), limit=5)
    reader.close()


def test_the_table_is_printed_and_written(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "accept,relay,refused,latency,start,growth"
    wishes = ["--rounds", "1", "--share", "0.01", "--rows", rows, "--queues", "200", "--sessions", "2"]
    places = ["--directory", str(directory), "--output", str(directory / "build")]
    assert main([*wishes, "--only", "gatepost,postfix", *places]) == 0
    said = capsys.readouterr().out
    for row in ("2 sessions, a message each: messages/s", "10 sessions, refused", "start over 200 queued"):
        assert row in said
    (file,) = (directory / "build").glob("bench-*.json")
    found = json.loads(file.read_text())
    assert all(line["Gatepost"] for line in found["lines"])
    assert not any(found["missing"].values())


def test_hostile_clients_are_told_apart_from_good_ones(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wishes = ["--rows", "hostile", "--hostile", "6", "--only", "gatepost", "--directory", str(directory)]
    assert main([*wishes, "--output", str(directory)]) == 0
    assert "good mail in a hostile mix: reply p99 ms" in capsys.readouterr().out
