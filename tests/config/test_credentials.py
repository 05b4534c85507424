"""Secrets that systemd hands over: settings that name files may name credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.config.credentials import Credentials
from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import Configuration, load_text

TEXT = """
[server]
hostname = "mx.example.com"
[accepted-domains."example.com"]
[recipients]
file = "credential:recipients"
[receive-connectors.internet]
listen = ["0.0.0.0:25"]
banner = "credential:is no file here"
[send-connectors.out]
address-spaces = ["*"]
smart-hosts = ["mail.example.net"]
tls = "verified"
user = "us"
password-file = "credential:smart.password"
"""


def loaded(credentials: Credentials, text: str = TEXT) -> Configuration:
    return load_text(text, file="gatepost.toml", agent_settings={}, credentials=credentials)


@pytest.fixture
def handed(tmp_path: Path) -> Credentials:
    for name in ("recipients", "smart.password"):
        (tmp_path / name).write_text("secret", "utf-8")
        (tmp_path / name).chmod(0o400)
    return Credentials(str(tmp_path), needed=True)


@pytest.mark.threat("T11")
def test_a_credential_is_a_file_of_its_directory(handed: Credentials) -> None:
    settings = loaded(handed).settings
    assert settings.send_connectors["out"].password_file == f"{handed.directory}/smart.password"
    assert settings.recipients.file == f"{handed.directory}/recipients"
    assert settings.receive_connectors["internet"].banner == "credential:is no file here"


def test_outside_of_the_service_it_is_not_checked_and_that_is_said() -> None:
    warnings = [str(warning) for warning in loaded(Credentials()).warnings]
    line = TEXT.splitlines().index('password-file = "credential:smart.password"') + 1
    place = f"gatepost.toml:{line}: send-connectors.out.password-file: "
    assert any(
        f"{place}names the credential smart.password, which only the service sees" in w for w in warnings
    )


WRONG = {
    "none was given": (
        Credentials(needed=True),
        TEXT,
        "and the service was given none (LoadCredential=smart.password:",
    ),
    "not in the directory": (
        Credentials("/nonexistent", needed=True),
        TEXT,
        "/nonexistent/smart.password cannot be read",
    ),
    "a way out of it": (
        Credentials("/nonexistent", needed=True),
        TEXT.replace("credential:smart.password", "credential:../shadow"),
        '"../shadow" is not the name of a credential',
    ),
    "no name": (
        Credentials("/nonexistent", needed=True),
        TEXT.replace("credential:smart.password", "credential:"),
        '"" is not the name of a credential',
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_service_cannot_run_with(name: str) -> None:
    credentials, text, said = WRONG[name]
    with pytest.raises(ConfigurationErrors) as found:
        loaded(credentials, text)
    assert said in str(found.value)
