"""Mistakes in [dkim], [arc] and [dkim-signing] are told with file, line and what would do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.standards.signing import ed25519_key, rsa_key

from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.standards.dkim_sign import pem_of

HEAD = '[server]\nhostname = "mx.a.test"\n'
KEY = '[dkim-signing.domains."a.test".selectors.s1]\nkey-file = "{place}/rsa.pem"\n'
MISTAKES = [
    ("a key that is not there", KEY.replace("rsa.pem", "no.pem"), "no.pem cannot be read: No such file"),
    ("no PEM", KEY.replace("rsa.pem", "odd.pem"), "odd.pem is no PEM file with a private key"),
    (
        "a key that all can read",
        KEY.replace("rsa.pem", "open.pem"),
        "open.pem can be read or changed by others",
    ),
    (
        "a state of another kind",
        KEY + 'state = "old"\n',
        'g.toml:5: dkim-signing.domains."a.test".selectors.s1.state',
    ),
    (
        "an identity elsewhere",
        '[dkim-signing.domains."a.test"]\nidentity = "@b.test"\n',
        "no address in a.test",
    ),
    ("a domain twice", KEY + '[dkim-signing.domains."A.test"]\n', "stands twice"),
    ("no domain", '[dkim-signing.domains."a b"]\n', "'a b' is no domain name in A-labels"),
    ("a field that changes", '[dkim-signing]\nfields = ["Received"]\n', "Received changes on the way"),
    ("no field", '[dkim-signing]\noversigned-fields = ["To:"]\n', "'To:' is no name of a header field"),
    (
        "keys below the RFC's",
        "[dkim]\nminimum-key-bits = 512\n",
        "dkim.minimum-key-bits: must be at least 1024",
    ),
    ("a sealer that is none", '[arc]\ntrusted-sealers = ["*"]\n', "'*' is no domain name in A-labels"),
    (
        "a seal without a key",
        '[arc]\nseal = true\nseal-domain = "b.test"\n',
        "arc.seal-domain: must be a domain of",
    ),
    (
        "a seal while signing is off",
        KEY + '[dkim-signing]\nenabled = false\n[arc]\nseal = true\nseal-domain = "a.test"\n',
        "arc.seal: needs dkim-signing.enabled",
    ),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name, octets, mode in (
        ("rsa.pem", pem_of(rsa_key().key), 0o600),
        ("ed.pem", pem_of(ed25519_key().key), 0o600),
        ("open.pem", pem_of(rsa_key().key), 0o644),
        ("odd.pem", b"odd", 0o600),
    ):
        (tmp_path / name).write_bytes(octets)
        (tmp_path / name).chmod(mode)
    return tmp_path


@pytest.mark.parametrize(("text", "said"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake(place: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationErrors) as caught:
        load_text(HEAD + text.replace("{place}", str(place)), file="g.toml", agent_settings={})
    assert said in "\n".join(map(str, caught.value.errors))


def test_a_domain_with_a_key_of_each_kind(place: Path) -> None:
    both = KEY + '[dkim-signing.domains."a.test".selectors.s2]\nkey-file = "{place}/ed.pem"\n'
    text = HEAD + both + '[arc]\nseal = true\nseal-domain = "A.test"\n'
    loaded = load_text(text.replace("{place}", str(place)), file="g.toml", agent_settings={})
    assert set(loaded.settings.dkim_signing.domains["a.test"].selectors) == {"s1", "s2"}


def test_a_short_key_signs_with_a_warning(place: Path) -> None:
    short = place / "rsa.pem"
    short.write_bytes(pem_of(rsa_key(bits=1024).key))
    loaded = load_text(HEAD + KEY.replace("{place}", str(place)), file="g.toml", agent_settings={})
    assert any("is an RSA key of 1024 bits: RFC 8301 wants 2048" in str(w) for w in loaded.warnings)
