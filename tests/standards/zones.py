"""A small DNS for evaluators: keeps the promise of ports.resolver.Lookup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.resolver import LookedUp, Mx, RecordType

ALIASES_LIMIT = 8


@dataclass
class Zones:
    """names: lower-case name -> records by type. silent: (name, type) and names that give no answer."""

    names: Mapping[str, Mapping[str, Sequence[Any]]]
    silent: frozenset[str | tuple[str, str]] = frozenset()
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        assert timeout_s > 0
        self.asked.append((name, kind.name))
        name = name.lower().removesuffix(".")
        if not name or len(name) > 253 or any(not 0 < len(label) < 64 for label in name.split(".")):
            raise PeerFault(Reply(501, "5.1.3", "Not a domain name"), "a name that cannot be asked")
        for _ in range(ALIASES_LIMIT):
            if name in self.silent or (name, kind.name) in self.silent:
                raise WorldFault("no name server answers")
            if name not in self.names:
                return LookedUp(records=(), exists=False)
            alias = self.names[name].get("CNAME")
            if not alias:
                break
            name = alias[0].lower().removesuffix(".")
        else:
            raise WorldFault("too many aliases")
        return LookedUp(records=tuple(self.names[name].get(kind.name, ())), ttl_s=300)


def texts(zone: Mapping[str, str | Sequence[str]]) -> Zones:
    """Names with TXT records only."""
    return Zones(
        {
            name: {"TXT": [one.encode("latin-1") for one in ([found] if isinstance(found, str) else found)]}
            for name, found in zone.items()
        }
    )


def suite_zones(data: Mapping[str, Sequence[Any]]) -> Zones:
    """The zone data of the published SPF suites."""
    names: dict[str, dict[str, list[Any]]] = {}
    silent: set[str | tuple[str, str]] = set()
    for written, entries in data.items():
        name = written.lower()
        records = names.setdefault(name, {})
        says_text = any(isinstance(entry, dict) and "TXT" in entry for entry in entries)
        for entry in entries:
            if entry == "TIMEOUT":
                silent |= {(name, kind.name) for kind in RecordType if kind.name not in records}
                continue
            ((kind, value),) = entry.items()
            if value == "TIMEOUT":
                silent.add((name, kind))
            elif kind == "MX":
                records.setdefault("MX", []).append(Mx(value[0], value[1].lower()))
            elif kind in ("TXT", "SPF"):
                if (kind == "SPF" and says_text) or value == "NONE":
                    continue
                joined = value if isinstance(value, str) else "".join(value)
                records.setdefault("TXT", []).append(joined.encode("latin-1"))
            else:
                records.setdefault(kind, []).append(value)
    return Zones(names, frozenset(silent))
