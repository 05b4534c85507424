"""Sealing: one more ARC set on top of a mail, which says what we found out about it (RFC 8617 §5.1)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Final

from gatepost.message.headers import HeaderIndex
from gatepost.standards.arc import SETS_LIMIT, ArcSet
from gatepost.standards.dkim_canon import BodyHash, SignedFields, relaxed_field
from gatepost.standards.dkim_sign import SigningKey
from gatepost.standards.results_reading import read_results

_RESULTS_LIMIT_CHARS: Final = 8000


def own_results(head: bytes, authserv_id: str) -> str:
    """What our Authentication-Results fields say, ours alone, as one; "" when there is none.

    Nobody else can have written them: the header firewall takes such fields away at the door.
    """
    found = []
    for value in HeaderIndex.parse(head).all(b"authentication-results"):
        name, _, results = value.decode("utf-8", "replace").partition(";")
        if name.strip(" \t").lower() == authserv_id.lower() and results.strip():
            found.append(results.strip())
    joined = "; ".join(found)
    return f"{authserv_id}; {joined}" if found and len(joined) <= _RESULTS_LIMIT_CHARS else ""


def chain_word(results: str, chain: Sequence[ArcSet]) -> str:
    """cv= of our seal: what we found out of the chain when it came in; "" when that is not known."""
    if not chain:
        return "none"
    words = {one.result for one in read_results(results).of("arc")}
    return words.pop() if words in ({"pass"}, {"fail"}) else ""


def sealed_set(
    key: SigningKey,
    chain: Sequence[ArcSet],
    fields: SignedFields,
    body: BodyHash,
    *,
    results: str,
    names: Sequence[bytes],
    at: int,
) -> bytes:
    """Our set's three fields with their CR LFs, the seal first; b"" when none may be added.

    body: whole, in relaxed form. names: h=. At the limit of sets, and where cv= is not known, nothing is sealed.
    """
    word = chain_word(results, chain)
    number = len(chain) + 1
    if not word or number > SETS_LIMIT or (chain and chain[-1].chain == "fail"):
        return b""
    common = {"i": str(number), "a": key.algorithm, "d": key.domain, "s": key.selector, "t": str(at)}
    found = f"ARC-Authentication-Results: i={number}; {results}\r\n".encode()
    tags = {
        **common,
        "c": "relaxed/relaxed",
        "h": ":".join(name.decode("ascii") for name in names),
        "bh": base64.b64encode(body.digest).decode(),
    }
    message = _signed(key, "ARC-Message-Signature", tags, fields.picked(names, relaxed=True))
    older = chain if word != "fail" else ()  # §5.1.2: a broken chain is not sealed over
    before = b"".join(
        relaxed_field(one.results) + relaxed_field(one.message.field) + relaxed_field(one.seal.field)
        for one in older
    )
    before += relaxed_field(found) + relaxed_field(message)
    return _signed(key, "ARC-Seal", {**common, "cv": word}, before) + message + found


def _signed(key: SigningKey, name: str, tags: Mapping[str, str], before: bytes) -> bytes:
    """A field whose b= is over `before` and itself in relaxed form; tags by name, b= on one line."""
    text = ";\r\n\t".join(f"{tag}={value}" for tag, value in sorted({**tags, "b": ""}.items()))
    empty = f"{name}: {text}".encode()
    made = base64.b64encode(key.sign(before + relaxed_field(empty).removesuffix(b"\r\n")))
    return empty.replace(b"\tb=;", b"\tb=" + made + b";", 1) + b"\r\n"
