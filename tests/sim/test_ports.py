"""The simulated ports keep the promises of the real ones, and what is worked out apart from the gateway is right."""

from __future__ import annotations

import errno
import tomllib
from pathlib import Path

import pytest
from sim.configuration import configuration, text_of
from sim.files import SimOs
from sim.plan import plan_of
from sim.pressure import COURSES, HIGH, MEDIUM, NORMAL, UNSURE, Strain, level_after
from sim.signing import OURS, OURS_PEM, THEIRS, signature_of, without_our_signature
from sim.submission import write_accounts
from sim.tls import SimTls, client_pump
from sim.toml import toml

from gatepost.adapters import bodies
from gatepost.intake.pressure import Level, Pressure, marks_of
from gatepost.main.lasting import needs_restart
from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls

VERIFIED = LinkTls(mode=LinkMode.VERIFIED)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """With the files that the configuration names."""
    (tmp_path / "recipients").write_text("u0@ours.example\n")
    (tmp_path / "ours.pem").write_bytes(OURS_PEM)
    (tmp_path / "ours.pem").chmod(0o600)
    (tmp_path / "srs.key").write_text("a secret of many characters\n")
    (tmp_path / "srs.key").chmod(0o600)
    write_accounts(tmp_path / "users", ("u0@ours.example",))
    return tmp_path


def shaken(client: SimTls, server: SimTls) -> None:
    _, answer = server.receive(client.start())
    _, finished = client.receive(answer)
    server.receive(finished)


def test_a_handshake_is_three_messages_and_what_follows_is_hidden() -> None:
    client, server = client_pump("mx.b.example", VERIFIED), SimTls(server_side=True, shows="mx.b.example")
    shaken(client, server)
    assert client.established and server.established  # noqa: PT018  # one thing: both ends agree
    assert client.info.peer_is_proven
    wire = client.send(b"MAIL FROM:<a@b.example>\r\n")
    assert b"MAIL" not in wire
    assert server.receive(wire)[0] == b"MAIL FROM:<a@b.example>\r\n"
    server.receive(client.close())
    assert server.peer_closed


@pytest.mark.parametrize("shows", ["untrusted", "wrong-name", "mx.other.example"])
def test_a_verified_link_needs_the_right_certificate(shows: str) -> None:
    with pytest.raises(WorldFault, match="CERTIFICATE_VERIFY_FAILED"):
        shaken(client_pump("mx.b.example", VERIFIED), SimTls(server_side=True, shows=shows))
    shaken(client_pump("mx.b.example", LinkTls()), SimTls(server_side=True, shows=shows))


def test_what_is_said_in_the_clear_within_tls_is_not_understood() -> None:
    client, server = client_pump("mx.b.example", VERIFIED), SimTls(server_side=True, shows="mx.b.example")
    shaken(client, server)
    with pytest.raises(WorldFault, match="WRONG_VERSION"):
        server.receive(b"MAIL FROM:<a@b.example>\r\n")
    with pytest.raises(WorldFault, match="broken off"):
        shaken(client_pump("x", VERIFIED), SimTls(server_side=True, breaks="handshake failure"))


LEVELS = (
    (MEDIUM, HIGH, HIGH, HIGH, MEDIUM, MEDIUM, NORMAL),
    (HIGH, HIGH, MEDIUM, MEDIUM, NORMAL),
    (MEDIUM, MEDIUM, NORMAL),
)


def test_the_levels_of_back_pressure_are_those_of_the_manual(place: Path) -> None:
    configured = configuration(plan_of(1), 0, place).settings.back_pressure
    for course, levels in zip(COURSES, LEVELS, strict=True):
        gateway, before = Pressure(marks_of(configured)), NORMAL
        for (resource, value), level in zip(course, levels, strict=True):
            gateway.feed({resource: value}, 0.0)
            before = level_after(before, resource, value)
            assert before == level
            assert gateway.level is Level[level.upper()]


def test_a_level_counts_from_the_gateways_next_look() -> None:
    clock = [0.0]
    strain = Strain(lambda: clock[0])
    clock[0] = 10.0
    strain.set(COURSES[1][0])
    assert strain.since(10.0) == {UNSURE}
    clock[0] = 11.0
    strain.looked(0)
    assert strain.since(11.0) == {HIGH}
    assert strain.since(5.0) == {NORMAL, UNSURE, HIGH}


def test_every_revision_loads_and_needs_no_restart(place: Path) -> None:
    plan = plan_of(5)
    first = configuration(plan, 0, place)
    for revision in (1, 2, 3):
        other = configuration(plan, revision, place)
        assert needs_restart(first.settings, other.settings) == ""
        assert set(other.settings.send_connectors) != set(first.settings.send_connectors)
    assert tomllib.loads(text_of(plan, 1, place))["receive-connectors"].keys() == {
        "in",
        "lan",
        "submission",
    }


def test_toml_is_read_back() -> None:
    tables = {"a": {"b.c": {"d": 1, "e": [1, 2], "f": True}}, "g": {"quoted": 'say "x" \\'}}
    assert tomllib.loads(toml(tables)) == tables


def test_files_fail_as_they_are_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = SimOs()
    monkeypatch.setattr(bodies, "os", files)
    directory = bodies.BodyDirectory(tmp_path / "bodies")
    directory.prepare()
    told: list[WorldFault] = []
    body = directory.new(told=told.append)
    files.fails = lambda: errno.ENOSPC
    with pytest.raises(WorldFault, match="cannot be written"):
        body.write(b"text")
    assert [fault.reply for fault in told] == [bodies.DISK_FULL]


def test_a_signature_of_the_gateway_is_taken_off_and_judged() -> None:
    head, body = b"From: <a@away.example>\r\nSubject: x\r\n\r\n", b"text\r\n"
    theirs = signature_of(head, body, at=1_800_000_000.0)
    assert without_our_signature(theirs + head + body, now=1_800_000_000.0) == (theirs + head + body, "")
    assert THEIRS.record != OURS.record


def test_accounts_are_written_for_us_only(tmp_path: Path) -> None:
    write_accounts(tmp_path / "users", ("a@ours.example",))
    assert (tmp_path / "users").stat().st_mode & 0o077 == 0
