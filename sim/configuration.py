"""The configuration file of a run: every revision changes the way out, limits, and which doors there are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from gatepost.config.load import Configuration
from gatepost.main.configuration import load_text
from sim.guests import BLOCK_AT, EARLIEST_S
from sim.plan import DOOR, SRS_DOMAIN, SUBMISSION, VAULT, Limits, Plan
from sim.pressure import MARKS
from sim.signing import OURS
from sim.toml import toml

FILE: Final = "gatepost.toml"
INSIDE_RIGHTS: Final = ["submit", "relay", "any-sender", "own-domain-sender", "routing-headers", "internal"]


@lru_cache(maxsize=8)
def configuration(plan: Plan, revision: int, place: Path, workers: int = 1) -> Configuration:
    """As a worker gets it at its start."""
    return load_text(FILE, text_of(plan, revision, place, workers))


def text_of(plan: Plan, revision: int, place: Path, workers: int = 1) -> str:
    """place: of everything that is on disk."""
    limits = plan.limits_at(revision)
    return toml(
        {
            "server": {
                "hostname": "mx.ours.example",
                "stop-timeout": "20s",
                "state-directory": str(place / "state"),
                "workers": workers,
            },
            "accepted-domains": {
                "ours.example": {},
                "box.ours.example": {},
                SRS_DOMAIN: {},
                "relay.example": {"type": "external-relay"},
            },
            "srs": {"key-file": str(place / "srs.key"), "domain": SRS_DOMAIN} if plan.srs else {},
            "users": {"file": str(place / "users")},
            "recipients": {"file": str(place / "recipients")},
            "receive-connectors": _doors(revision, limits),
            "send-connectors": _ways(plan, revision, limits, place),
            "back-pressure": {"interval": "60s", **MARKS},
            "dkim-signing": {"enabled": plan.signs, "domains": {"ours.example": _keys(place)}},
            "harvest": {"block-at": BLOCK_AT, "network-block-at": 0, "first-delay": "0s"},
            "agents": {"greylisting": _greylisting(plan)},
            "dns": {"servers": ["127.0.0.1"], "test-name": ""},
            "dns-monitor": {"enabled": False},
            "queue": {
                "active-mails": limits.active_mails,
                "active-memory": f"{limits.active_memory_bytes}B",
                "memory-body": "64KiB" if plan.heavy else "4KiB",
                "disk-low": "64MiB",
                "reserve": "0B",
                "resume-margin": "64MiB",
                "allow-volatile": True,
                "crash-limit": limits.crash_limit,
                **plan.queue,
            },
        }
    )


def _keys(place: Path) -> dict[str, Any]:
    return {"selectors": {OURS.selector: {"key-file": str(place / "ours.pem")}}}


def _greylisting(plan: Plan) -> dict[str, Any]:
    """Only of those who come again: the others would never be let in."""
    return {
        "enabled": bool(plan.returning),
        "earliest": f"{EARLIEST_S:.0f}s",
        "network-passes": 0,
        "exempt-networks": ["203.0.113.0/24"],
    }


def _doors(revision: int, limits: Limits) -> dict[str, Any]:
    """On every second revision those inside have a connector of their own, at the same port."""
    inside = {"addresses": ["10.1.0.0/16"], "rights": INSIDE_RIGHTS}
    door = {
        "listen": [f"{DOOR[0]}:{DOOR[1]}"],
        "tls": "none",
        "tarpit": "1s",
        "ranges": {"inside": inside},
        "limits": {
            "message-size": f"{limits.message_size_bytes}B",
            "header-size": "32KiB",
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
    submission = {
        "listen": [f"{SUBMISSION[0]}:{SUBMISSION[1]}"],
        "tls": "required",
        "auth": True,
        "auth-tarpit": "1s",
        "anonymous-rights": [],
        "limits": door["limits"],
    }
    if revision % 2 == 0:
        return {"in": door, "submission": submission}
    return {"in": door, "lan": {**door, "remote-ranges": ["10.1.0.0/16"]}, "submission": submission}


def _ways(plan: Plan, revision: int, limits: Limits, place: Path) -> dict[str, Any]:
    """All names but one change, and far0.example has a connector of its own now and then."""
    ways = {**plan.ways, "connections": limits.hop_connections}
    world = {"allow-loopback": True, **ways}
    found = {
        "inner": {
            "address-spaces": ["ours.example"],
            "delivery": "lmtp",
            "smart-hosts": ["[10.2.0.1]:24"],
            **({"connections": 1} if plan.heavy else {}),
        },
        f"partner{revision % 2}": {
            "address-spaces": ["relay.example"],
            "smart-hosts": ["[10.2.0.2]", "[10.2.0.3]"],
            "tls": "required",
            "srs": "always" if plan.srs else "forwarded",
            **ways,
        },
        f"vault{revision}": {"address-spaces": [VAULT], **world, "tls": "verified"},
        "boxes": {
            "address-spaces": ["box.ours.example"],
            "delivery": "maildir",
            "maildir": str(place / "boxes" / "{domain}" / "{local}"),
        },
        f"world{revision}": {"address-spaces": ["*"], **world},
    }
    if revision % 2:
        found["near"] = {"address-spaces": ["far0.example"], **world}
    return found
