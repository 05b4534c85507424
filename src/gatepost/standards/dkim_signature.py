"""A DKIM-Signature field, read: what it says, or why it says nothing (RFC 6376 §3.5, RFC 8463, RFC 8616)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gatepost.message.headers import name_of, raw_fields
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import canonical_domain
from gatepost.standards.dkim_canon import BodyWish, SignedFields
from gatepost.standards.tag_list import BadTagList, base64_of, list_of, number_of, parse_tags, without_blanks

SIGNED_FIELDS_LIMIT: Final = 500
SIGNATURE_FIELD_LIMIT_BYTES: Final = 32 * 1024
NAME_LIMIT_CHARS: Final = 253
_FIELD_NAME: Final = re.compile(r"[!-9<-~]{1,200}")
_HOST_LABELS: Final = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_BODY_FORMS: Final = {"simple": False, "relaxed": True}
SHOWN_LIMIT_CHARS: Final = 253
REMEMBERED_CHARS: Final = 1000


class Unusable(Exception):
    """A signature that nobody needs to compute. result: as RFC 8601 §2.7.1 names it."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature that is well-formed. field: itself, as it stands in the mail."""

    field: bytes
    algorithm: str
    """"rsa-sha256" or "ed25519-sha256"."""
    signature: bytes
    body_hash: bytes
    relaxed_header: bool
    relaxed_body: bool
    domain: str
    """d= as lower-case A-labels."""
    selector: str
    identity: str
    """i=, or "@" and the domain."""
    names: tuple[bytes, ...]
    """h= in lower case, in its order."""
    length: int | None = None
    """l=: how much of the canonical body is signed; None: all of it."""
    signed_at: int | None = None
    expires_at: int | None = None
    signature_start: str = ""
    """The first 8 characters of b= (RFC 6008)."""

    @property
    def body_wish(self) -> BodyWish:
        """Which hash of the body it needs."""
        return BodyWish(self.relaxed_body, self.length)

    @property
    def key_name(self) -> str:
        """Where its key is published."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def identity_domain(self) -> str:
        """The domain of i=."""
        return self.identity.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A signature that cannot be used, and what could be read of it for the report."""

    result: str
    reason: str
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    signature_start: str = ""


def fields_of(head: bytes) -> list[tuple[bytes, bytes]]:
    """(name in lower case, the field with its CR LF) from the top down, for signatures to pick from."""
    fields = [(name_of(raw), raw) for raw in raw_fields(head)]
    if fields and not fields[-1][1].endswith(b"\r\n"):
        name, raw = fields[-1]
        fields[-1] = (name, raw + b"\r\n")
    return fields


def read_signature(field: bytes) -> Signature | Broken:
    """Read one DKIM-Signature field. Takes any bytes, raises nothing."""
    if len(field) > SIGNATURE_FIELD_LIMIT_BYTES:
        return Broken(
            result="permerror", reason=f"the field is larger than {SIGNATURE_FIELD_LIMIT_BYTES} octets"
        )
    try:
        tags = parse_tags(field.partition(b":")[2])
    except BadTagList as error:
        return Broken(result="permerror", reason=str(error))
    try:
        return _read(field, tags)
    except Unusable as unusable:
        return _broken(tags, unusable.result, unusable.reason)
    except BadTagList as error:
        return _broken(tags, "permerror", str(error))


def _broken(tags: dict[str, str], result: str, reason: str) -> Broken:
    """What it says of itself is shown only where it can be shown: it names nobody else (threats J12)."""
    try:
        domain = domain_of(tags, "d")
        selector = domain_of(tags, "s")
    except BadTagList:
        domain = selector = ""
    return Broken(
        result=result,
        reason=reason,
        domain=domain,
        selector=selector,
        identity=f"@{domain}" if domain else "",
        algorithm=without_blanks(tags.get("a", ""))[:40].lower() if tags.get("a", "").isprintable() else "",
        signature_start=signature_start(tags),
    )


def signature_start(tags: dict[str, str]) -> str:
    """The first 8 characters of b=, by which reports tell signatures apart (RFC 6008)."""
    start = without_blanks(tags.get("b", ""))[:8]
    return start if re.fullmatch(r"[A-Za-z0-9+/=]*", start) else ""


def _read(field: bytes, tags: dict[str, str]) -> Signature:
    if tags.get("v") != "1":
        raise BadTagList("v= is not 1" if "v" in tags else "v= is missing")
    algorithm = algorithm_of(tags)
    domain, selector = domain_of(tags, "d"), domain_of(tags, "s")
    names = names_of(tags)
    if b"from" not in names:
        raise BadTagList("h= does not name From")
    methods = list_of(tags.get("q", "dns/txt"))
    if "dns/txt" not in methods:
        raise Unusable("neutral", "q= names no way to its key that we know")
    relaxed_header, relaxed_body = forms_of(tags)
    signed_at, expires_at = number_of(tags, "t"), number_of(tags, "x")
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise BadTagList("x= is not later than t=")
    if len(selector) + len(domain) + len("._domainkey.") > NAME_LIMIT_CHARS:
        raise BadTagList("the name of its key is too long")
    return Signature(
        field=field,
        algorithm=algorithm,
        signature=base64_of(tags, "b"),
        body_hash=base64_of(tags, "bh"),
        relaxed_header=relaxed_header,
        relaxed_body=relaxed_body,
        domain=domain,
        selector=selector,
        identity=_identity_of(tags, domain),
        names=names,
        length=number_of(tags, "l", digits=76),
        signed_at=signed_at,
        expires_at=expires_at,
        signature_start=signature_start(tags),
    )


def algorithm_of(tags: dict[str, str]) -> str:
    """a=. Raises BadTagList when it is missing, Unusable for SHA-1 (RFC 8301 §3.1) and what we do not know."""
    if "a" not in tags:
        raise BadTagList("a= is missing")
    algorithm = tags["a"].lower()
    if algorithm == "rsa-sha1":
        raise Unusable("policy", "rsa-sha1 proves nothing any more (RFC 8301)")
    if algorithm not in ("rsa-sha256", "ed25519-sha256"):
        raise Unusable("neutral", "a= is an algorithm that we do not know")
    return algorithm


def forms_of(tags: dict[str, str]) -> tuple[bool, bool]:
    """c=: whether header and body are in relaxed form. Raises Unusable."""
    header, _, body = tags.get("c", "simple").lower().partition("/")
    header, body = header.strip(" \t"), body.strip(" \t") or "simple"
    if header not in _BODY_FORMS or body not in _BODY_FORMS:
        raise Unusable("neutral", "c= is a canonical form that we do not know")
    return _BODY_FORMS[header], _BODY_FORMS[body]


def names_of(tags: dict[str, str]) -> tuple[bytes, ...]:
    """h= in lower case. Raises BadTagList."""
    text = tags.get("h")
    if not text:
        raise BadTagList("h= is missing or empty")
    return _remembered_names(text) if len(text) <= REMEMBERED_CHARS else _names(text)


def _names(text: str) -> tuple[bytes, ...]:
    names = list_of(text)
    if len(names) > SIGNED_FIELDS_LIMIT:
        raise BadTagList(f"h= names more than {SIGNED_FIELDS_LIMIT} fields")
    if not all(_FIELD_NAME.fullmatch(name) for name in names):
        raise BadTagList("h= is no list of field names")
    return tuple(name.lower().encode("ascii") for name in names)


_remembered_names = lru_cache(maxsize=1024)(_names)
"""A signer writes the same list into each of its mails."""


def domain_of(tags: dict[str, str], name: str) -> str:
    """d= or s= as lower-case A-labels. Raises BadTagList."""
    if not tags.get(name):
        raise BadTagList(f"{name}= is missing or empty")
    return host_name(tags[name], f"{name}=")


def host_name(text: str, what: str) -> str:
    """Raises BadTagList when it is no domain name, before anybody asks the DNS for it."""
    return _remembered_name(text, what) if len(text) <= NAME_LIMIT_CHARS else _host_name(text, what)


def _host_name(text: str, what: str) -> str:
    domain = text.lower()
    if not domain.isascii():
        try:
            domain = canonical_domain(text)
        except PeerFault:
            raise BadTagList(f"{what} is no domain name") from None
    if len(domain) > NAME_LIMIT_CHARS or not _HOST_LABELS.fullmatch(domain):
        raise BadTagList(f"{what} is no domain name")
    return domain


_remembered_name = lru_cache(maxsize=4096)(_host_name)


def _identity_of(tags: dict[str, str], domain: str) -> str:
    """i=, whose domain is d= or below it (§3.5)."""
    identity = tags.get("i", "")
    if not identity:
        if "i" in tags:
            raise BadTagList("i= is empty")
        return f"@{domain}"
    local, at, host = identity.rpartition("@")
    if not at:
        raise BadTagList("i= is no address")
    host = host_name(without_blanks(host), "i=")
    if host != domain and not host.endswith("." + domain):
        raise BadTagList("the domain of i= is not d= nor below it")
    shown = local if local.isprintable() and not set(local) & set('<>()";, ') else ""
    return f"{shown[:64]}@{host}"


def considered(
    fields: Sequence[tuple[bytes, bytes]], *, author_domains: Sequence[str], limit: int
) -> tuple[list[Signature | Broken], int]:
    """The signatures to look at, those in line with an author first, and how many there are beyond the limit (J13)."""
    found = [raw for name, raw in fields if name == b"dkim-signature"]
    read = [read_signature(raw) for raw in found[: max(limit * 10, limit)]]
    read.sort(key=lambda signature: not _is_aligned(signature.domain, author_domains))
    return read[:limit], max(0, len(found) - limit)


def _is_aligned(domain: str, author_domains: Sequence[str]) -> bool:
    """Roughly: the same domain, or one below the other."""
    return bool(domain) and any(
        author == domain or author.endswith("." + domain) or domain.endswith("." + author)
        for author in author_domains
    )


def oversigned_names(signature: Signature, fields: SignedFields) -> tuple[str, ...]:
    """Fields that h= names more often than they stand: nobody can add one unnoticed."""
    seen = dict.fromkeys(signature.names)
    return tuple(n.decode() for n in seen if signature.names.count(n) > fields.count(n))
