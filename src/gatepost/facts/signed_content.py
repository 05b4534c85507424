"""What signatures are checked against: the keys the DNS has, all asked for at once, and the body's hashes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Final

from gatepost.message.headers import HeaderIndex
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.known import MailView
from gatepost.ports.bodies import SpooledBodies
from gatepost.ports.resolver import Resolver
from gatepost.standards.dkim import NoAnswer
from gatepost.standards.dkim_canon import BodyHash, BodyHasher, BodyWish

_DOMAIN: Final = re.compile(rb"@([A-Za-z0-9._-]{1,253})")
_AUTHORS_LIMIT: Final = 20
_FROM_LIMIT_BYTES: Final = 8192

Keys = Mapping[str, "tuple[bytes, ...] | NoAnswer"]
"""What is published under each name."""


def content_of(mail: MailView) -> Content:
    """What signatures were made over: the mail as received, before our header firewall.

    Raises WorldFault when there is no content, as when an old mail is judged again by its facts alone.
    """
    if mail.content is None:
        raise WorldFault("the content is not there")
    return mail.content


def author_domains(head: bytes) -> tuple[str, ...]:
    """Whatever may be an author's domain, to look at the right signatures first; a guess, nothing is proven by it."""
    values = HeaderIndex.parse(head).all(b"from")
    found = [m for value in values[:2] for m in _DOMAIN.findall(value[:_FROM_LIMIT_BYTES])]
    return tuple(domain.decode("ascii").lower() for domain in found[:_AUTHORS_LIMIT])


async def find_keys(names: Iterable[str], resolver: Resolver, *, timeout_s: float) -> Keys:
    """Each name is asked once, all at the same time."""
    asked = tuple(dict.fromkeys(names))
    if len(asked) == 1:  # the usual case, which needs no task
        return {asked[0]: await _records(asked[0], resolver, timeout_s)}
    answers = await asyncio.gather(*(_records(name, resolver, timeout_s) for name in asked))
    return dict(zip(asked, answers, strict=True))


async def _records(name: str, resolver: Resolver, timeout_s: float) -> tuple[bytes, ...] | NoAnswer:
    try:
        return await resolver.texts(name, timeout_s=timeout_s)
    except PeerFault:
        return ()
    except WorldFault as fault:
        return NoAnswer(f"its key could not be looked up: {fault.reason}"[:200])


async def hash_body(
    body: bytes | SpooledBody, wishes: Iterable[BodyWish], bodies: SpooledBodies | None
) -> dict[BodyWish, BodyHash]:
    """The hashes that signatures ask for, in one pass. Raises WorldFault when a spooled body cannot be read."""
    hasher = BodyHasher(wishes)
    if isinstance(body, bytes):
        hasher.feed(body)
    elif bodies is None:
        raise WorldFault("the body cannot be read here")
    else:
        async for piece in bodies.pieces(body):
            hasher.feed(piece)
    return hasher.finish()
