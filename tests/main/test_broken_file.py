"""A gateway that runs while its file is broken: the command line goes on with what is in force."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.certificates import in_file, leaf
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.config.broken_file import DEFAULT_STATE_DIRECTORY, stated_directory
from gatepost.main.in_force import in_force

Start = Callable[..., GatewayUnderTest]
NOWHERE = "[127.0.0.1]:9"
STATED = [
    ("as it should be", '[server]\nstate-directory = "/srv/mail"\n', "/srv/mail"),
    ("no TOML below", "[server]\nstate-directory = '/srv/mail'\nhostname = = 1\n", "/srv/mail"),
    ("no TOML above", '[server\nhostname = 3 3\nserver.state-directory = "/srv/mail" # here\n', "/srv/mail"),
    ("a comment", '# state-directory = "/srv/old"\n[server]\n', DEFAULT_STATE_DIRECTORY),
    ("another type", "[server]\nstate-directory = 3\n", DEFAULT_STATE_DIRECTORY),
    ("no table", "server = 3\n", DEFAULT_STATE_DIRECTORY),
    ("nothing", "", DEFAULT_STATE_DIRECTORY),
    ("too deep", "a = " + "[" * 5000, DEFAULT_STATE_DIRECTORY),
    ("noise", "\x00\ufffd=[\n" * 100, DEFAULT_STATE_DIRECTORY),
]


@pytest.mark.parametrize(
    ("text", "expected"), [case[1:] for case in STATED], ids=[case[0] for case in STATED]
)
def test_where_a_broken_file_keeps_things(text: str, expected: str) -> None:
    assert stated_directory(text) == expected


@pytest.mark.slow  # a start, and a command
@pytest.mark.threat("T02")
def test_with_a_broken_file_the_running_gateway_is_seen_and_says_that_it_goes_on(
    gateway: Start, tmp_path: Path
) -> None:
    # Given a gateway that runs
    certificate = tmp_path / "mx.pem"
    in_file(certificate, leaf("mx.ours.example"))
    running = gateway(smart_host=NOWHERE, connector=(f'certificate-file = "{certificate}"',))
    file = running.process.configuration
    good = file.read_text("utf-8")
    before = in_force(str(file))
    assert before is not None
    revision = before.revision
    # When somebody breaks its file, and has it read
    file.write_text(good.replace("[server]", "[server"), "utf-8")
    running.process.signal(signal.SIGHUP)
    wait_until(lambda: '"old-configuration-goes-on"' in running.process.log_end(100))
    # Then its state is told all the same, and what is wrong
    done = running.cli("status", "--json")
    said = json.loads(done.stdout)
    assert (said["running"], said["workers"][0]["revision"], done.returncode) == (True, revision, 0)
    assert "not TOML" in said["mistakes"][0]
    assert "not TOML" in said["reload_refused"]["reason"]
    # And so it is when a file is gone that it names
    file.write_text(good, "utf-8")
    certificate.unlink()
    found = in_force(str(file))
    assert found is not None
    assert (found.revision, found.path) == (revision, str(file))
    # And another file's gateway is not taken for it
    other = tmp_path / "other.toml"
    other.write_text(good, "utf-8")
    assert in_force(str(other)) is None
