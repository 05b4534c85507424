"""Authentication-Results and Received-SPF: what is told, and that no value can say more than it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agents.asking import ask, settings
from tests.policy.fakes import session, site, view

from gatepost.agents.authentication_results import AuthenticationResults
from gatepost.facts.arc import ArcResult
from gatepost.facts.dkim import DkimResults, DkimSignature
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.facts.sender_id import SenderIdResult
from gatepost.facts.spf import SpfResult
from gatepost.message.firewall import apply_edits, firewalled
from gatepost.message.headers import HeaderIndex
from gatepost.model.session import Rights, Session
from gatepost.model.verdict import AddHeader, Stage
from gatepost.standards.authentication_results import MethodResult, quoted, results_value

IP = "192.0.2.7"
SPF = SpfResult(result="pass", domain="a.test", identity="mailfrom", ip=IP)
DKIM = DkimResults(
    signatures=(
        DkimSignature(
            result="pass", domain="a.test", selector="s1", algorithm="rsa-sha256", signature_start="AbC+/123"
        ),
        DkimSignature(result="fail", domain="b.test", reason="body hash did not verify"),
    )
)
DMARC = DmarcResult(result="pass", from_domain="a.test", policy_domain="a.test", policy="reject")
ALL = {"methods": ["iprev", "spf", "dkim", "dmarc", "arc", "auth"]}


def written(
    given: dict[str, Any], *facts: object, who: Session | None = None, **mail: Any
) -> list[AddHeader]:
    """The fields the agent puts on a mail."""
    agent = AuthenticationResults(settings(AuthenticationResults, given), site(**mail))
    verdict = ask(agent, view(Stage.END_OF_DATA, who=who or session()), *facts)
    return [edit for edit in verdict.edits if isinstance(edit, AddHeader)]


def test_all_that_was_found_out_is_told() -> None:
    found = written({}, SPF, DKIM, DMARC)
    assert [edit.name for edit in found] == ["Authentication-Results"]
    assert found[0].value == (
        "mx.gate.test; spf=pass smtp.mailfrom=a.test; "
        'dkim=pass header.d=a.test header.s=s1 header.a=rsa-sha256 header.b="AbC+/123"; '
        'dkim=fail reason="body hash did not verify" header.d=b.test; '
        "dmarc=pass header.from=a.test policy.published-domain-policy=reject"
    )


@pytest.mark.parametrize(
    ("name", "given", "facts", "value"),
    [
        ("nothing is known", {}, (), "spf=temperror; dkim=temperror; dmarc=temperror"),
        ("nothing is wanted", {"methods": []}, (SPF,), "none"),
        (
            "SPF of HELO",
            {"methods": ["spf"]},
            (SpfResult(result="fail", domain="h.test", identity="helo", ip=IP),),
            "spf=fail smtp.helo=h.test",
        ),
        ("not signed", {"methods": ["dkim"]}, (DkimResults(),), "dkim=none"),
        (
            "an excuse",
            {"methods": ["dmarc"]},
            (DmarcResult(result="fail", from_domain="a.test", override="mailing_list"),),
            "dmarc=fail header.from=a.test policy.override=mailing_list",
        ),
        (
            "ARC",
            {"methods": ["arc"]},
            (ArcResult(result="pass", sealers=("l.test",)),),
            "arc=pass header.d=l.test",
        ),
        (
            "Sender ID",
            {"methods": ["sender-id"]},
            (SenderIdResult(result="fail", domain="a.test", field="From", ip=IP, reason="not-permitted"),),
            'sender-id=fail reason="not-permitted" header.from=a.test',
        ),
        ("no chain", {"methods": ["arc"]}, (ArcResult(result="none"),), "none"),
        (
            "a name that leads back",
            {"methods": ["iprev"]},
            (ReverseDns(address=IP, names=("a.test",), confirmed=("a.test",)),),
            f"iprev=pass policy.iprev={IP}",
        ),
        (
            "a name that does not",
            {"methods": ["iprev"]},
            (ReverseDns(address=IP, names=("a.test",)),),
            f"iprev=fail policy.iprev={IP}",
        ),
        ("no name", {"methods": ["iprev"]}, (ReverseDns(address=IP),), f"iprev=permerror policy.iprev={IP}"),
        (
            "IPv6",
            {"methods": ["iprev"]},
            (ReverseDns(address="2001:db8::7"),),
            'iprev=permerror policy.iprev="2001:db8::7"',
        ),
    ],
)
def test_each_method(name: str, given: dict[str, Any], facts: tuple[Any, ...], value: str) -> None:
    assert written(given, *facts)[0].value == f"mx.gate.test; {value}"


def test_who_logged_in_is_told_of_nobody_else() -> None:
    assert written({"methods": ["auth"]})[0].value == "mx.gate.test; none"
    who = session(user='ann"; dmarc=pass@gate.test')
    assert written({"methods": ["auth"]}, who=who)[0].value == (
        'mx.gate.test; auth=pass smtp.auth="ann\\"; dmarc=pass@gate.test"'
    )


def test_received_spf_by_setting() -> None:
    found = written({"received-spf": True}, SPF, who=session(helo='x"; y'))
    assert [edit.name for edit in found] == ["Authentication-Results", "Received-SPF"]
    assert found[1].value == (
        'pass receiver=mx.gate.test; client-ip=192.0.2.7; envelope-from="ann@client.test"; '
        'helo="x\\"; y"; '
        "identity=mailfrom;"
    )


def test_our_name_is_the_setting() -> None:
    assert written({}, authserv_id="gate.test")[0].value.startswith("gate.test; ")


@pytest.mark.threat("J35")
@pytest.mark.threat("J10")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a.test", "a.test"),
        ("ann@a.test", "ann@a.test"),
        ("a.test; dmarc=pass", '"a.test; dmarc=pass"'),
        ("@a.test", "@a.test"),
        ("@.", '"@."'),
        ("ann@a..test", '"ann@a..test"'),
        ('a"b', '"a\\"b"'),
        ("a\\", '"a\\\\"'),
        ("a(b", '"a(b"'),
        ("(any@legit.test", '"(any@legit.test"'),
        ("legit.test'@any.attack.test", '"legit.test\'@any.attack.test"'),
        ("a\r\nX: y", ""),
        ("a\0", ""),
        ("a\u2028b", ""),
        ("ä.test", ""),
        ("x" * 321, ""),
        ("", ""),
    ],
)
def test_values_cannot_be_left(value: str, text: str) -> None:
    assert quoted(value) == text


@given(st.lists(st.text(max_size=330), min_size=3, max_size=3))
def test_no_value_makes_a_second_result_or_line(values: list[str]) -> None:
    domain, selector, reason = values
    one = MethodResult(
        method="dkim", result="fail", properties=(("header.d", domain), ("header.s", selector)), reason=reason
    )
    value = results_value("mx.gate.test", [one, MethodResult(method="dmarc", result="fail")])
    head = apply_edits(b"Subject: x\r\n\r\n", [AddHeader("Authentication-Results", value)])
    # Then there is one field, its lines are short enough, and without its strings it has two results
    assert all(len(line) <= 998 for line in head.split(b"\r\n"))
    read = HeaderIndex.parse(head)
    assert [field.name for field in read.fields] == [b"authentication-results", b"subject"]
    assert not read.defects
    bare, inside, escaped = "", False, False
    for character in read.fields[0].value.decode("ascii"):
        if escaped:
            escaped = False
        elif inside and character == "\\":
            escaped = True
        elif character == '"':
            inside = not inside
        elif not inside:
            bare += character
    assert not inside
    assert bare.count(";") == 2
    assert "(" not in bare


@pytest.mark.threat("J33")
@pytest.mark.threat("J34")
def test_a_forged_field_goes_and_ours_stands_alone() -> None:
    forged = (
        b"Authentication-Results: gate.test; dmarc=pass\r\nAuthentication-Results: other.test; spf=pass\r\n"
    )
    brought = firewalled(forged * 500 + b"From: a@a.test\r\n\r\n", Rights.NONE, authserv_id="Gate.test")
    head = apply_edits(brought, written({}, SPF, DKIM, DMARC, authserv_id="gate.test"))
    fields = HeaderIndex.parse(head, fields_limit=2000).all(b"authentication-results")
    assert [value for value in fields if value.startswith(b"gate.test")] == fields[:1]
    assert len(fields) == 501


@pytest.mark.parametrize("given", [{"methods": ["dns"]}, {"received-spf": "yes"}])
def test_wrong_settings_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        settings(AuthenticationResults, given)
