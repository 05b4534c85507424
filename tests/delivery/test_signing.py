"""What leaves signed, what does not and why, and that the signature is over what the next hop gets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.standards.dkim_corpus import results
from tests.standards.signing import NOW, dns_of, ed25519_key, rsa_key

from gatepost.config.dkim_settings import DkimSigning
from gatepost.config.schema import frozen
from gatepost.delivery.sealing import Sealer
from gatepost.delivery.signing import DomainKeys, Signer
from gatepost.message.headers import split
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.content import Content, SpooledBody
from gatepost.model.envelope import BodyType
from gatepost.model.fault import WorldFault
from gatepost.model.queued import QueuedMail
from gatepost.protocol.outgoing import encode_data
from gatepost.standards.arc import read_chain, validate
from gatepost.standards.dkim_author import only_author_domain
from gatepost.standards.dkim_canon import BodyHasher, SignedFields
from gatepost.standards.dkim_signature import fields_of

RSA, ED = rsa_key("rsa", "sender.test"), ed25519_key("ed", "sender.test")
KEYS = {"sender.test": DomainKeys(keys=(RSA, ED)), "quiet.test": DomainKeys(keys=())}
MAIL = b"From: Ann <ann@sender.test>\r\nTo: bob@far.test\r\nSubject: hello\r\n\r\nHi\r\n"


@dataclass
class Numbers:
    """Keeps the promise of ports.log.Counters."""

    added: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        self.added[":".join((name, *labels.values()))] += int(amount)

    def set(self, name: str, value: float, /, **labels: str) -> None: ...


@dataclass
class Files:
    """Keeps the promise of ports.bodies.BodyFiles, three octets at a time."""

    body: bytes | None = None
    read: int = 0

    async def chunks(self, path: str) -> AsyncIterator[bytes]:
        self.read += 1
        if self.body is None:
            raise WorldFault("the file is gone", path=path)
        for at in range(0, len(self.body), 3):
            yield self.body[at : at + 3]


@dataclass
class Desk:
    """A signer, and what it counts."""

    keys: dict[str, DomainKeys] = field(default_factory=lambda: dict(KEYS))
    settings: dict[str, Any] = field(default_factory=dict)
    files: Files = field(default_factory=Files)
    numbers: Numbers = field(default_factory=Numbers)
    now: float = NOW

    def __post_init__(self) -> None:
        self.signer = Signer(
            DkimSigning.model_validate(frozen(self.settings)),
            self.keys,
            accepted=AcceptedDomains({"own.test": DomainType.AUTHORITATIVE}),
            now=lambda: self.now,
            bodies=self.files,
            body_path=lambda body: body.path,
            counters=self.numbers,
        )

    def sign(self, content: bytes | Content = MAIL, **wishes: Any) -> Content:
        if isinstance(content, bytes):
            head, body = split(content)
            content = Content(head=head, body=body)
        return asyncio.run(self.signer.sign(mail(**wishes), content))


def mail(sender: str = "ann@sender.test", *, number: int = 1, **wishes: Any) -> QueuedMail:
    local, _, domain = sender.rpartition("@")
    given = {"authenticated": True, **wishes}
    return QueuedMail(
        mail_id=number,
        session_id="0" * 16,
        received_at=NOW,
        expires_at=NOW + 1,
        sender=Address(local, domain) if sender else NULL_SENDER,
        **given,
    )


def sent(content: Content) -> bytes:
    """What the next hop gets by DATA, dots taken out again."""
    assert isinstance(content.body, bytes)
    return encode_data(content.head + content.body).removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.")


def checked(content: bytes) -> list[str]:
    return [one.result for one in results(content, dns_of(RSA, ED), now=NOW)]


def test_both_keys_sign_and_the_next_hop_can_tell() -> None:
    desk = Desk(settings={"domains": {}, "fields": ["Subject", "To"], "oversigned-fields": ["From", "Cc"]})
    signed = desk.sign()
    assert checked(sent(signed)) == ["pass", "pass"]
    assert b"h=from:from:subject:to:cc;" in signed.head
    assert desk.numbers.added == {"dkim_signed": 1}
    assert checked(sent(signed).replace(b"Subject", b"Cc: eve@far.test\r\nSubject")) == ["fail", "fail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"\r\n\r\n", b"a\rb\nc\r\n", b"no end", b".dot\r\n..\r\n.\r\nx", b"blanks \t \r\n \r\n", b"a\r"],
    ids=["none", "empty lines", "bare newlines", "no end", "dots", "blanks", "a bare CR at the end"],
)
def test_what_is_signed_is_what_is_sent(body: bytes) -> None:
    head = split(MAIL)[0]
    assert checked(sent(Desk().sign(Content(head=head, body=body)))) == ["pass", "pass"]
    on_disk = Desk(files=Files(body)).sign(Content(head=head, body=SpooledBody("x", len(body), 0)))
    assert checked(sent(replace(on_disk, body=body))) == ["pass", "pass"]


def test_binary_mail_is_signed_octet_by_octet() -> None:
    head, body = split(MAIL)[0], b"a\rb\nc\0\r\n"
    signed = Desk().sign(Content(head=head, body=body), body_type=BodyType.BINARY_MIME)
    assert checked(signed.head + body) == ["pass", "pass"]


@dataclass(frozen=True)
class Case:
    name: str
    reason: str
    """"": it is signed."""
    content: bytes = MAIL
    wishes: dict[str, Any] = field(default_factory=dict)


def by(author: bytes) -> bytes:
    return MAIL.replace(b"Ann <ann@sender.test>", author)


CASES = [
    Case("of an account", ""),
    Case("of our own making", "", wishes={"authenticated": False, "is_notice": True, "sender": ""}),
    Case("of a stranger", "not-from-us", wishes={"authenticated": False}),
    Case("an author elsewhere", "no-key", by(b"ann@far.test")),
    Case("an author of a domain without active key", "no-key", by(b"ann@quiet.test")),
    Case("an author in a subdomain", "no-key", by(b"ann@sub.sender.test")),
    Case("a return path in a domain of ours", "", wishes={"sender": "bounces@own.test"}),
    Case("a return path elsewhere", "sender-elsewhere", wishes={"sender": "ann@far.test"}),
    Case("two authors", "no-single-author", by(b"ann@sender.test, eve@sender.test")),
    Case("two From fields", "no-single-author", MAIL.replace(b"To:", b"From: x@sender.test\r\nTo:")),
    Case("no From field", "no-single-author", MAIL.replace(b"From:", b"Form:")),
    Case("a bare CR in the header", "malformed-header", MAIL.replace(b"hello", b"hel\rlo")),
    Case("a line that is no field", "malformed-header", MAIL.replace(b"To:", b"nonsense\r\nTo:")),
    Case("too large", "too-large", MAIL + b"x" * 2000),
]


@pytest.mark.threat("J38")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_what_is_signed(case: Case) -> None:
    desk = Desk(settings={"body-limit": "2KiB"})
    signed = desk.sign(case.content, **case.wishes)
    assert (signed.head + split(case.content)[1] == case.content) == bool(case.reason)
    assert set(desk.numbers.added) == {f"dkim_unsigned:{case.reason}" if case.reason else "dkim_signed"}


def test_a_subdomain_is_signed_with_the_key_above_where_it_is_wanted() -> None:
    desk = Desk(keys={"sender.test": DomainKeys(keys=(RSA,), subdomains=True, identity="@sender.test")})
    signed = desk.sign(by(b"ann@a.sub.sender.test"))
    assert checked(sent(signed)) == ["pass"]
    assert b"d=sender.test" in signed.head
    assert b"i=@sender.test" in signed.head


def test_next_hops_share_a_signature_for_some_minutes() -> None:
    body = b"Hi\r\n"
    desk = Desk(files=Files(body))
    content = Content(head=split(MAIL)[0], body=SpooledBody("x", len(body), 0))
    first = desk.sign(content)
    assert desk.sign(content).head == first.head
    assert desk.files.read == 1
    desk.sign(content, number=2)
    desk.now += 3600
    assert desk.sign(content).head != first.head
    assert desk.files.read == 3


def test_a_body_that_is_gone_is_a_fault_of_the_world() -> None:
    with pytest.raises(WorldFault):
        Desk().sign(Content(head=split(MAIL)[0], body=SpooledBody("x", 3, 0)))


AUTHORS = [
    (b"ann@sender.test", "sender.test"),
    (b"<ann@sender.test>", "sender.test"),
    (b"Ann <ann@SENDER.test>", "sender.test"),
    (b'"Ann, \\"the boss\\" <x@y>" <ann@sender.test>', "sender.test"),
    (b"=?utf-8?q?=C3=84nn?= <ann@sender.test> (Ann)", "sender.test"),
    (b'"a b"@sender.test', "sender.test"),
    ("ann@bücher.test".encode(), "xn--bcher-kva.test"),
    (b"ann@sender.test,", ""),
    (b"ann@legit.test <eve@sender.test>", ""),
    (b"<ann@sender.test> <eve@sender.test>", ""),
    (b"admin@sender.test,<x@attack.test>", ""),
    (b"<@a,@b:admin@sender.test>", ""),
    (b"friends: ann@sender.test;", ""),
    (b"ann@sender..test", ""),
    (b"ann", ""),
    (b"", ""),
    (b"a" * 3000 + b"@sender.test", ""),
]


@pytest.mark.parametrize(("value", "domain"), AUTHORS)
def test_the_only_author(value: bytes, domain: str) -> None:
    assert only_author_domain(value) == domain


# Sealing what passes through

RESULTS = b"Authentication-Results: mx.own.test; arc=none; spf=pass smtp.mailfrom=far.test\r\n"


def sealing(content: bytes, **wishes: Any) -> tuple[Content, set[str]]:
    desk = Desk()
    desk.signer = Signer(
        DkimSigning(),
        KEYS,
        accepted=AcceptedDomains({}),
        now=lambda: float(NOW),
        bodies=desk.files,
        body_path=lambda body: body.path,
        counters=desk.numbers,
        sealer=Sealer(key=RSA, own_names=("mx.own.test",), wanted=(b"from", b"to"), counters=desk.numbers),
    )
    return desk.sign(content, **wishes), set(desk.numbers.added)


STRANGER = {"authenticated": False, "sender": "ann@far.test"}


def test_a_stranger_s_mail_is_sealed_with_what_we_found_out() -> None:
    made, counted = sealing(RESULTS + MAIL, **STRANGER)
    assert counted == {"arc_sealed"}
    names = [name for name, _ in fields_of(made.head)]
    assert sealing(RESULTS.replace(b"mx.own", b"MX.Own") + MAIL, **STRANGER)[1] == {"arc_sealed"}
    assert names[:3] == [b"arc-seal", b"arc-message-signature", b"arc-authentication-results"]
    chain = read_chain(fields_of(made.head))
    hasher = BodyHasher([chain[-1].message.body_wish])
    hasher.feed(b"Hi\r\n")
    (hashed,) = hasher.finish().values()
    records = {name: (record,) for name, record in dns_of(RSA).items()}
    validate(chain, SignedFields(fields_of(made.head)), hashed, records)


SEALED_NOT = [
    ("no results of ours", RESULTS.replace(b"mx.own.test", b"mx.far.test"), "no-results"),
    ("a chain that cannot be read", RESULTS + b"ARC-Seal: i=1; cv=none\r\n", "chain-not-readable"),
]


@pytest.mark.parametrize(("more", "why"), [s[1:] for s in SEALED_NOT], ids=[s[0] for s in SEALED_NOT])
def test_what_is_not_sealed(more: bytes, why: str) -> None:
    made, counted = sealing(more + MAIL, **STRANGER)
    assert (made.head, counted) == (split(more + MAIL)[0], {f"arc_unsealed:{why}"})


def test_mail_of_ours_is_signed_and_not_sealed() -> None:
    made, counted = sealing(RESULTS + MAIL)
    assert counted == {"dkim_signed"}
    assert b"ARC-Seal" not in made.head
