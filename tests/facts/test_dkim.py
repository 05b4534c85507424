"""The fact dkim: keys asked for all at once, bodies from memory and disk, what is unknown stays unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from tests.policy.fakes import Mailboxes, Names, site, view
from tests.standards.signing import MAIL, dns_of, ed25519_key, rsa_key, signed

from gatepost.config.dkim_settings import Dkim
from gatepost.config.schema import frozen
from gatepost.facts.dkim import DkimResults, find_dkim
from gatepost.facts.gathering import Sources
from gatepost.message.headers import split
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.known import MailView
from gatepost.model.verdict import Stage


@dataclass
class Keys(Names):
    """A resolver with key records."""

    records: dict[str, bytes] = field(default_factory=dict)
    waiting: int = 0
    together: int = 0

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        self.waiting += 1
        self.together = max(self.together, self.waiting)
        await asyncio.sleep(0)
        await self._ask(name)
        self.waiting -= 1
        return (self.records[name],) if name in self.records else ()


@dataclass
class Disk:
    """Bodies in pieces of 7 octets."""

    bodies: dict[str, bytes]
    read: int = 0

    async def pieces(self, body: SpooledBody) -> AsyncIterator[bytes]:
        self.read += 1
        octets = self.bodies.get(body.path)
        if octets is None:
            raise WorldFault("a stored body cannot be read")
        for at in range(0, len(octets), 7):
            yield octets[at : at + 7]


def mail(content: bytes, *, on_disk: str = "") -> MailView:
    head, body = split(content)
    kept = SpooledBody(on_disk, len(body), 0) if on_disk else body
    seen = view(Stage.END_OF_DATA, head=head, recipients=("bob@gate.test",))
    return msgspec.structs.replace(seen, content=Content(head=head, body=kept), size_bytes=len(content))


def sources(names: Names, disk: Disk | None = None, **limits: Any) -> Sources:
    return Sources(
        site=site(),
        resolver=names,
        directory=Mailboxes(),
        bodies=disk,
        dkim=Dkim.model_validate(frozen({name.replace("_", "-"): value for name, value in limits.items()})),
    )


def found(seen: MailView, given: Sources) -> DkimResults:
    answer = find_dkim(seen, given)
    return answer if isinstance(answer, DkimResults) else asyncio.run(answer)


KEYS = dns_of(rsa_key(), ed25519_key())


def test_a_mail_without_signatures_costs_no_wait() -> None:
    assert find_dkim(mail(MAIL), sources(Keys())) == DkimResults()


def test_two_keys_are_asked_for_at_once() -> None:
    names = Keys(records=KEYS)
    both = signed(signed(), ed25519_key())
    results = found(mail(both), sources(names))
    assert [(s.result, s.domain, s.selector, s.algorithm, s.key_bits) for s in results.signatures] == [
        ("pass", "sender.test", "ed", "ed25519-sha256", 256),
        ("pass", "sender.test", "rsa", "rsa-sha256", 2048),
    ]
    assert names.together == 2
    first = results.signatures[0]
    assert (first.identity, first.signed_fields, first.covers_whole_body) == (
        "@sender.test",
        ("from", "to", "subject"),
        True,
    )
    assert len(first.signature_start) == 8


def test_one_key_is_asked_for_once() -> None:
    names = Keys(records=KEYS)
    found(mail(signed(signed())), sources(names))
    assert len(names.asked) == 1


def test_a_body_on_disk_is_read_once_for_several_signatures() -> None:
    content = signed(signed(), ed25519_key())
    disk = Disk({"ab/cd": split(content)[1]})
    results = found(mail(content, on_disk="ab/cd"), sources(Keys(records=KEYS), disk))
    assert [s.result for s in results.signatures] == ["pass", "pass"]
    assert disk.read == 1


def test_a_body_that_cannot_be_read_leaves_the_fact_unknown() -> None:
    with pytest.raises(WorldFault):
        found(mail(signed(), on_disk="ab/cd"), sources(Keys(records=KEYS), Disk({})))


@pytest.mark.threat("J24")
def test_a_silent_name_server_is_a_temporary_error_of_that_signature_alone() -> None:
    names = Keys(records=KEYS, silent=frozenset({rsa_key().name}))
    results = found(mail(signed(signed(), ed25519_key())), sources(names))
    assert [s.result for s in results.signatures] == ["pass", "temperror"]


@pytest.mark.threat("J13")
def test_no_more_signatures_are_looked_at_than_the_settings_say() -> None:
    content = MAIL
    for number in range(12):
        content = signed(content, d=f"d{number}.test")
    names = Keys(records=KEYS)
    results = found(mail(signed(content)), sources(names, signatures=3))
    assert (len(results.signatures), results.left_out, len(names.asked)) == (3, 10, 3)
    assert results.signatures[0].result == "pass"


def test_a_mail_larger_than_the_limit_is_not_hashed() -> None:
    results = found(mail(signed()), sources(Keys(records=KEYS), body_limit="100B"))
    assert [s.result for s in results.signatures] == ["neutral"]


@pytest.mark.threat("J12")
def test_a_broken_signature_asks_nobody() -> None:
    names = Keys(records=KEYS)
    results = found(mail(signed(d="legit.test'a.attack.test")), sources(names))
    assert (results.signatures[0].result, results.signatures[0].domain, names.asked) == ("permerror", "", [])
