"""Who looks after the kept reports: names of addresses, old reports, which domains are ours."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.delivery.fakes import ListLog, settings_of
from tests.fakes import FakeClock
from tests.records.test_report_reading import read, report, row

from gatepost.adapters.report_store import ReportStore
from gatepost.main.directories import ReadHere
from gatepost.main.report_keeping import ReportDuty, name_of, own_domain
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault


class Reverse:
    """A resolver that knows names of addresses; how often it was asked."""

    def __init__(self, names: dict[str, tuple[str, ...]], addresses: dict[str, tuple[str, ...]]) -> None:
        self._names, self._addresses = names, addresses
        self.asked: list[str] = []

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        self.asked.append(address)
        if address not in self._names:
            raise WorldFault("no answer")
        return self._names[address]

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        return self._addresses.get(name, ())


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (("mx.a.test",), "mx.a.test"),
        (("b.test", "mx.a.test"), "mx.a.test"),
        (("b.test",), "b.test?"),
        (("bad name", "\x1b"), ""),
        ((), ""),
    ],
    ids=["leads back", "the second leads back", "leads elsewhere", "no host names", "none"],
)
def test_the_name_of_an_address(names: tuple[str, ...], name: str) -> None:
    resolver: Any = Reverse({"192.0.2.1": names}, {"mx.a.test": ("192.0.2.7", "192.0.2.1")})
    assert asyncio.run(name_of("192.0.2.1", resolver, timeout_s=1.0)) == name


def test_names_are_looked_up_once_and_old_reports_go(tmp_path: Path) -> None:
    clock, log = FakeClock(), ListLog()
    book = ReportStore(tmp_path / "r.db", age_s=86400.0, size_bytes=64 << 20, log=log)
    (kept,) = read(report(row(ip="192.0.2.1"), row(ip="192.0.2.2"), row(ip="nonsense")))
    book.keep(kept)
    resolver: Any = Reverse({"192.0.2.1": ("mx.a.test",)}, {})
    duty = ReportDuty(book, resolver, clock=clock, log=log, timeout_s=1.0)

    async def run() -> None:
        await duty.tick()
        await duty.tick()

    asyncio.run(run())
    assert resolver.asked == ["192.0.2.1", "192.0.2.2"]
    assert book.names(["192.0.2.1", "192.0.2.2"]) == {"192.0.2.1": "mx.a.test?"}
    clock.advance(2 * 86400)
    asyncio.run(duty.tick())
    assert book.one(1) is None
    (tmp_path / "r.db").unlink()
    (tmp_path / "r.db").write_bytes(b"junk" * 1000)
    clock.advance(2 * 86400)
    asyncio.run(duty.tick())
    assert log.events()[-1] == "reports-failed"


@pytest.mark.parametrize(
    ("domain", "is_ours"),
    [
        ("ours.test", True),
        ("news.ours.test", True),
        ("wild.test", True),
        ("monitored.test", True),
        ("a.other.test", True),
        ("test", False),
        ("theirs.test", False),
        ("notours.test", False),
        ("", False),
    ],
)
def test_which_domains_are_ours(domain: str, is_ours: bool) -> None:
    tables: dict[str, Any] = {
        "accepted-domains": {"Ours.test": {}, "*.wild.test": {}},
        "dns-monitor": {"domains": ["monitored.test"]},
        "reports": {"domains": ["other.test."]},
    }
    assert own_domain(settings_of(**tables))(domain) is is_ours


def test_addresses_whose_mail_ends_here_exist() -> None:
    source = ReadHere(["Reports@ours.test"])
    assert source.look_up(Address("rePORTS", "ours.test")).listed
    assert not source.look_up(Address("ann", "ours.test")).listed
