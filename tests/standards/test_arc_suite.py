"""The public suite of ARC chains: what is intact there is intact here, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from tests.standards.dkim_corpus import crlf, folder, records_of

from gatepost.message.headers import split
from gatepost.standards.arc import BrokenChain, key_names, read_chain, read_sets, validate
from gatepost.standards.arc_seal import own_results, sealed_set
from gatepost.standards.dkim_canon import BodyHasher, BodyWish, SignedFields
from gatepost.standards.dkim_sign import SigningKey, load_key
from gatepost.standards.dkim_signature import fields_of

EXCLUDED = {
    "ams_fields_c_na": "RFC 6376 §3.5: c= is OPTIONAL, default is simple/simple; the suite takes relaxed/relaxed",
    "ams_fields_h_empty": "RFC 6376 §3.5: the value of h= MUST NOT be empty",
    "ams_fields_h_mis_hdr": 'RFC 6376 §3.5: sig-h-tag = hdr-name *( ":" hdr-name ), no empty names',
}
"""Cases that pass upstream and fail here, and the RFC's words."""


def verdict(message: bytes, dns: dict[str, bytes]) -> tuple[str, str]:
    head, body = split(message)
    raw = fields_of(head)
    try:
        chain = read_chain(raw)
        if not chain:
            return "none", ""
        hasher = BodyHasher([chain[-1].message.body_wish])
        hasher.feed(body)
        (hashed,) = hasher.finish().values()
        records = {name: records_of(dns, name) for name in key_names(chain)}
        validate(chain, SignedFields(raw), hashed, records)
    except BrokenChain as broken:
        return "fail", str(broken)
    return "pass", ""


def scenarios(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((folder("arc") / name).read_text("utf-8")))


def dns_of(scenario: dict[str, Any]) -> dict[str, bytes]:
    records = scenario.get("txt-records") or {}
    return {name: "".join(text.split("\n")).encode() for name, text in records.items()}


@pytest.mark.threat("J36")
def test_chains() -> None:
    wrong, count = [], 0
    for scenario in scenarios("arc-draft-validation-tests.yml"):
        for name, case in scenario["tests"].items():
            count += 1
            # "" means that the suite expects no answer: the chain says itself that it is broken
            said = "none" if case["cv"] is None else case["cv"].lower() or "fail"
            wanted = "fail" if name in EXCLUDED else said
            found, reason = verdict(crlf(case["message"].encode()), dns_of(scenario))
            if found != wanted:
                wrong.append(f"{name}: {wanted} there, {found} here ({reason}): {case['description']}")
    assert not wrong, "\n".join(wrong)
    assert count == 171


def test_sealing() -> None:
    wrong, count = [], 0
    for scenario in scenarios("arc-draft-sign-tests.yml"):
        key = SigningKey(scenario["domain"], scenario["sel"], load_key(scenario["privatekey"].encode()))
        for name, case in scenario["tests"].items():
            count += 1
            made = sealed(crlf(case["message"].encode()), key, case)
            for field, tag in (("AS", b"arc-seal"), ("AMS", b"arc-message-signature")):
                if made.get(tag, {}) != tags_in(case[field]):
                    wrong.append(f"{name}: {field}: {tags_in(case[field])} there, {made.get(tag)} here")
    assert not wrong, "\n".join(wrong)
    assert count == 17


def sealed(message: bytes, key: SigningKey, case: dict[str, Any]) -> dict[bytes, dict[str, str]]:
    head, body = split(message)
    raw = fields_of(head)
    hasher = BodyHasher([BodyWish(relaxed=True)])
    hasher.feed(body)
    (hashed,) = hasher.finish().values()
    made = sealed_set(
        key,
        read_sets(raw),
        SignedFields(raw),
        hashed,
        results=own_results(head, case["srv-id"]),
        names=case["sig-headers"].encode().split(b":"),
        at=case["t"],
    )
    return {name: tags_in(field.partition(b":")[2].decode()) for name, field in fields_of(made)[:2]}


def tags_in(text: str) -> dict[str, str]:
    if not text.strip():
        return {}
    pairs = (tag.partition("=") for tag in "".join(text.split()).split(";"))
    return {name: value for name, _, value in pairs if name}
