"""The last thing done to a mail before it leaves: our DKIM signatures, over exactly the octets that are sent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from gatepost.config.dkim_settings import DkimSigning
from gatepost.delivery.sealing import Sealer
from gatepost.message.headers import Defect, HeaderIndex
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.content import Content, SpooledBody
from gatepost.model.envelope import BodyType
from gatepost.model.queued import QueuedMail
from gatepost.ports.bodies import BodyFiles
from gatepost.ports.log import Counters
from gatepost.protocol.outgoing import NewlineNormalizer, has_only_crlf
from gatepost.standards.dkim_author import only_author_domain
from gatepost.standards.dkim_canon import BodyHash, BodyHasher, BodyWish, SignedFields
from gatepost.standards.dkim_sign import SigningKey, dkim_signature, names_to_sign
from gatepost.standards.dkim_signature import fields_of

_WHOLE: Final = BodyWish(relaxed=True)
_KEPT_SIGNATURES: Final = 256
KEPT_S: Final = 600.0
_HARMLESS: Final = frozenset({Defect.NO_END})
"""A mail that is nothing but its headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainKeys:
    """The active keys of one domain, RSA first: who knows only one algorithm finds it."""

    keys: tuple[SigningKey, ...]
    identity: str = ""
    subdomains: bool = False


class Signer:
    """Signs mail of ours. One for each worker and configuration."""

    def __init__(
        self,
        settings: DkimSigning,
        keys: Mapping[str, DomainKeys],
        *,
        accepted: AcceptedDomains,
        now: Callable[[], float],
        bodies: BodyFiles,
        body_path: Callable[[SpooledBody], str],
        counters: Counters,
        sealer: Sealer | None = None,
    ) -> None:
        """keys: by domain in A-labels. accepted: our domains, of which return paths are ours.

        sealer: for mail of others; None: it leaves as it is.
        """
        self._settings = settings
        self._keys = keys
        self._accepted = accepted
        self._now = now
        self._bodies = bodies
        self._body_path = body_path
        self._counters = counters
        self._sealer = sealer
        self._wanted = wanted_fields(settings)
        self._oversigned = frozenset(name.lower().encode() for name in ("from", *settings.oversigned_fields))
        self._made: OrderedDict[int, tuple[float, bytes]] = OrderedDict()
        """Signatures by mail: recipients at several next hops share them."""

    async def sign(self, mail: QueuedMail, content: Content) -> Content:
        """The content with our signatures on top; as it is when it is not ours to sign.

        Raises WorldFault when the body cannot be read.
        """
        now = self._now()
        kept = self._made.get(mail.mail_id)
        if kept is not None and 0 <= now - kept[0] < KEPT_S:
            return replace(content, head=kept[1] + content.head)
        if self._sealer is not None and not _is_from_us(mail):
            made = await self._sealer.seal(content, int(now), partial(self._body_hash, mail, content.body))
            return self._with(mail, content, made, now) if made else content
        signer = self._signer_of(mail, content)
        if isinstance(signer, str):
            self._counters.add("dkim_unsigned", 1, reason=signer)
            return content
        body = await self._body_hash(mail, content.body)
        fields = SignedFields(fields_of(content.head))
        names = names_to_sign(fields, self._wanted, self._oversigned)
        made = b"".join(
            dkim_signature(
                key,
                fields,
                body,
                names=names,
                at=int(now),
                expires_at=int(now + self._settings.expiry_s),
                identity=signer.identity,
            )
            for key in signer.keys
        )
        self._counters.add("dkim_signed", 1)
        return self._with(mail, content, made, now)

    def _with(self, mail: QueuedMail, content: Content, made: bytes, now: float) -> Content:
        """The content with these fields on top, which are kept for other next hops."""
        self._made[mail.mail_id] = (now, made)
        if len(self._made) > _KEPT_SIGNATURES:
            self._made.popitem(last=False)
        return replace(content, head=made + content.head)

    def _signer_of(self, mail: QueuedMail, content: Content) -> DomainKeys | str:
        """Whose keys, or why none; the cheap questions first."""
        if not _is_from_us(mail):
            return "not-from-us"
        if not content.head.endswith(b"\r\n\r\n") and content.body:
            return "malformed-header"
        index = HeaderIndex.parse(content.head)
        if index.defects - _HARMLESS or not has_only_crlf(content.head):
            return "malformed-header"
        authors = index.all(b"from")
        domain = only_author_domain(authors[0]) if len(authors) == 1 else ""
        if not domain:
            return "no-single-author"
        keys = self._keys_of(domain)
        if keys is None or not keys.keys:
            return "no-key"
        if not self._is_ours(mail.sender.domain):
            return "sender-elsewhere"
        if content.size_bytes > self._settings.body_limit_bytes:
            return "too-large"
        return keys

    def _keys_of(self, domain: str) -> DomainKeys | None:
        found = self._keys.get(domain)
        parent = domain
        while found is None and "." in parent:
            parent = parent.partition(".")[2]
            above = self._keys.get(parent)
            if above is not None:
                return above if above.subdomains else None
        return found

    def _is_ours(self, sender_domain: str) -> bool:
        """Notices have no sender; else it is one of our domains, so that nobody signs for others."""
        return (
            not sender_domain or self._accepted.holds_own(sender_domain) or bool(self._keys_of(sender_domain))
        )

    async def _body_hash(self, mail: QueuedMail, body: bytes | SpooledBody) -> BodyHash:
        hasher = BodyHasher([_WHOLE])
        newlines = NewlineNormalizer()
        is_binary = mail.body_type is BodyType.BINARY_MIME  # it leaves by BDAT, octet by octet
        if isinstance(body, bytes):
            hasher.feed(body if is_binary else newlines.feed(body))
        else:
            async for piece in self._bodies.chunks(self._body_path(body)):
                hasher.feed(piece if is_binary else newlines.feed(piece))
        if not is_binary:
            hasher.feed(newlines.finish())
        return hasher.finish()[_WHOLE]


def _is_from_us(mail: QueuedMail) -> bool:
    return mail.authenticated or mail.is_notice


def wanted_fields(settings: DkimSigning) -> tuple[bytes, ...]:
    """The fields that are signed where they stand, in lower case, From first."""
    names = ("from", *settings.fields, *settings.oversigned_fields)
    return tuple(dict.fromkeys(name.lower().encode() for name in names))
