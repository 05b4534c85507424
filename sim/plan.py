"""What a seed decides: the settings, the characters of the next hops, and when what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final

from gatepost.config.schema import frozen
from gatepost.config.settings import Settings

DOOR: Final = ("192.0.2.1", 25)
DAY_S: Final = 86400.0
USERS: Final = tuple(f"u{n}@ours.example" for n in range(10))
STRANGERS: Final = tuple(f"nobody{n}@ours.example" for n in range(4))
PARTNERS: Final = tuple(f"p{n}@relay.example" for n in range(6))
FAR_DOMAINS: Final = tuple(f"far{n}.example" for n in range(5))
NOWHERE: Final = ("absent.example", "null.example")
AWAY: Final = "away.example"
"""Whose clients are strangers."""
AWAY_MAY_SEND: Final = "203.0.113.0/29"
POLICIES: Final = {
    AWAY: (f"v=spf1 ip4:{AWAY_MAY_SEND} ~all".encode(),),
    f"_dmarc.{AWAY}": (b"v=DMARC1; p=none",),
}
"""TXT records."""
FAR: Final = (
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run."""

    seed: int
    limits: Limits
    hops: tuple[HopPlan, ...]
    busy_s: float
    """How long clients come."""
    sessions: int
    deaths: tuple[float, ...]
    reloads: tuple[float, ...]
    deaths_at_a_point: int
    """Besides those: at a commit, or when a next hop has taken a mail."""
    disk_troubles: tuple[tuple[float, float, float], ...]
    """Begin, length, and how many times slower commits are."""
    dns_troubles: tuple[tuple[float, float, str, str], ...]
    """Begin, length, name, and slow or servfail."""
    queue: dict[str, Any]
    ways: dict[str, Any]

    @property
    def end_s(self) -> float:
        """When everything must be final."""
        return self.busy_s + 6 * DAY_S + 0.8 * DAY_S

    def settings(self, revision: int) -> Settings:
        """Of the gateway's life; every reload changes the way out, and mail has to find the new one."""
        limits = self.limits
        text = {
            "server": {"hostname": "mx.ours.example", "stop-timeout": "20s"},
            "accepted-domains": {"ours.example": {}, "relay.example": {"type": "external-relay"}},
            "receive-connectors": {
                "in": {
                    "listen": [f"{DOOR[0]}:{DOOR[1]}"],
                    "tls": "none",
                    "tarpit": "1s",
                    "ranges": {
                        "inside": {
                            "addresses": ["10.1.0.0/16"],
                            "rights": [
                                "submit",
                                "relay",
                                "any-sender",
                                "own-domain-sender",
                                "routing-headers",
                                "internal",
                            ],
                        }
                    },
                    "limits": {
                        "message-size": f"{limits.message_size_bytes}B",
                        "recipients": limits.recipients,
                        "connections": limits.connections,
                        "connections-per-source": limits.connections_per_source,
                        "command-timeout": "60s",
                        "data-timeout": "60s",
                        "connections-per-network": 10000,
                        "connections-per-site": 10000,
                        "source-share": 100,
                        "unrated": ["0.0.0.0/0"],
                    },
                }
            },
            "send-connectors": {
                "inner": {
                    "address-spaces": ["ours.example"],
                    "delivery": "lmtp",
                    "smart-hosts": ["[10.2.0.1]:24"],
                },
                f"partner{revision % 2}": {
                    "address-spaces": ["relay.example"],
                    "smart-hosts": ["[10.2.0.2]", "[10.2.0.3]"],
                    **self.ways,
                },
                f"world{revision}": {
                    "address-spaces": ["*"],
                    "allow-loopback": True,
                    "tls": "none",
                    **self.ways,
                },
            },
            "back-pressure": {"interval": "60s"},
            "queue": {
                "active-mails": limits.active_mails,
                "active-memory": f"{limits.active_memory_bytes}B",
                "memory-body": "4KiB",
                "disk-low": "0B",
                "reserve": "0B",
                "resume-margin": "0B",
                "allow-volatile": True,
                "crash-limit": limits.crash_limit,
                **self.queue,
            },
        }
        return Settings.model_validate(frozen(text))


def plan_of(seed: int) -> Plan:
    """The same for the same seed."""
    chance = Random(f"plan {seed}")
    busy_s = chance.choice((60.0, 600.0, 3000.0))
    connections = chance.choice((1, 2, 5, 20))
    reloads = _times(chance, chance.choice((0, 1, 1, 2)), busy_s)
    at_reload = tuple((at - 5.0, 12.0, 1.0) for at in reloads if chance.random() < 0.4)
    limits = Limits(
        recipients=100,
        connections=chance.choice((5, 40)),
        connections_per_source=chance.choice((2, 4)),
        active_mails=chance.choice((10, 10, 14, 1000)),
        active_memory_bytes=chance.choice((1 << 20, 1 << 26)),
        hop_connections=connections,
        message_size_bytes=65536,
        crash_limit=chance.choice((2, 3, 10)),
    )
    return Plan(
        seed=seed,
        limits=limits,
        hops=_hops(chance, busy_s),
        busy_s=busy_s,
        sessions=chance.randint(8, 30),
        deaths=_times(chance, chance.choice((0, 1, 1, 2, 3)), busy_s),
        reloads=reloads,
        deaths_at_a_point=chance.choice((0, 1, 1, 2, 3)),
        disk_troubles=(
            *at_reload,
            *(
                (at, chance.uniform(1.0, 120.0), chance.choice((1.0, 1.0, 100.0)))
                for at in _times(chance, chance.choice((0, 0, 1, 2)), busy_s)
            ),
        ),
        dns_troubles=tuple(
            (at, chance.choice((30.0, 4000.0, 7 * DAY_S)), name, chance.choice(("slow", "servfail")))
            for at in _times(chance, chance.choice((0, 1, 2)), busy_s)
            for name in (chance.choice((*FAR_DOMAINS, AWAY, "mx.far1.example", "203.0.113.3")),)
        ),
        queue={"longest-retry": chance.choice(("4000s", "4h"))},
        ways={
            "connections": connections,
            "messages-per-connection": chance.choice((1, 3, 100)),
            "command-timeout": chance.choice(("60s", "300s")),
            "data-timeout": chance.choice(("120s", "600s")),
            "idle-timeout": chance.choice(("0s", "10s")),
        },
    )


def _times(chance: Random, count: int, busy_s: float) -> tuple[float, ...]:
    """Most while clients are there, some days later."""
    far = chance.random() < 0.15
    return tuple(
        sorted(chance.uniform(1.0, 4 * DAY_S if far and n == 0 else busy_s * 1.2) for n in range(count))
    )


def _hops(chance: Random, busy_s: float) -> tuple[HopPlan, ...]:
    places = [
        ("inner.example", "10.2.0.1", 24, True),
        ("partner-a.example", "10.2.0.2", 25, False),
        ("partner-b.example", "10.2.0.3", 25, False),
        *((f"mx.{domain}", f"10.3.0.{n}", 25, False) for n, domain in enumerate(FAR_DOMAINS)),
    ]
    return tuple(_hop(chance, busy_s, name=n, ip=i, port=p, lmtp=lmtp) for n, i, p, lmtp in places)


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
    )
