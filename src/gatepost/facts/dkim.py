"""Fact: what came of each DKIM signature of a mail (RFC 6376; threats J12-J24)."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.signed_content import Keys, author_domains, content_of, find_keys, hash_body
from gatepost.message.headers import HeaderIndex
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.standards.dkim import Checked, Terms, check
from gatepost.standards.dkim_canon import BodyHash, BodyWish, SignedFields
from gatepost.standards.dkim_signature import Broken, Signature, considered, fields_of

REASON_LIMIT_CHARS: Final = 200
SIGNED_FIELDS_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimSignature:
    """One signature. result: pass, fail, neutral, none, policy, temperror or permerror (RFC 8601 §2.7.1)."""

    result: str
    domain: str = ""
    """d= in A-labels; "" when it could not be read."""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    key_bits: int = 0
    testing: bool = False
    """The key's t=y: the domain only tries DKIM out."""
    covers_whole_body: bool = False
    """It passes and has no l=: nothing can have been added behind what was signed."""
    signed_fields: tuple[str, ...] = ()
    oversigned_fields: tuple[str, ...] = ()
    """Those that nobody can add unnoticed."""
    reason: str = ""
    signature_start: str = ""
    """The first 8 characters of b= (RFC 6008)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimResults:
    """All signatures that were looked at, those in line with an author first."""

    name: ClassVar[str] = "dkim"

    signatures: tuple[DkimSignature, ...] = ()
    left_out: int = 0
    """Signatures beyond dkim.signatures, which nobody looked at."""


NOT_SIGNED: Final = DkimResults()


def find_dkim(mail: MailView, sources: Sources) -> DkimResults | Coroutine[Any, Any, DkimResults]:
    """At once for mail without signatures; else a coroutine, which raises WorldFault without the body."""
    if not HeaderIndex.parse(mail.head).count(b"dkim-signature"):
        return NOT_SIGNED
    return _find(mail, sources)


async def _find(mail: MailView, sources: Sources) -> DkimResults:
    content, limits = content_of(mail), sources.dkim
    raw = fields_of(content.head)
    read, left_out = considered(raw, author_domains=author_domains(content.head), limit=limits.signatures)
    whole = [one for one in read if isinstance(one, Signature)]
    if content.size_bytes > limits.body_limit_bytes:
        too_large = Checked(result="neutral", reason="the mail is larger than dkim.body-limit")
        return DkimResults(signatures=tuple(_told(one, too_large) for one in read), left_out=left_out)
    keys = await find_keys(
        (one.key_name for one in whole), sources.resolver, timeout_s=sources.lookup_timeout_s
    )
    hashes = await hash_body(content.body, {one.body_wish for one in whole}, sources.bodies) if whole else {}
    terms = Terms(now=mail.now, clock_skew_s=limits.clock_skew_s, low_bits=limits.minimum_key_bits)
    fields = SignedFields(raw)
    return DkimResults(
        signatures=tuple(_told(one, _checked(one, fields, hashes, keys, terms)) for one in read),
        left_out=left_out,
    )


def _checked(
    read: Signature | Broken, fields: SignedFields, hashes: dict[BodyWish, BodyHash], keys: Keys, terms: Terms
) -> Checked:
    if isinstance(read, Broken):
        return Checked(result=read.result, reason=read.reason)
    return check(read, fields, hashes[read.body_wish], keys[read.key_name], terms)


def _told(read: Signature | Broken, checked: Checked) -> DkimSignature:
    names, reason = (read.names, checked.reason) if isinstance(read, Signature) else ((), read.reason)
    return DkimSignature(
        result=read.result if isinstance(read, Broken) else checked.result,
        domain=read.domain,
        selector=read.selector,
        identity=read.identity,
        algorithm=read.algorithm,
        key_bits=checked.key_bits,
        testing=checked.testing,
        covers_whole_body=checked.covers_whole_body,
        signed_fields=tuple(name.decode("ascii") for name in names[:SIGNED_FIELDS_SHOWN]),
        oversigned_fields=checked.oversigned,
        reason=reason[:REASON_LIMIT_CHARS],
        signature_start=read.signature_start,
    )


def gatherer(sources: Sources) -> Gathering:
    """Begun as soon as the headers are known, where all of the mail is there already; needed at its end."""
    return Gathering(
        fact=DkimResults,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_HEADERS,
        find=lambda mail: find_dkim(mail, sources),
        waits=True,
        own_questions=sources.dkim.signatures,
    )
