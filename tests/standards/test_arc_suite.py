"""The public suite of ARC chains: what is intact there is intact here, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from tests.standards.dkim_corpus import crlf, folder, records_of

from gatepost.message.headers import split
from gatepost.standards.arc import BrokenChain, key_names, read_chain, validate
from gatepost.standards.dkim_canon import BodyHasher, SignedFields
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
