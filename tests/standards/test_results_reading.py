"""What an Authentication-Results field says, and what only looks like it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.standards.authentication_results import MethodResult, results_value
from gatepost.standards.results_reading import VALUE_LIMIT_CHARS, read_results

CASES: list[tuple[str, str, list[str]]] = [
    ("one result", "a.test; dmarc=pass", ["dmarc=pass"]),
    ("no result", "a.test; none", []),
    ("a version", "a.test 1; dmarc=pass", ["dmarc=pass"]),
    ("a method's version", "a.test; dmarc/1=pass", ["dmarc=pass"]),
    ("upper case", "A.Test; DMARC=Pass", ["dmarc=pass"]),
    ("blanks everywhere", "a.test ;\t dmarc = pass  header . from = b.test", ["dmarc=pass header.from=b.test"]),
    ("comments everywhere", "a.test (x) ; (y)dmarc(z)=(z)pass (p=none) header.from=b.test(c)",
     ["dmarc=pass header.from=b.test"]),
    ("a result in a comment", "a.test; spf=pass (; dmarc=pass )", ["spf=pass"]),
    ("a result in a nested comment", "a.test; spf=pass (a (b) ; dmarc=pass )", ["spf=pass"]),
    ("a result behind a quoted parenthesis",
     'a.test; spf=pass (\\) ; dmarc=pass ) smtp.helo=x', ["spf=pass smtp.helo=x"]),
    ("a result in a quoted string", 'a.test; spf=pass smtp.mailfrom="; dmarc=pass "@e.test',
     ["spf=pass smtp.mailfrom=; dmarc=pass @e.test"]),
    ("a result behind a quoted quote", 'a.test; spf=pass smtp.mailfrom="\\"; dmarc=pass "@e.test',
     ['spf=pass smtp.mailfrom="; dmarc=pass @e.test']),
    ("a result in a reason", 'a.test; spf=fail reason="x; dmarc=pass"', ["spf=fail"]),
    ("a result in the name", '"a; dmarc=pass"; spf=pass', ["spf=pass"]),
    ("a result as a property", "a.test; spf=pass dmarc=pass", ["spf=pass"]),
    ("a result behind a word", "a.test; x dmarc=pass", []),
    ("a property that begins a clause", "a.test; header.from=pass", []),
    ("a quoted result", 'a.test; dmarc="pass"', []),
    ("no value", "a.test; dmarc=", []),
    ("a quoted string without end", 'a.test; dmarc=pass; spf=pass smtp.mailfrom="x', []),
    ("a comment without end", "a.test; dmarc=pass; spf=pass (x", []),
    ("a parenthesis that closes nothing", "a.test; dmarc=pass)", []),
    ("a NUL", "a.test; dmarc=pass\0", []),
    ("base64 with its signs",
     "a.test; dkim=pass header.b=Ab+/c= header.d=a.test",
     ["dkim=pass header.b=Ab+/c= header.d=a.test"]),
    ("words that are no property", "a.test; dmarc=pass (p=REJECT) action=none header.from=b.test",
     ["dmarc=pass header.from=b.test"]),
    ("nothing", "", []),
    ("a semicolon at the end", "a.test; dmarc=pass;", ["dmarc=pass"]),
]  # fmt: skip


@pytest.mark.threat("J35")
@pytest.mark.threat("J37")
@pytest.mark.parametrize(("name", "value", "results"), CASES, ids=[c[0] for c in CASES])
def test_reading(name: str, value: str, results: list[str]) -> None:
    found = read_results(value)
    said = [
        " ".join([f"{one.method}={one.result}", *(f"{name}={text}" for name, text in one.properties)])
        for one in found.results
    ]
    assert said == results


def test_who_says_so() -> None:
    assert read_results("MX.a.Test (x) 1; none").authserv_id == "mx.a.test"
    assert read_results('"a b"; none').authserv_id == "a b"
    assert read_results("; dmarc=pass").authserv_id == ""


@given(st.text(max_size=60), st.sampled_from(["smtp.mailfrom", "smtp.helo", "header.d"]))
def test_what_we_write_is_read_as_it_was_meant(value: str, name: str) -> None:
    # Given a stranger's text in a property of ours
    written = results_value(
        "a.test", [MethodResult(method="spf", result="fail", properties=((name, value),), reason=value)]
    )
    # When it is read, then there is one result, and the text is what it was or is not there
    (one,) = read_results(written).results
    assert (one.method, one.result) == ("spf", "fail")
    assert one.value(name) in ("", value)


@given(st.text(alphabet='ab.=;()"\\ \t/@,\0', max_size=200) | st.text(max_size=200))
def test_any_text_is_read(value: str) -> None:
    read_results(value)


@pytest.mark.parametrize("piece", ["(", '"', "a", "a=", "a.", "\\", ";", " ", '""', "()", "a/", "= "])
def test_hostile_repetition_costs_little(piece: str) -> None:
    began = time.process_time()
    read_results("a.test; " + piece * (VALUE_LIMIT_CHARS // len(piece) - 8))
    assert time.process_time() - began < 10
    assert read_results("a.test; dmarc=pass; " + piece * VALUE_LIMIT_CHARS).results == ()
