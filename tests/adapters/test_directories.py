"""Directories of recipients: the index, what a copy takes over, and what several sources say together."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.test_recipient_file import Gauges, HeardLog

from gatepost.adapters.directories import Assigned, AssignedCaller, Directories, IndexSource
from gatepost.adapters.directory_sources import Listed, read_source
from gatepost.adapters.directory_sync import Busy, SyncResult, SyncRules, index_path, key_path, sync
from gatepost.adapters.ldap import message_size
from gatepost.adapters.recipient_index import open_index, read_key
from gatepost.config.directory_settings import Directory
from gatepost.config.schema import frozen
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault
from gatepost.ports.directory import NOT_LISTED, Entry
from gatepost.protocol.addresses import parse_mailbox

RULES = SyncRules(entries=1000, drop_percent=50, duration_limit_s=60)


def directory(**given: Any) -> Directory:
    return Directory.model_validate(frozen(given))


def copied(folder: Path, *texts: str | Listed, rules: SyncRules = RULES, now: float = 1000.0) -> SyncResult:
    """texts: what the source lists."""

    def read() -> Iterator[Listed]:
        yield from (text if isinstance(text, Listed) else Listed(text) for text in texts)

    return sync(
        str(folder / "directory"),
        "office",
        read,
        rules=rules,
        parse_mailbox=parse_mailbox,
        now=lambda: now,
        monotonic=lambda: 0.0,
    )


def opened(folder: Path) -> IndexSource:
    source = IndexSource(str(folder / "directory"), "office", log=HeardLog(), counters=Gauges())
    source.refresh()
    return source


LOOK_UPS = [
    ("listed", "ann@ours.example", "yes"),
    ("in another case", "ANN@ours.example", "yes"),
    ("with a tag of its owner's", "ann+shop@ours.example", "yes"),
    ("a tag alone is nobody's", "+shop@ours.example", "no"),
    ("not listed", "carl@ours.example", "no"),
    ("in a domain that is listed whole", "anybody@whole.example", "yes"),
    ("of another domain", "ann@whole.other.example", "no"),
    ("for authenticated senders", "staff@ours.example", "authenticated"),
    ("listed twice, once open to everybody", "both@ours.example", "yes"),
    ("an IDN however it was written", "ann@xn--bcher-kva.example", "yes"),
]


def test_an_index_knows_whom_the_source_lists(tmp_path: Path) -> None:
    result = copied(
        tmp_path,
        "Ann@ours.example",
        "@whole.example",
        Listed("staff@ours.example", needs_authentication=True),
        Listed("both@ours.example", needs_authentication=True),
        "both@ours.example",
        "ann@bücher.example",
        "no address",
    )
    assert (result.entries, result.added, result.skipped, result.examples) == (5, 5, 1, ("no address",))
    source = opened(tmp_path)
    for name, recipient, then in LOOK_UPS:
        local, _, domain = recipient.rpartition("@")
        found = source.look_up(Address(local, domain))
        said = "no" if not found.listed else "authenticated" if found.needs_authentication else "yes"
        assert said == then, name


def test_the_index_is_closed_to_others_and_names_nobody(tmp_path: Path) -> None:
    copied(tmp_path, "ann@ours.example")
    folder = tmp_path / "directory"
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o077 == 0
        assert b"ann" not in file.read_bytes()
    # Without the key the same address cannot be found again
    (folder / "key").unlink()
    with pytest.raises(WorldFault, match="no key"):
        read_key(key_path(str(folder)))
    # A new key: the old index is useless, is no reason to refuse a copy, and is replaced by it
    assert copied(tmp_path, "bob@ours.example").dropped == 0
    assert opened(tmp_path).look_up(Address("bob", "ours.example")).listed


DAMAGE: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("cut short", lambda data: data[:-3]),
    ("a bit flipped", lambda data: data[:-1] + bytes((data[-1] ^ 1,))),
    ("no index at all", lambda data: b"something else"),
    ("nothing", lambda data: b""),
    ("odd header", lambda data: data[:22] + b"[" * 490 + data[512:]),
]


def test_a_damaged_index_is_not_believed(tmp_path: Path) -> None:
    copied(tmp_path, "ann@ours.example", "bob@ours.example")
    path = Path(index_path(str(tmp_path / "directory"), "office"))
    whole, key = path.read_bytes(), read_key(key_path(str(tmp_path / "directory")))
    for name, damage in DAMAGE:
        path.write_bytes(damage(whole))
        with pytest.raises(WorldFault, match=r"damaged|no index|cannot read"):
            open_index(name, str(path), key)


@pytest.mark.threat("F29")
def test_while_there_is_no_index_nobody_knows_and_then_the_last_good_one_counts(tmp_path: Path) -> None:
    source = opened(tmp_path)
    with pytest.raises(WorldFault, match="never synced"):
        source.look_up(Address("ann", "ours.example"))
    copied(tmp_path, "ann@ours.example")
    source.refresh()
    assert source.look_up(Address("ann", "ours.example")).listed
    # The source is down, the file is destroyed: what is mapped stays in force
    path = Path(index_path(str(tmp_path / "directory"), "office"))
    beside = path.with_name("beside")
    beside.write_bytes(b"something else")
    os.replace(beside, path)
    source.refresh()
    assert source.look_up(Address("ann", "ours.example")).listed
    path.unlink()
    source.refresh()
    assert source.look_up(Address("ann", "ours.example")).listed


TEN = [f"p{n}@ours.example" for n in range(10)]
COPIES = [
    ("some are new", TEN, [*TEN, "new@ours.example"], RULES, ""),
    ("half of them gone", TEN, TEN[:5], RULES, ""),
    ("more than half gone", TEN, TEN[:4], RULES, "lacks 6 of 10"),
    ("as many others instead", TEN, [f"q{n}@ours.example" for n in range(10)], RULES, "lacks 10 of 10"),
    ("nobody at all", TEN, [], RULES, "lists nobody"),
    (
        "loss was accepted",
        TEN,
        TEN[:1],
        SyncRules(entries=1000, drop_percent=100, duration_limit_s=60),
        "",
    ),
    (
        "nobody, though loss was accepted",
        TEN,
        [],
        SyncRules(entries=9, drop_percent=100, duration_limit_s=60),
        "lists nobody",
    ),
    ("too many", [], TEN, SyncRules(entries=9, drop_percent=50, duration_limit_s=60), "more than 9"),
]


@pytest.mark.parametrize(("name", "before", "then", "rules", "refused"), COPIES, ids=[c[0] for c in COPIES])
def test_a_copy_that_looks_like_an_accident_is_not_taken_over(
    tmp_path: Path, name: str, before: list[str], then: list[str], rules: SyncRules, refused: str
) -> None:
    if before:
        copied(tmp_path, *before)
    if refused:
        with pytest.raises(WorldFault, match=refused):
            copied(tmp_path, *then, rules=rules)
    else:
        assert copied(tmp_path, *then, rules=rules).entries == len(then)
    in_force = before if refused else then
    if in_force:
        source = opened(tmp_path)
        assert all(source.look_up(parse_mailbox(text)).listed for text in in_force)


def test_one_process_copies_and_another_does_not_try_again_at_once(tmp_path: Path) -> None:
    rested = SyncRules(entries=10, drop_percent=50, duration_limit_s=60, rest_s=60)
    copied(tmp_path, "ann@ours.example", rules=rested, now=1000)
    with pytest.raises(Busy):
        copied(tmp_path, "ann@ours.example", rules=rested, now=1030)
    copied(tmp_path, "ann@ours.example", rules=rested, now=1061)
    copied(tmp_path, "ann@ours.example", now=1062)  # an administrator does not wait

    def while_copying() -> Iterator[Listed]:
        with pytest.raises(Busy):
            copied(tmp_path, "ann@ours.example")
        yield Listed("ann@ours.example")

    sync(
        str(tmp_path / "directory"),
        "office",
        while_copying,
        rules=RULES,
        parse_mailbox=parse_mailbox,
        now=lambda: 0.0,
        monotonic=lambda: 0.0,
    )


class Says:
    """A source, or somebody to be asked, with one answer for everybody; None: does not know."""

    def __init__(self, answer: bool | None) -> None:
        self._answer = answer
        self.asked = 0

    def look_up(self, recipient: Address) -> Entry:
        self.asked += 1
        if self._answer is None:
            raise WorldFault("down")
        return Entry(self._answer)

    async def ask(self, recipient: Address) -> Entry:
        return self.look_up(recipient)


TOGETHER = [
    ("one lists", [True], [], "yes"),
    ("none lists", [False, False], [], "no"),
    ("one of two lists", [False, True], [], "yes"),
    ("one lists and one is down", [None, True], [], "yes"),
    ("one denies and one is down", [False, None], [], "unknown"),
    ("no source at all", [], [], "unknown"),
    ("the next hop lists", [False], [True], "yes"),
    ("the next hop denies", [False], [False], "no"),
    ("the next hop is down", [False], [None], "unknown"),
    ("the next hop lists what a dead source does not know", [None], [True], "yes"),
    ("the next hop denies what a dead source does not know", [None], [False], "unknown"),
    ("the next hop is not asked about whom a source lists", [True], [None], "yes"),
]


@pytest.mark.threat("F29")
@pytest.mark.parametrize(("name", "memory", "asked", "then"), TOGETHER, ids=[c[0] for c in TOGETHER])
def test_several_sources(name: str, memory: list[bool | None], asked: list[bool | None], then: str) -> None:
    import asyncio

    accepted = AcceptedDomains({"ours.example": DomainType.AUTHORITATIVE})
    directories = Directories(
        [Assigned(source=Says(answer)) for answer in memory],
        accepted,
        callers=[AssignedCaller(caller=Says(answer)) for answer in asked],
    )

    async def look() -> Entry:
        found = directories.look_up(Address("ann", "ours.example"))
        return found if isinstance(found, Entry) else await found

    try:
        said = "yes" if asyncio.run(look()).listed else "no"
    except WorldFault:
        said = "unknown"
    assert said == then


def test_a_source_answers_for_its_own_domains_only() -> None:
    accepted = AcceptedDomains(
        {"ours.example": DomainType.AUTHORITATIVE, "*.ours.example": DomainType.AUTHORITATIVE}
    )
    apex, below = Says(True), Says(False)
    directories = Directories(
        [
            Assigned(source=apex, domains=frozenset({"ours.example"})),
            Assigned(source=below, domains=frozenset({"*.ours.example"})),
        ],
        accepted,
    )
    assert directories.look_up(Address("ann", "ours.example")) == Entry(True)
    assert directories.look_up(Address("ann", "x.ours.example")) == NOT_LISTED
    assert (apex.asked, below.asked) == (1, 1)


def test_recipients_of_a_file_and_of_sqlite(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("\ufeffann@ours.example # the boss\n\n@whole.example\n")
    found = list(read_source(directory(type="file", file=str(file))))
    assert found == [Listed("ann@ours.example"), Listed("@whole.example")]
    database = tmp_path / "mail.db"
    connection = apsw.Connection(str(database))
    connection.execute(
        "CREATE TABLE m (a, i); INSERT INTO m VALUES ('ann@ours.example', 0), ('all@ours.example', 1)"
    )
    connection.close()
    query = {"database": str(database), "query": "SELECT a, i FROM m ORDER BY a"}
    found = list(read_source(directory(type="sql", sql=query)))
    assert found == [Listed("all@ours.example", True), Listed("ann@ours.example")]
    broken = [
        ({**query, "query": "SELECT a FROM nowhere"}, "no such table"),
        ({**query, "query": "SELECT 1"}, "not text"),
        ({**query, "query": "DELETE FROM m"}, "readonly"),
        ({**query, "database": str(tmp_path / "missing.db")}, "cannot be opened|unable to open"),
    ]
    for wrong, reason in broken:
        with pytest.raises(WorldFault, match=reason):
            list(read_source(directory(type="sql", sql=wrong)))
    with pytest.raises(WorldFault, match="cannot be read"):
        list(read_source(directory(type="file", file=str(tmp_path / "missing"))))


def test_an_address_can_be_found_in_a_large_index_by_halves(tmp_path: Path) -> None:
    texts = [f"p{n}@ours.example" for n in range(997)]
    copied(tmp_path, *texts)
    source = opened(tmp_path)
    assert all(source.look_up(parse_mailbox(text)).listed for text in texts)
    assert not any(source.look_up(parse_mailbox(f"x{text}")).listed for text in texts)


@given(st.binary(max_size=12))
def test_the_size_of_a_message_of_ldap_is_known_before_it_is_read(data: bytes) -> None:
    try:
        size_bytes = message_size(data)
    except WorldFault:
        assert data[:1] != b"\x30" or data[1] & 0x80
        return
    assert 0 <= size_bytes < 2**32 + 6


def test_sizes_of_messages() -> None:
    assert message_size(b"\x30\x05") == 7
    assert message_size(b"\x30\x84" + struct.pack(">I", 70_000)) == 70_006
    assert message_size(b"\x30") == message_size(b"\x30\x82\x01") == 0
