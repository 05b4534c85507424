"""What one SPF check costs when every answer is cached, beside pyspf where that is installed: python -m bench.spf."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import Any, Final

from gatepost.ports.resolver import LookedUp, Mx, RecordType
from gatepost.standards.spf import Query, check_host

ROUNDS: Final = 20_000
ZONES: Final[dict[tuple[str, str], tuple[Any, ...]]] = {
    ("one.test", "TXT"): (b"v=spf1 ip4:192.0.2.0/24 -all",),
    ("usual.test", "TXT"): (b"hello", b"v=spf1 a mx include:spf.mass.test include:spf.other.test ~all"),
    ("usual.test", "A"): ("203.0.113.1",),
    ("usual.test", "MX"): (Mx(10, "mx1.usual.test"), Mx(20, "mx2.usual.test")),
    ("mx1.usual.test", "A"): ("203.0.113.2",),
    ("mx2.usual.test", "A"): ("203.0.113.3",),
    ("spf.mass.test", "TXT"): (
        b"v=spf1 " + b" ".join(b"ip4:198.51.%d.0/24" % n for n in range(30)) + b" ~all",
    ),
    ("spf.other.test", "TXT"): (b"v=spf1 ip4:203.0.113.128/25 ip4:192.0.2.0/24 ~all",),
    ("macros.test", "TXT"): (b"v=spf1 exists:%{ir}.%{l1r-}._spf.%{d2} -all",),
}


class Memory:
    """Answers at once, as a cache does."""

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:  # noqa: ARG002  # the port's
        found = ZONES.get((name, kind.name))
        return LookedUp(records=found or (), exists=found is not None)


async def ours(domain: str) -> float:
    """Seconds a check, from nothing but the client and the sender."""
    memory = Memory()
    query = Query(ip="192.0.2.7", domain=domain, local="ann", sender_domain=domain, helo="mx.client.test")
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        await check_host(query, memory, time.monotonic)
    return (time.perf_counter() - begun) / ROUNDS


def _as_pyspf(record: Any, kind: str) -> Any:
    if isinstance(record, Mx):
        return record.preference, record.host
    return (record,) if kind == "TXT" else record


def theirs(domain: str) -> float | None:
    """The same with pyspf and the same answers; None when it is not installed."""
    try:
        spf: Any = import_module("spf")
    except ImportError:
        return None

    def look_up(name: str, kind: str, *_: object, **__: object) -> list[Any]:
        found = ZONES.get((name.lower().rstrip("."), kind), ())
        return [((name, kind), _as_pyspf(one, kind)) for one in found]

    spf.DNSLookup = look_up
    rounds = ROUNDS // 20
    begun = time.perf_counter()
    for _ in range(rounds):
        spf.check2(i="192.0.2.7", s=f"ann@{domain}", h="mx.client.test")
    return (time.perf_counter() - begun) / rounds


def main() -> None:
    """One line a record."""
    for domain in ("one.test", "usual.test", "macros.test"):
        mine, other = asyncio.run(ours(domain)), theirs(domain)
        beside = "pyspf is not installed" if other is None else f"pyspf {other * 1e6:7.1f} us"
        print(f"{domain:12} {mine * 1e6:7.1f} us   {beside}")


if __name__ == "__main__":
    main()
