"""The words by which a client's certificate is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.config.certificate_match import CertificateMatch, parse_match, readable_matches
from gatepost.model.certificate import PeerCertificate

SHOWN = PeerCertificate(
    subject="CN=relay,O=Partner",
    dns_names=("relay.partner.example", "*.pool.partner.example"),
    emails=("Ann@Partner.example",),
    fingerprints=frozenset({"ab" * 32, "cd" * 32}),
)


@pytest.mark.parametrize(
    ("word", "fits"),
    [
        ("dns:relay.partner.example", True),
        ("dns: Relay.PARTNER.example", True),
        ("dns:partner.example", False),
        ("dns:a.pool.partner.example", False),
        ("dns:*.pool.partner.example", True),
        ("email:Ann@partner.EXAMPLE", True),
        ("email:ann@partner.example", False),
        ("subject:CN=relay,O=Partner", True),
        ("subject:CN=relay", False),
        ("sha256:" + ":".join(["AB"] * 32), True),
        ("sha256:" + "cd" * 32, True),
        ("sha256:" + "ef" * 32, False),
    ],
)
def test_a_word_fits_a_certificate(word: str, fits: bool) -> None:
    assert parse_match(word).fits(SHOWN) is fits


@pytest.mark.parametrize("kind", ["dns", "email", "subject", "sha256"])
def test_a_certificate_without_names_is_nobodys(kind: str) -> None:
    assert not CertificateMatch(kind, "").fits(PeerCertificate(subject="CN=x"))


@given(
    st.text()
    | st.builds("{}:{}".format, st.sampled_from(["dns", "email", "subject", "sha256", "x"]), st.text())
)
def test_any_text_is_a_word_or_a_value_error(text: str) -> None:
    try:
        word = parse_match(text)
    except ValueError:
        assert readable_matches([text]) == ()
    else:
        assert word.value
        assert readable_matches([text]) == (word,)
