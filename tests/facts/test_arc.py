"""The fact arc: chains of our own sealing, broken on the way, believed only where the newest sealer is trusted."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from tests.facts.test_dkim import Keys, mail
from tests.policy.fakes import Mailboxes, site
from tests.standards.signing import MAIL, NOW, dns_of, ed25519_key, rsa_key

from gatepost.config.dkim_settings import Arc
from gatepost.facts.arc import ArcResult, find_arc
from gatepost.facts.gathering import Sources
from gatepost.message.headers import split
from gatepost.model.fault import WorldFault
from gatepost.standards.arc import read_sets
from gatepost.standards.arc_seal import sealed_set
from gatepost.standards.dkim_canon import BodyHasher, BodyWish, SignedFields, relaxed_field
from gatepost.standards.dkim_sign import SigningKey
from gatepost.standards.dkim_signature import fields_of

LIST = rsa_key("arc", "lists.test")
STRANGER = ed25519_key("arc", "stranger.test")
KEYS = dns_of(LIST, STRANGER)


def sealed(content: bytes, key: SigningKey, word: str = "pass") -> bytes:
    head, body = split(content)
    raw = fields_of(head)
    hasher = BodyHasher([BodyWish(relaxed=True)])
    hasher.feed(body)
    made = sealed_set(
        key,
        read_sets(raw),
        SignedFields(raw),
        hasher.finish()[BodyWish(relaxed=True)],
        results=f"mx.{key.domain}; arc={word}; spf=pass smtp.mailfrom=sender.test",
        names=[b"from", b"to", b"subject"],
        at=NOW,
    )
    return made + content


def found(content: bytes, *trusted: str, names: Keys | None = None) -> ArcResult:
    sources = Sources(
        site=site(),
        resolver=names or Keys(records=KEYS),
        directory=Mailboxes(),
        arc=Arc.model_validate({"trusted-sealers": trusted}),
    )
    answer: Any = find_arc(mail(content), sources)
    return answer if isinstance(answer, ArcResult) else asyncio.run(answer)


def test_a_mail_without_a_chain() -> None:
    assert found(MAIL) == ArcResult()


@pytest.mark.threat("J36", "J37")
def test_an_intact_chain_of_a_trusted_list() -> None:
    once = sealed(MAIL, LIST)
    assert found(once, "lists.test") == ArcResult(
        result="pass",
        sealers=("lists.test",),
        trusted_by="lists.test",
        payload="mx.lists.test; arc=pass; spf=pass smtp.mailfrom=sender.test",
    )
    assert (found(once).result, found(once).trusted_by, found(once).payload) == ("pass", "", "")


@pytest.mark.threat("J37")
def test_whoever_seals_above_a_trusted_list_is_not_believed() -> None:
    twice = sealed(sealed(MAIL, LIST), STRANGER)
    result = found(twice, "lists.test")
    assert (result.result, result.sealers, result.trusted_by) == ("pass", ("stranger.test", "lists.test"), "")
    assert found(twice, "stranger.test").trusted_by == "stranger.test"


def sealed_over(content: bytes, key: SigningKey, names: str, length: int | None = None) -> bytes:
    """One set whose message signature has these h= and l=."""
    head, body = split(content)
    wish = BodyWish(relaxed=True, length=length)
    hasher = BodyHasher([wish])
    hasher.feed(body)
    digest = base64.b64encode(hasher.finish()[wish].digest).decode()
    common = f"i=1; a={key.algorithm}; d={key.domain}; s={key.selector}"
    results = f"ARC-Authentication-Results: i=1; {key.domain}; dmarc=pass\r\n".encode()
    part = f"; l={length}" if length is not None else ""
    empty = f"ARC-Message-Signature: {common}; c=relaxed/relaxed; h={names}; bh={digest}{part}; b=".encode()
    picked = SignedFields(fields_of(head)).picked([name.encode() for name in names.split(":")], relaxed=True)
    message = (
        empty + base64.b64encode(key.sign(picked + relaxed_field(empty).removesuffix(b"\r\n"))) + b"\r\n"
    )
    empty = f"ARC-Seal: {common}; cv=none; b=".encode()
    before = relaxed_field(results) + relaxed_field(message) + relaxed_field(empty).removesuffix(b"\r\n")
    return empty + base64.b64encode(key.sign(before)) + b"\r\n" + message + results + content


@pytest.mark.threat("J14")
@pytest.mark.threat("J36")
def test_a_trusted_set_covers_author_and_body() -> None:
    whole = found(sealed_over(MAIL, LIST, "from:to"), "lists.test")
    assert (whole.result, whole.trusted_by) == ("pass", "lists.test")
    # Given a set without From in h=, or a second From on top: anybody can change who wrote it
    assert found(sealed_over(MAIL, LIST, "to:subject"), "lists.test").result == "fail"
    twice = b"From: ceo@bank.test\r\n" + sealed_over(MAIL, LIST, "from:to")
    assert found(twice, "lists.test").result == "fail"
    # Given l=: anybody can write behind it
    part = found(sealed_over(MAIL, LIST, "from:to", 4) + b"Pay here\r\n", "lists.test")
    assert (part.result, part.trusted_by, part.payload) == ("pass", "", "")


@pytest.mark.threat("J36")
def test_a_change_breaks_the_chain() -> None:
    once = sealed(MAIL, LIST)
    changed = found(once.replace(b"Bye", b"Buy"), "lists.test")
    assert (changed.result, changed.trusted_by) == ("fail", "")
    assert found(sealed(once.replace(b"Bye", b"Buy"), STRANGER, "fail"), "stranger.test").result == "fail"
    assert found(once.replace(b"i=1;", b"i=2;")).result == "fail"
    assert found(once.replace(b"spf=pass", b"spf=fail"), "lists.test").result == "fail"


@pytest.mark.threat("J36")
def test_51_sets_ask_nobody() -> None:
    head = b"".join(
        b"ARC-Seal: i=%d; a=rsa-sha256; cv=none; d=a.test; s=s; b=YQ==\r\n" % number
        for number in range(1, 52)
    )
    names = Keys(records=KEYS)
    result = found(head + MAIL, names=names)
    assert (result.result, names.asked) == ("fail", [])


@pytest.mark.threat("J24")
def test_silence_of_the_dns_leaves_the_chain_unknown() -> None:
    with pytest.raises(WorldFault):
        found(sealed(MAIL, LIST), names=Keys(records=KEYS, silent=frozenset({LIST.name})))


def test_a_chain_that_a_seal_calls_broken_is_not_sealed_again() -> None:
    broken = sealed(sealed(MAIL, LIST), STRANGER, "fail")
    assert found(broken).result == "fail"
    assert sealed(broken, LIST) == broken
