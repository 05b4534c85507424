"""Aggregate reports we write: readable by our own reader, and in the shape of the schema of RFC 9990."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shared_data import ABSENT, SHARED

from gatepost.standards.dmarc_report import read_aggregate
from gatepost.standards.dmarc_report_writing import (
    NAMESPACE,
    ReportHead,
    SeenMail,
    file_name,
    subject,
    write_aggregate,
)

SCHEMA = SHARED / "dmarc/xsd/dmarc-2.0.xsd"
XS = "{http://www.w3.org/2001/XMLSchema}"
HEAD = ReportHead(
    organization="Gate <&> Sons",
    email="dmarc@gate.example",
    contact="https://gate.example/",
    report_id="2026-11-26.a.example@gate.example",
    begin=1795651200,
    end=1795737599,
    domain="a.example",
    published=("reject", "quarantine", "none", "r", "s", "1:d", "y"),
)
FAILED = SeenMail(
    source_ip="2001:db8::1",
    disposition="none",
    dkim=False,
    spf=False,
    header_from="news.a.example",
    envelope_from="",
    reasons=(("policy_test_mode", ""), ("local_policy", "agents.dmarc.honour-policy is off")),
    signatures=(("b.example", "s1", "fail"), ("c.example", "s2", "pass")),
    spf_domain="mail.b.example",
    spf_result="softfail",
)
PASSED = SeenMail(
    source_ip="192.0.2.1",
    disposition="pass",
    dkim=True,
    spf=True,
    header_from="a.example",
    envelope_from="a.example",
)


def test_our_reader_reads_what_we_write() -> None:
    report = read_aggregate(write_aggregate(HEAD, [(FAILED, 3), (PASSED, 40)], left_out=7))
    assert (report.organization, report.domain, report.policy) == ("Gate <&> Sons", "a.example", "reject")
    assert (report.begin, report.end, report.mails, report.failed) == (HEAD.begin, HEAD.end, 43, 3)
    failed, passed = report.rows
    assert failed.reasons == ("policy_test_mode", "local_policy")
    assert failed.dkim_domains == ("b.example fail", "c.example pass")
    assert failed.spf_domains == ("mail.b.example softfail",)
    assert (failed.dkim, failed.spf, failed.header_from) == ("fail", "fail", "news.a.example")
    assert (passed.disposition, passed.dkim, passed.envelope_from) == ("pass", "pass", "a.example")


def test_a_report_without_rows_is_none() -> None:
    with pytest.raises(ValueError, match="without rows"):
        write_aggregate(HEAD, [])


def test_every_element_is_one_of_the_schema_and_stands_where_it_may() -> None:
    if not SCHEMA.exists():
        pytest.skip(ABSENT)
    schema = ElementTree.parse(SCHEMA).getroot()
    types = {one.get("name"): one for one in schema if one.get("name")}
    # A root as the schema has it: its type stands inside.
    feedback = ElementTree.fromstring(write_aggregate(HEAD, [(FAILED, 3), (PASSED, 40)], left_out=7))
    root = types["feedback"].find(f"{XS}complexType")
    assert feedback.tag == f"{{{NAMESPACE}}}feedback"
    _check(feedback, root, types)


def _check(element: Any, kind: Any, types: dict[str | None, Any]) -> None:
    """One element against its complex type: names, order in sequences, how often, values of enumerations."""
    if kind is None or kind.find(f"{XS}simpleContent") is not None:
        assert len(element) == 0
        return
    if kind.tag == f"{XS}simpleType":
        allowed = [one.get("value") for one in kind.iter(f"{XS}enumeration")]
        assert element.text in allowed, element.tag
        return
    group = next(one for one in kind if one.tag in (f"{XS}all", f"{XS}sequence"))
    declared = {one.get("name"): one for one in group if one.tag == f"{XS}element"}
    found = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in element]
    assert set(found) <= set(declared)
    if group.tag == f"{XS}sequence":
        order = list(declared)
        assert [order.index(name) for name in found] == sorted(order.index(name) for name in found)
    for name, one in declared.items():
        times, most = found.count(name or ""), one.get("maxOccurs", "1")
        assert times >= int(one.get("minOccurs", "1")), name
        assert most == "unbounded" or times <= int(most), name
    for name, child in zip(found, element, strict=True):
        _check(child, types.get(declared[name].get("type")), types)


@given(text=st.text(max_size=400))
def test_strangers_texts_never_break_the_document(text: str) -> None:
    seen = SeenMail(
        source_ip="192.0.2.1",
        disposition="none",
        dkim=False,
        spf=False,
        header_from=text,
        envelope_from=text,
        signatures=((text, text, "fail"),),
        spf_domain=text,
        spf_result="none",
    )
    (row,) = read_aggregate(write_aggregate(HEAD, [(seen, 1)])).rows
    assert row.source_ip == "192.0.2.1"


def test_names_of_file_and_mail() -> None:
    assert file_name("gate.example", "a.example", 1, 86400) == "gate.example!a.example!1!86400.xml.gz"
    assert subject("a.example", "gate.example", "1@gate.example") == (
        "Report Domain: a.example Submitter: gate.example Report-ID: <1@gate.example>"
    )
