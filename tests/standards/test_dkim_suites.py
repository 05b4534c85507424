"""Public suites of signed messages: what passes there passes here, but for what later RFCs took back."""

from __future__ import annotations

import json

import pytest
from tests.standards.dkim_corpus import crlf, folder, results

NOW = 1_760_000_000.0
SHA1 = "RFC 8301 §3.1: rsa-sha1 MUST NOT be used for signing or verifying"
EXCLUDED = dict.fromkeys(
    (
        "good_1878523.txt",
        "good_83176.txt",
        "good_qp_1.txt",
        "good_qp_2.txt",
        "good_qp_3.txt",
        "good_rfc4871_3.txt",
        "good_rfc4871_4.txt",
        "goodkey_1.txt",
        "goodkey_3.txt",
        "goodkey_4.txt",
        "multiple_2.txt",
    ),
    ("policy", SHA1),
)
"""Messages that upstream passes and we must not: what we say, and the RFC's words."""
MEANS = {
    "pass": {"pass"},
    "fail": {"fail", "policy"},
    "invalid": {"permerror", "neutral", "policy", "temperror", "fail"},
}


def test_messages_of_mail_dkim() -> None:
    place = folder("dkim/mail-dkim")
    lines = (place / "FAKE_DNS.dat").read_bytes().splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip() and not line.startswith(b"#"))
    dns = {name.decode(): value.strip() for name, value in pairs}
    expected = json.loads((place / "expected.json").read_text())
    scored = {name: said for name, said in expected.items() if not said["legacy"] and not said["skipped"]}
    wrong = []
    for name, said in scored.items():
        content = crlf((place / "corpus" / name).read_bytes())
        found = results(content, dns, now=NOW)
        best = "pass" if any(one.result == "pass" for one in found) else found[0].result if found else "none"
        wanted = {EXCLUDED[name][0]} if name in EXCLUDED else MEANS[said["result"]]
        if best not in wanted:
            wrong.append((name, said, found))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(scored) >= 26


BRISBANE = b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
TEST = (
    b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi"
    b"Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kr"
    b"yOTIKT+l/K4w3QIDAQAB"
)
RFC_DNS = {
    "brisbane._domainkey.football.example.com": BRISBANE,
    "test._domainkey.football.example.com": TEST,
}
"""RFC 8463 appendix A.2."""


@pytest.mark.parametrize(
    ("message", "passes"), [("rfc6376.signed.msg", 2), ("rfc6376.signed.rsa.msg", 1), ("rfc6376.msg", 0)]
)
def test_messages_of_the_rfcs(message: str, passes: int) -> None:
    content = crlf((folder("dkim/rfc") / message).read_bytes())
    found = results(content, RFC_DNS, now=NOW)
    assert [one.result for one in found] == ["pass"] * passes
    changed = results(content.replace(b"hungry", b"angry"), RFC_DNS, now=NOW)
    assert [one.result for one in changed] == ["fail"] * passes
