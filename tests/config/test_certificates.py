"""Certificates and keys are looked at when the configuration is read, not when the first client comes."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest
import trustme
from tests.config.mistakes import DOOR, SERVER

from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import load_text


@pytest.fixture(scope="module")
def certificates() -> tuple[trustme.LeafCert, trustme.LeafCert]:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    return authority.issue_cert("mx.example.com"), authority.issue_cert("other.example.com")


def written(path: Path, pem: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(pem)
    path.chmod(mode)
    return path


def refusal(certificate: Path, key: Path | None) -> str:
    text = SERVER + DOOR + f'certificate-file = "{certificate}"\n' + (f'key-file = "{key}"\n' if key else "")
    try:
        load_text(text, file="g.toml", agent_settings={})
    except ConfigurationErrors as errors:
        return str(errors)
    return ""


Pair = tuple[trustme.LeafCert, trustme.LeafCert]


def test_a_certificate_and_its_key_are_accepted(tmp_path: Path, certificates: Pair) -> None:
    ours, _ = certificates
    certificate = written(tmp_path / "cert.pem", ours.cert_chain_pems[0].bytes(), 0o644)
    assert refusal(certificate, written(tmp_path / "key.pem", ours.private_key_pem.bytes())) == ""


def test_one_file_with_both_is_accepted(tmp_path: Path, certificates: Pair) -> None:
    ours, _ = certificates
    assert refusal(written(tmp_path / "both.pem", ours.private_key_and_cert_chain_pem.bytes()), None) == ""


@pytest.mark.threat("T03")
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, certificates: Pair) -> None:
    ours, _ = certificates
    both = written(tmp_path / "both.pem", ours.private_key_and_cert_chain_pem.bytes(), 0o644)
    assert "both.pem can be read or changed by others (mode 0644)" in refusal(both, None)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, certificates: Pair) -> None:
    ours, other = certificates
    certificate = written(tmp_path / "cert.pem", ours.cert_chain_pems[0].bytes())
    said = refusal(certificate, written(tmp_path / "key.pem", other.private_key_pem.bytes()))
    assert "the certificate and the key do not belong together" in said


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    said = refusal(written(tmp_path / "cert.pem", b"hello"), None)
    assert "is not a PEM certificate with an unencrypted key that belongs to it" in said


@pytest.mark.threat("T06")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_a_key_that_the_account_we_become_cannot_read_is_refused(certificates: Pair) -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own directories are closed to everybody
        readable_by_nobody(Path(place), certificates)


def readable_by_nobody(place: Path, certificates: Pair) -> None:
    ours, _ = certificates
    place.chmod(0o755)
    both = written(place / "both.pem", ours.private_key_and_cert_chain_pem.bytes())
    text = SERVER + 'user = "nobody"\n' + DOOR + f'certificate-file = "{both}"\n'

    def said() -> str:
        try:
            load_text(text, file="g.toml", agent_settings={})
        except ConfigurationErrors as errors:
            return str(errors)
        return ""

    assert f"cannot be read by server.user nobody: {both} is closed to that account" in said()
    nobody = pwd.getpwnam("nobody")
    os.chown(both, nobody.pw_uid, nobody.pw_gid)
    assert said() == ""
    os.chown(both, 0, nobody.pw_gid)
    both.chmod(0o640)
    assert said() == ""
    place.chmod(0o700)
    assert f"{place} is closed to that account" in said()
