"""What a seed decides: the settings, the characters of the next hops, and when what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from sim.pressure import COURSES, Step

DOOR: Final = ("192.0.2.1", 25)
SUBMISSION: Final = ("192.0.2.1", 587)
DAY_S: Final = 86400.0
USERS: Final = tuple(f"u{n}@ours.example" for n in range(10))
SRS_DOMAIN: Final = "srs.ours.example"
BOXES: Final = tuple(f"b{n}@box.ours.example" for n in range(4))
"""Whose mail goes into maildirs."""
VAULT: Final = "vault.example"
"""A domain that gets its mail over TLS only, and only by a next hop that proves its name."""
LIAR_IP: Final = "10.3.1.1"
"""A machine that poses as the vault's when the DNS lies."""
STRANGERS: Final = tuple(f"nobody{n}@ours.example" for n in range(4))
PARTNERS: Final = tuple(f"p{n}@relay.example" for n in range(6))
FAR_DOMAINS: Final = tuple(f"far{n}.example" for n in range(5))
NOWHERE: Final = ("absent.example", "null.example")
AWAY: Final = "away.example"
"""Whose clients are strangers."""
AWAY_MAY_SEND: Final = "203.0.113.0/29"
DNS_NAMES: Final = (
    *FAR_DOMAINS,
    AWAY,
    AWAY,
    f"_dmarc.{AWAY}",
    f"s1._domainkey.{AWAY}",
    "mx.far1.example",
    f"mx.{VAULT}",
    "203.0.113.3",
)
"""Of which the DNS may have nothing to say, or something untrue."""
POLICIES: Final = {
    AWAY: (f"v=spf1 ip4:{AWAY_MAY_SEND} ~all".encode(),),
    f"_dmarc.{AWAY}": (b"v=DMARC1; p=none",),
}
"""TXT records."""
FAR: Final = (
    *(f"v{n}@{VAULT}" for n in range(2)),
    *(f"x{n}@{domain}" for domain in FAR_DOMAINS for n in range(2)),
    *(f"y@{domain}" for domain in NOWHERE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits that a run watches."""

    recipients: int
    connections: int
    connections_per_source: int
    active_mails: int
    active_memory_bytes: int
    hop_connections: int
    message_size_bytes: int
    crash_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HopPlan:
    """One next hop's character; times in seconds since the beginning."""

    name: str
    ip: str
    port: int = 25
    lmtp: bool = False
    mischief: float = 0.0
    bad_until_s: float = 0.0
    down: str = ""
    greylist_s: float = 0.0
    pipelining: bool = True
    silent_after_one: float = 0.0
    tls: str = ""
    tls_faults: tuple[str, ...] = ()
    demands: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """One run."""

    seed: int
    limits: Limits
    other_limits: Limits
    """Of every second revision of the configuration."""
    hops: tuple[HopPlan, ...]
    busy_s: float
    """How long clients come."""
    sessions: int
    deaths: tuple[float, ...]
    reloads: tuple[float, ...]
    """The configuration changes under the running worker."""
    restarts: tuple[float, ...]
    """A clean stop, and the next life."""
    workers: tuple[int, ...]
    """At each start of the gateway, one after another, and from the first again."""
    orphanings: tuple[float, ...]
    """The supervisor is killed: its workers finish while the next gateway starts."""
    orphanings_in_content: int
    """Besides those: when a client has begun to send a message."""
    deaths_at_a_point: int
    """Besides those: at a commit, or when a next hop has taken a mail."""
    disk_troubles: tuple[tuple[float, float, float], ...]
    """Begin, length, and how many times slower commits are."""
    full_disks: tuple[tuple[float, float], ...]
    """Begin and length of the times when there is no room."""
    strains: tuple[tuple[float, float, tuple[Step, ...]], ...]
    """Begin, time between readings, and the readings of what becomes scarce."""
    dns_troubles: tuple[tuple[float, float, str, str], ...]
    """Begin, length, name, and slow or servfail."""
    heavy: bool
    """Every message is large, and all come at once: more than may be held in memory."""
    signs: bool
    """The gateway signs mail of its own domain."""
    srs: bool
    """Return paths of strangers lead through the gateway on their way to the partners."""
    returning: int
    """Clients that are greylisted, and come again; 0: nobody is greylisted."""
    harvesters: int
    submissions: int
    """How many of the sessions log in."""
    queue: dict[str, Any]
    ways: dict[str, Any]

    @property
    def end_s(self) -> float:
        """When everything must be final."""
        return self.busy_s + 6 * DAY_S + 0.8 * DAY_S

    def limits_at(self, revision: int) -> Limits:
        """Every second revision has others."""
        return self.other_limits if revision % 2 else self.limits


def plan_of(seed: int) -> Plan:
    """The same for the same seed."""
    chance = Random(f"plan {seed}")
    heavy = chance.random() < 0.06
    busy_s = 60.0 if heavy else chance.choice((60.0, 600.0, 3000.0))
    restarts = _times(chance, chance.choice((0, 1, 1, 2)), busy_s)
    at_restart = tuple((at - 5.0, 12.0, 1.0) for at in restarts if chance.random() < 0.4)
    crash_limit = chance.choice((2, 3, 10))
    limits, other_limits = (_limits(chance, crash_limit, heavy=heavy) for _ in range(2))
    house = _house(Random(f"house {seed}"), busy_s)
    return Plan(
        seed=seed,
        **house,
        limits=limits,
        other_limits=other_limits,
        hops=_hops(chance, busy_s, heavy=heavy),
        busy_s=busy_s,
        sessions=60 if heavy else chance.randint(8, 30),
        heavy=heavy,
        signs=chance.random() < 0.5,
        srs=chance.random() < 0.3,
        returning=chance.choice((0, 0, 2)),
        harvesters=chance.choice((0, 0, 1)),
        submissions=chance.randint(0, 6),
        deaths=() if heavy else _times(chance, chance.choice((0, 1, 1, 2, 3)), busy_s),
        reloads=_times(chance, chance.choice((0, 1, 1, 2, 3)), busy_s),
        restarts=restarts,
        deaths_at_a_point=0 if heavy else chance.choice((0, 1, 1, 2, 3)),
        disk_troubles=(
            *at_restart,
            *(
                (at, chance.uniform(1.0, 120.0), chance.choice((1.0, 1.0, 100.0)))
                for at in _times(chance, chance.choice((0, 0, 1, 2)), busy_s)
            ),
        ),
        full_disks=tuple(
            (at, chance.choice((20.0, 300.0))) for at in _times(chance, chance.choice((0, 0, 1)), busy_s)
        ),
        strains=tuple(
            (at, busy_s / 20, chance.choice(COURSES))
            for at in _times(chance, chance.choice((0, 0, 0, 1)), busy_s * 0.6)
        ),
        dns_troubles=tuple(
            (at, chance.choice((30.0, 4000.0, 7 * DAY_S)), name, chance.choice(("slow", "servfail", "lie")))
            for at in _times(chance, chance.choice((0, 1, 2)), busy_s)
            for name in (chance.choice(DNS_NAMES),)
        ),
        queue={"longest-retry": chance.choice(("4000s", "4h"))},
        ways={
            "messages-per-connection": chance.choice((1, 3, 100)),
            "command-timeout": chance.choice(("60s", "300s")),
            "data-timeout": chance.choice(("120s", "600s")),
            "idle-timeout": chance.choice(("0s", "10s")),
        },
    )


def _limits(chance: Random, crash_limit: int, *, heavy: bool) -> Limits:
    found = Limits(
        recipients=chance.choice((100, 110)),
        connections=chance.choice((5, 40)),
        connections_per_source=chance.choice((2, 4)),
        active_mails=chance.choice((10, 10, 14, 1000)),
        active_memory_bytes=chance.choice((1 << 20, 1 << 26)),
        hop_connections=chance.choice((1, 2, 5, 20)),
        message_size_bytes=65536,
        crash_limit=crash_limit,
    )
    if heavy:
        return replace(
            found, connections=40, active_mails=1000, active_memory_bytes=1 << 20, hop_connections=1
        )
    return found


def _house(chance: Random, busy_s: float) -> dict[str, Any]:
    if chance.random() < 0.6:
        return {"workers": (1,), "orphanings": (), "orphanings_in_content": 0}
    in_content = chance.choice((0, 1, 1))
    second = 1 if in_content else chance.choice((1, 2, 3))
    return {
        "workers": (chance.choice((2, 2, 3)), second, *(chance.choice((1, 2, 3)) for _ in range(2))),
        "orphanings": _times(chance, chance.choice((0, 0, 1)), busy_s),
        "orphanings_in_content": in_content,
    }


def _times(chance: Random, count: int, busy_s: float) -> tuple[float, ...]:
    """Most while clients are there, some days later."""
    far = chance.random() < 0.15
    return tuple(
        sorted(chance.uniform(1.0, 4 * DAY_S if far and n == 0 else busy_s * 1.2) for n in range(count))
    )


def _hops(chance: Random, busy_s: float, *, heavy: bool) -> tuple[HopPlan, ...]:
    places = [
        ("inner.example", "10.2.0.1", 24, True),
        ("partner-a.example", "10.2.0.2", 25, False),
        ("partner-b.example", "10.2.0.3", 25, False),
        *((f"mx.{domain}", f"10.3.0.{n}", 25, False) for n, domain in enumerate(FAR_DOMAINS)),
        (f"mx.{VAULT}", "10.3.1.0", 25, False),
        ("mx.liar.example", LIAR_IP, 25, False),
    ]
    hops = tuple(_hop(chance, busy_s, name=n, ip=i, port=p, lmtp=lmtp) for n, i, p, lmtp in places)
    if heavy:  # and mail for our own users waits in memory
        inner = replace(hops[0], down="", mischief=0.0, greylist_s=0.0, silent_after_one=1.0)
        return (inner, *hops[1:])
    return hops


def _hop(chance: Random, busy_s: float, *, name: str, ip: str, port: int, lmtp: bool) -> HopPlan:
    lasting = chance.choice((busy_s, busy_s, 6 * 3600.0, 2 * DAY_S, 100 * DAY_S))
    return HopPlan(
        name=name,
        ip=ip,
        port=port,
        lmtp=lmtp,
        mischief=chance.choice((0.0, 0.05, 0.2, 0.5)),
        bad_until_s=lasting if chance.random() < 0.75 else 0.0,
        down=chance.choice(("", "", "", "", "refuse", "silent")),
        greylist_s=chance.choice((0.0, 0.0, 60.0, 900.0)),
        pipelining=chance.random() < 0.7,
        silent_after_one=chance.choice((0.0, 0.0, 0.3)) if lmtp else 0.0,
        **_link(chance, name),
    )


def _link(chance: Random, name: str) -> dict[str, Any]:
    """Its TLS: the vault's must be good, the partners' must be, whoever they are."""
    demands = "verified" if name == f"mx.{VAULT}" else "required" if name.startswith("partner") else ""
    faults = chance.sample(("alert", "hang", "cut", "garbage", "missing", "untrusted", "wrong-name"), 3)
    return {
        "tls": "good" if demands else chance.choice(("", "good", "untrusted")),
        "tls_faults": tuple(faults) if chance.random() < 0.4 else (),
        "demands": demands,
    }
