"""ARC chains (RFC 8617): what the sets of a mail say, and whether they are in order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gatepost.standards.dkim import NoAnswer
from gatepost.standards.dkim_canon import BodyHash, BodyWish, SignedFields, relaxed_field, unsigned_form
from gatepost.standards.dkim_key import RSA_LOW_BITS, BadKey, usable_keys
from gatepost.standards.dkim_signature import (
    SIGNATURE_FIELD_LIMIT_BYTES,
    Unusable,
    algorithm_of,
    domain_of,
    forms_of,
    names_of,
)
from gatepost.standards.tag_list import BadTagList, base64_of, number_of, parse_tags

SETS_LIMIT: Final = 50  # RFC 8617 §4.2.1
SEAL: Final = b"arc-seal"
MESSAGE_SIGNATURE: Final = b"arc-message-signature"
RESULTS: Final = b"arc-authentication-results"
NAMES: Final = frozenset({SEAL, MESSAGE_SIGNATURE, RESULTS})
_INSTANCE: Final = re.compile(rb"[ \t\r\n]*i[ \t\r\n]*=[ \t\r\n]*([0-9]{1,4})[ \t\r\n]*;")
_CHAIN_WORDS: Final = frozenset({"none", "fail", "pass"})

Records = Mapping[str, "Sequence[bytes] | NoAnswer"]


class BrokenChain(Exception):
    """The chain proves nothing; the message says why."""


class UnansweredChain(BrokenChain):
    """Whether it proves anything is unknown: the DNS did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A seal or a message signature, read."""

    field: bytes
    algorithm: str
    domain: str
    selector: str
    signature: bytes

    @property
    def key_name(self) -> str:
        """Where its key is published."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSignature(Signed):
    """An ARC-Message-Signature: a DKIM signature without v= and i=."""

    body_hash: bytes
    names: tuple[bytes, ...]
    relaxed_header: bool
    body_wish: BodyWish


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcSet:
    """One set: what a handler found out, over what, and its seal."""

    instance: int
    results: bytes
    """ARC-Authentication-Results as it stands."""
    message: MessageSignature
    seal: Signed
    chain: str
    """cv= of the seal."""


def read_chain(fields: Sequence[tuple[bytes, bytes]]) -> tuple[ArcSet, ...]:
    """The sets of a mail, oldest first; none when it has no ARC field. Raises BrokenChain (§5.2 steps 1-3)."""
    chain = read_sets(fields)
    for one in chain:
        if one.chain == "fail":
            raise BrokenChain(f"the seal of set {one.instance} says that it was broken before")
        if (one.chain == "none") != (one.instance == 1):
            raise BrokenChain(f"cv= of set {one.instance} is {one.chain}")
    return chain


def read_sets(fields: Sequence[tuple[bytes, bytes]]) -> tuple[ArcSet, ...]:
    """As read_chain, whatever the seals say of the chain. Raises BrokenChain when sets are not complete."""
    by_instance: dict[int, dict[bytes, bytes]] = {}
    for name, raw in fields:
        if name not in NAMES:
            continue
        if len(raw) > SIGNATURE_FIELD_LIMIT_BYTES:
            raise BrokenChain("a field of it is too large")
        instance = _instance_of(name, raw)
        if name in by_instance.setdefault(instance, {}):
            raise BrokenChain(f"set {instance} has two fields of a kind")
        by_instance[instance][name] = raw
    if not by_instance:
        return ()
    if sorted(by_instance) != list(range(1, len(by_instance) + 1)):
        raise BrokenChain("the numbers of its sets have gaps")
    for instance, one in by_instance.items():
        if len(one) != len(NAMES):
            raise BrokenChain(f"set {instance} is not complete")
    return tuple(_read_set(number, by_instance[number]) for number in range(1, len(by_instance) + 1))


def parse_chain_word(seal: bytes) -> str:
    """cv= of a seal. Raises BrokenChain when it is no tag list or has none of the words."""
    word = _tags(seal).get("cv", "").lower()
    if word not in _CHAIN_WORDS:
        raise BrokenChain("cv= of a seal is none of none, fail, pass")
    return word


def _instance_of(name: bytes, raw: bytes) -> int:
    value = raw.partition(b":")[2]
    if name == RESULTS:
        match = _INSTANCE.match(value)
        number = int(match[1]) if match else 0
    else:
        try:
            number = number_of(_tags(raw), "i", digits=4) or 0
        except BadTagList as error:
            raise BrokenChain(str(error)) from None
    if not 1 <= number <= SETS_LIMIT:
        raise BrokenChain(f"i= of a set is none of 1 to {SETS_LIMIT}")
    return number


def _tags(raw: bytes) -> dict[str, str]:
    try:
        return parse_tags(raw.partition(b":")[2])
    except BadTagList as error:
        raise BrokenChain(f"a field of it is malformed: {error}") from None


def _read_set(number: int, one: Mapping[bytes, bytes]) -> ArcSet:
    try:
        message = _read_message(one[MESSAGE_SIGNATURE])
        seal = _read_seal(one[SEAL])
    except (BadTagList, Unusable) as error:
        raise BrokenChain(f"set {number}: {error}") from None
    chain = parse_chain_word(one[SEAL])
    return ArcSet(instance=number, results=one[RESULTS], message=message, seal=seal, chain=chain)


def _read_seal(field: bytes) -> Signed:
    tags = _tags(field)
    if "h" in tags:
        raise BadTagList("a seal has no h=")  # §4.1.3: it MUST fail
    if "t" in tags:
        number_of(tags, "t")
    return Signed(
        field=field,
        algorithm=algorithm_of(tags),
        domain=domain_of(tags, "d"),
        selector=domain_of(tags, "s"),
        signature=base64_of(tags, "b"),
    )


def _read_message(field: bytes) -> MessageSignature:
    tags = _tags(field)
    names = names_of(tags)
    if SEAL in names:
        raise BadTagList("h= names ARC-Seal")  # §4.1.2
    if b"from" not in names:
        raise BadTagList("h= does not name From")  # RFC 6376 §5.4: else anybody can change who wrote it
    if "t" in tags:
        number_of(tags, "t")
    relaxed_header, relaxed_body = forms_of(tags)
    return MessageSignature(
        field=field,
        algorithm=algorithm_of(tags),
        domain=domain_of(tags, "d"),
        selector=domain_of(tags, "s"),
        signature=base64_of(tags, "b"),
        body_hash=base64_of(tags, "bh"),
        names=names,
        relaxed_header=relaxed_header,
        body_wish=BodyWish(relaxed_body, number_of(tags, "l", digits=76)),
    )


def key_names(chain: Sequence[ArcSet]) -> tuple[str, ...]:
    """Of everything that validation checks: the newest message signature and every seal."""
    return (chain[-1].message.key_name, *(one.seal.key_name for one in chain))


def validate(
    chain: Sequence[ArcSet],
    fields: SignedFields,
    body: BodyHash,
    records: Records,
    *,
    low_bits: int = RSA_LOW_BITS,
) -> None:
    """Check a chain of one or more sets (§5.2 steps 4-6). Raises BrokenChain.

    body: as the newest message signature wishes. Of that one and of every seal the key is asked for.
    """
    newest = chain[-1].message
    if fields.count(b"from") > newest.names.count(b"from"):
        raise BrokenChain("a From field is not signed by the newest set")
    if newest.body_wish.length is not None and newest.body_wish.length > body.size_bytes:
        raise BrokenChain("l= of the newest signature is larger than the body")
    if newest.body_hash != body.digest:
        raise BrokenChain("the body was changed after the newest set")
    data = fields.picked(newest.names, relaxed=newest.relaxed_header)
    data += unsigned_form(newest.field, relaxed=newest.relaxed_header)
    _prove(newest, data, records, "the newest message signature", low_bits)
    for one in reversed(chain):
        data = sealed_before(chain[: one.instance]) + unsigned_form(one.seal.field, relaxed=True)
        _prove(one.seal, data, records, f"the seal of set {one.instance}", low_bits)


def sealed_before(chain: Sequence[ArcSet]) -> bytes:
    """What the newest seal is over, but for itself (§5.1.1)."""
    older = b"".join(
        relaxed_field(one.results) + relaxed_field(one.message.field) + relaxed_field(one.seal.field)
        for one in chain[:-1]
    )
    return older + relaxed_field(chain[-1].results) + relaxed_field(chain[-1].message.field)


def _prove(signed: Signed, data: bytes, records: Records, what: str, low_bits: int) -> None:
    answer = records[signed.key_name]
    if isinstance(answer, NoAnswer):
        raise UnansweredChain(f"{what}: {answer.reason}")
    try:
        keys = usable_keys(answer, signed.algorithm, low_bits=low_bits)
    except BadKey as bad:
        raise BrokenChain(f"{what}: {bad.reason}") from None
    if not any(key.proves(signed.signature, data) for key in keys):
        raise BrokenChain(f"{what} is wrong")
