"""What the configuration says about TLS is checked when it is read: certificates, clients, next hops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.certificates import ca_file, in_file, leaf
from tests.config.mistakes import DOOR, SERVER, WAY

from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import load_text

ONE = "ab" * 32


@dataclass(frozen=True, slots=True)
class Case:
    """text: {d} is a directory with certificates (`directory`). said: how each line of the refusal ends."""

    name: str
    text: str
    said: tuple[str, ...] = ()


CERTIFIED = DOOR + 'certificate-file = "{d}/mx.pem"\n'
MORE = CERTIFIED + "[receive-connectors.internet.certificates.more]\n"
CLIENTS = CERTIFIED + 'auth = true\ntls = "required"\n[receive-connectors.internet.client-certificates]\n'
ASKED = CLIENTS + 'ask = "required"\nca-file = "{d}/ca.pem"\n'
WHO = ASKED + "[receive-connectors.internet.client-certificates.identities.relay]\n"

DOORS = [
    Case("TLS 1.3 and nothing older", CERTIFIED + 'tls-minimum = "1.3"\n'),
    Case(
        "a version that is too old",
        CERTIFIED + 'tls-minimum = "1.1"\n',
        ('tls-minimum: "1.1" is not accepted, did you mean 1.3? (accepted: 1.2, 1.3)',),
    ),
    Case("a second certificate", MORE + 'certificate-file = "{d}/two.pem"\n'),
    Case(
        "a second certificate without a first",
        DOOR + '[receive-connectors.internet.certificates.more]\ncertificate-file = "{d}/two.pem"\n',
        ("certificates: stands without a certificate-file, which is for clients that ask for no name",),
    ),
    Case(
        "a second certificate that no client can ask for",
        MORE + 'certificate-file = "{d}/nameless.pem"\n',
        ("nameless.pem has no DNS name: no client could ask for it",),
    ),
    Case(
        "a second certificate that is not there",
        MORE + 'certificate-file = "{d}/none.pem"\n',
        ("none.pem cannot be read: No such file or directory",),
    ),
    Case(
        "a second certificate whose key others may read",
        MORE + 'certificate-file = "{d}/open.pem"\n',
        ("open.pem can be read or changed by others (mode 0644): chmod 600 {d}/open.pem",),
    ),
    Case("clients that must show a certificate", ASKED),
    Case(
        "clients that are known",
        WHO
        + 'match = ["dns:relay.example.org", "email:a@b.example", "subject:CN=a,O=b", "sha256:'
        + ":".join(["AB"] * 32)
        + '"]\nuser = "ann"\n',
    ),
    Case(
        "without authorities",
        CLIENTS + 'ask = "optional"\n',
        ("ca-file: must be given: without it no certificate counts",),
    ),
    Case(
        "authorities that are none",
        CLIENTS + 'ask = "optional"\nca-file = "{d}/text"\n',
        ("text is no PEM file with certificates",),
    ),
    Case(
        "authorities for nothing",
        CLIENTS + 'ca-file = "{d}/ca.pem"\n',
        ("ca-file: has no meaning with ask = no (accepted: ask = optional, ask = required)",),
    ),
    Case(
        "a demand that the clear text goes round",
        ASKED.replace('tls = "required"', 'tls = "optional"'),
        (
            "ask: required is nothing to a client in the clear, which tls = optional allows "
            "(accepted: tls = required, tls = implicit)",
        ),
    ),
    Case("an identity that is nobody", WHO + "match = []\n", ("match: is empty: it names nobody",)),
    Case(
        "an identity by what is no name",
        WHO + 'match = ["relay.example.org", "dns:", "sha256:ab"]\n',
        (
            "match[0]: 'relay.example.org' is not one of dns:NAME, email:ADDRESS, subject:DN, sha256:HEX",
            "match[1]: 'dns:' is not one of dns:NAME, email:ADDRESS, subject:DN, sha256:HEX",
            "match[2]: 'ab' is no SHA-256 fingerprint: 64 hex digits, with colons or without",
        ),
    ),
    Case(
        "an account without AUTH",
        WHO.replace("auth = true\n", "") + 'match = ["dns:a.example"]\nuser = "ann"\n',
        (
            "user: needs AUTH EXTERNAL on this connector "
            "(accepted: auth = true, and EXTERNAL among auth-mechanisms)",
        ),
    ),
    Case(
        "an account without EXTERNAL",
        WHO.replace("auth = true\n", 'auth = true\nauth-mechanisms = ["PLAIN"]\n')
        + 'match = ["dns:a.example"]\nuser = "ann"\n',
        (
            "user: needs AUTH EXTERNAL on this connector "
            "(accepted: auth = true, and EXTERNAL among auth-mechanisms)",
        ),
    ),
    Case(
        "EXTERNAL and nobody",
        WHO.replace("auth = true\n", 'auth = true\nauth-mechanisms = ["EXTERNAL"]\n')
        + 'match = ["dns:a.example"]\n',
        (
            "auth-mechanisms: offers EXTERNAL only, and no identity of client-certificates has a user: "
            "nobody could authenticate",
        ),
    ),
]

DOMAINS = WAY + '[send-connectors.out.tls-domains."bank.example"]\n'

WAYS = [
    Case("a fingerprint", WAY + f'tls = "fingerprint"\nfingerprints = ["{ONE}"]\n'),
    Case("authorities of our own", WAY + 'tls = "verified"\nca-file = "{d}/ca.pem"\n'),
    Case("a certificate to show", WAY + 'tls = "required"\ncertificate-file = "{d}/mx.pem"\n'),
    Case("a domain that must be proven", DOMAINS + 'tls = "verified"\n'),
    Case(
        "no fingerprint",
        WAY + 'tls = "fingerprint"\n',
        ("fingerprints: is empty: no next hop would do",),
    ),
    Case(
        "fingerprints that nobody looks at",
        WAY + f'tls = "verified"\nfingerprints = ["{ONE}"]\n',
        ("fingerprints: has no meaning with tls = verified (accepted: tls = fingerprint)",),
    ),
    Case(
        "what is no fingerprint",
        WAY + 'tls = "fingerprint"\nfingerprints = ["ab:cd"]\n',
        ("fingerprints[0]: 'ab:cd' is no SHA-256 fingerprint: 64 hex digits, with colons or without",),
    ),
    Case(
        "authorities that are not there",
        WAY + 'ca-file = "/nowhere"\n',
        ("ca-file: /nowhere cannot be read: No such file or directory",),
    ),
    Case(
        "a certificate that is shown by chance",
        WAY + 'certificate-file = "{d}/mx.pem"\n',
        (
            "certificate-file: is not shown reliably with tls = opportunistic "
            "(accepted: tls = required, tls = verified, tls = fingerprint)",
        ),
    ),
    Case(
        "a key without a certificate",
        WAY + 'key-file = "{d}/mx.pem"\n',
        ("key-file: stands without a certificate-file",),
    ),
    Case(
        "domains behind a smart host",
        WAY
        + 'smart-hosts = ["[192.0.2.1]"]\n[send-connectors.out.tls-domains."bank.example"]\ntls = "verified"\n',
        (
            "tls-domains: is for mail that goes by MX: the next hop of this connector is the same for all domains",
        ),
    ),
    Case(
        "names for a certificate",
        WAY + 'tls = "verified"\ncertificate-names = ["mx.bank.example", "*.bank.example"]\n',
    ),
    Case(
        "names for a certificate that nobody looks at",
        WAY + 'tls = "required"\ncertificate-names = ["mx.bank.example"]\n',
        ("certificate-names: has no meaning with tls = required (accepted: tls = verified)",),
    ),
    Case(
        "a name that is none",
        DOMAINS + 'tls = "verified"\ncertificate-names = [".bank.example"]\n',
        ("[0]: not a domain name: labels of letters, digits and hyphens, joined by dots",),
    ),
    Case(
        "a domain that is none",
        WAY + '[send-connectors.out.tls-domains."bank example"]\ntls = "verified"\n',
        ("not a domain name: labels of letters, digits and hyphens, joined by dots",),
    ),
    Case(
        "a domain with a fingerprint that is none",
        DOMAINS + 'tls = "fingerprint"\nfingerprints = ["x"]\n',
        ("fingerprints[0]: 'x' is no SHA-256 fingerprint: 64 hex digits, with colons or without",),
    ),
    Case(
        "a login by certificate",
        WAY
        + 'smart-hosts = ["[192.0.2.1]"]\ntls = "required"\nuser = "us"\ncertificate-file = "{d}/mx.pem"\n',
    ),
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    in_file(made / "mx.pem", leaf("mx.example.com"))
    in_file(made / "two.pem", leaf("mail.second.example"))
    in_file(made / "nameless.pem", leaf("192.0.2.1"))
    in_file(made / "open.pem", leaf("open.example.com"), mode=0o644)
    ca_file(made / "ca.pem")
    (made / "text").write_text("hello\n")
    return made


@pytest.mark.threat("T02", "T03")
@pytest.mark.parametrize("case", [*DOORS, *WAYS], ids=lambda case: case.name)
def test_tls_settings(case: Case, directory: Path) -> None:
    said: list[str] = []
    try:
        load_text(SERVER + case.text.replace("{d}", str(directory)), file="g.toml", agent_settings={})
    except ConfigurationErrors as errors:
        said = [str(error) for error in errors.errors]
    assert len(said) == len(case.said), said
    for line, end in zip(said, case.said, strict=True):
        assert line.endswith(end.replace("{d}", str(directory)))
        assert line.startswith("g.toml:")


def test_two_certificates_for_one_name_are_pointed_out(directory: Path) -> None:
    text = MORE + 'certificate-file = "{d}/mx.pem"\n'
    loaded = load_text(SERVER + text.replace("{d}", str(directory)), file="g.toml", agent_settings={})
    told = next(str(warning) for warning in loaded.warnings if "is for" in str(warning))
    assert told.endswith("mx.pem is for mx.example.com as certificate-file is: the first is shown")


def test_what_leads_to_the_clear_is_pointed_out(directory: Path) -> None:
    loaded = load_text(SERVER + WAY + 'tls-minimum = "1.3"\n', file="g.toml", agent_settings={})
    assert any("get their mail in the clear" in str(warning) for warning in loaded.warnings)
