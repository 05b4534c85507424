"""Fact: whether a mail's ARC chain is intact, and whether somebody we trust sealed it (RFC 8617; threats J36, J37)."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.signed_content import content_of, find_keys, hash_body
from gatepost.message.headers import HeaderIndex, unfolded
from gatepost.model.fault import WorldFault
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.standards.arc import (
    NAMES,
    ArcSet,
    BrokenChain,
    UnansweredChain,
    key_names,
    read_chain,
    validate,
)
from gatepost.standards.dkim_canon import SignedFields
from gatepost.standards.dkim_signature import fields_of

PAYLOAD_LIMIT_CHARS: Final = 4000
REASON_LIMIT_CHARS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcResult:
    """The chain as a whole: it counts when it passes and a trusted domain sealed it, and not otherwise."""

    name: ClassVar[str] = "arc"

    result: str = "none"
    """none, pass or fail (RFC 8617 §4.4)."""
    sealers: tuple[str, ...] = ()
    """d= of each seal, newest first; proven only when the result is pass."""
    trusted_by: str = ""
    """The newest sealer where arc.trusted-sealers has it; "" when not, or when the chain does not pass."""
    payload: str = ""
    """What that sealer found out: its ARC-Authentication-Results without i=. Peer's text."""
    reason: str = ""


NO_CHAIN: Final = ArcResult()


def find_arc(mail: MailView, sources: Sources) -> ArcResult | Coroutine[Any, Any, ArcResult]:
    """At once for mail without a chain; else a coroutine, which raises WorldFault when body or keys are silent."""
    if HeaderIndex.parse(mail.head).has_none_of(NAMES):
        return NO_CHAIN
    return _find(mail, sources)


async def _find(mail: MailView, sources: Sources) -> ArcResult:
    content = content_of(mail)
    raw = fields_of(content.head)
    chain: tuple[ArcSet, ...] = ()
    try:
        chain = read_chain(raw)
        if not chain:
            return NO_CHAIN
        if content.size_bytes > sources.dkim.body_limit_bytes:
            raise BrokenChain("the mail is larger than dkim.body-limit")
        keys = await find_keys(key_names(chain), sources.resolver, timeout_s=sources.lookup_timeout_s)
        wish = chain[-1].message.body_wish
        hashes = await hash_body(content.body, [wish], sources.bodies)
        validate(chain, SignedFields(raw), hashes[wish], keys, low_bits=sources.dkim.minimum_key_bits)
    except UnansweredChain as unanswered:
        raise WorldFault(str(unanswered)) from None
    except BrokenChain as broken:
        return ArcResult(result="fail", sealers=_sealers(chain), reason=str(broken)[:REASON_LIMIT_CHARS])
    return _intact(chain, frozenset(name.lower() for name in sources.arc.trusted_sealers))


def _intact(chain: tuple[ArcSet, ...], trusted: frozenset[str]) -> ArcResult:
    """Only the newest sealer's word is taken: whoever sealed above a trusted one could have changed the mail (§9.3)."""
    newest = chain[-1]
    # With l= anybody can have written what stands behind (threats J14).
    believed = newest.seal.domain in trusted and newest.message.body_wish.length is None
    return ArcResult(
        result="pass",
        sealers=_sealers(chain),
        trusted_by=newest.seal.domain if believed else "",
        payload=_payload(newest.results) if believed else "",
    )


def _sealers(chain: tuple[ArcSet, ...]) -> tuple[str, ...]:
    return tuple(one.seal.domain for one in reversed(chain))


def _payload(results: bytes) -> str:
    value = unfolded(results.partition(b":")[2]).partition(b";")[2]
    return value.decode("utf-8", "replace").strip()[:PAYLOAD_LIMIT_CHARS]


def gatherer(sources: Sources) -> Gathering:
    """Begun as soon as the headers are known; needed at the end of the mail."""
    return Gathering(
        fact=ArcResult,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_HEADERS,
        find=lambda mail: find_arc(mail, sources),
        waits=True,
    )
