"""Recipients in real directories: OpenLDAP, PostgreSQL, and a Postfix that is asked at RCPT."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.test_recipient_file import Gauges, HeardLog
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.postfix import PostfixServer
from tests.services.postgres import PASSWORD, PostgresServer
from tests.services.slapd import ADMIN, BASE, Slapd

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.directory_sources import Listed, read_source
from gatepost.adapters.tls import client_pump
from gatepost.adapters.world import SystemClock, SystemRandomness
from gatepost.config.directory_settings import Directory
from gatepost.config.schema import frozen
from gatepost.delivery.call_forward import CallForward, Surroundings, meaning_of
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault
from gatepost.protocol.replies import PeerReply

Gateways = Callable[..., GatewayUnderTest]
Postfixes = Callable[..., PostfixServer]


def directory(**given: Any) -> Directory:
    return Directory.model_validate(frozen(given))


def listed(settings: Directory) -> set[str]:
    """What the source lists; a ! behind those that want authenticated senders."""
    return {f"{one.text}{'!' * one.needs_authentication}" for one in read_source(settings)}


@pytest.fixture
def slapd() -> Iterator[Callable[..., Slapd]]:
    made: list[Slapd] = []

    def start(**wishes: Any) -> Slapd:
        made.append(Slapd(**wishes))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    made = PostgresServer()
    made.start()
    yield made
    made.stop()


def ldap(server: Slapd, **wishes: Any) -> dict[str, Any]:
    given = {
        "servers": [f"ldaps://127.0.0.1:{server.tls_port}"],
        "ca-file": str(server.ca_file),
        "bind-dn": ADMIN,
        "password-file": str(server.password_file),
        "base": BASE,
        "page-entries": 7,
    }
    return {name: value for name, value in {**given, **wishes}.items() if value is not None}


@pytest.mark.slow
@pytest.mark.service("slapd")
def test_recipients_of_ldap(slapd: Callable[..., Slapd], tmp_path: Path) -> None:
    server = slapd(people=50)
    some = {"ann@ours.example", "Ann.Other@ours.example", "staff@ours.example!"}
    everybody = some | {f"p{n}@ours.example" for n in range(50)}
    plain = [f"ldap://127.0.0.1:{server.port}"]
    good: list[tuple[str, dict[str, Any], set[str]]] = [
        ("LDAPS, page by page", {}, everybody),
        ("STARTTLS", {"servers": plain}, everybody),
        ("in the clear, if you must", {"servers": plain, "tls": "none", "ca-file": None}, everybody),
        ("the second server", {"servers": ["ldap://127.0.0.1:1", *plain]}, everybody),
        ("only some entries", {"filter": "(&(mail=*)(objectClass=groupOfNames))"}, {"staff@ours.example!"}),
        ("a flag nobody uses", {"authenticated-attribute": "", "filter": "(cn=staff)"}, {"staff@ours.example"}),
        ("a flag that is absent", {"filter": "(cn=p1)"}, {"p1@ours.example"}),
    ]  # fmt: skip
    for name, wishes, expected in good:
        assert listed(directory(type="ldap", ldap=ldap(server, **wishes))) == expected, name
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    bad: list[tuple[str, dict[str, Any], str]] = [
        ("a wrong password", {"password-file": str(wrong)}, "does not let"),
        ("nobody may read", {"bind-dn": "", "password-file": None}, "refused the search|INSUFFICIENT|NO_SUCH"),
        ("an authority we do not know", {"ca-file": None}, "certificate is not believed"),
        ("a name of somebody else's", {"servers": [f"ldaps://localhost:{server.tls_port}"]}, "certificate|TLS"),
        ("a base that is not there", {"base": "dc=other"}, "refused the search"),
        ("no filter", {"filter": "(((mail=*)"}, "no LDAP filter"),
        ("nobody listens", {"servers": ["ldap://127.0.0.1:1"]}, "no connection"),
    ]  # fmt: skip
    for _, wishes, reason in bad:
        with pytest.raises(WorldFault, match=reason):
            list(read_source(directory(type="ldap", ldap=ldap(server, **wishes))))
    with pytest.raises(WorldFault, match="more than 10"):
        list(read_source(directory(type="ldap", entries=10, ldap=ldap(server))))


ODD_SERVERS = [
    ("silent", b"", "no answer"),
    ("of another protocol", b"220 mx.example.com ESMTP\r\n", "does not speak LDAP"),
    ("with a message of gigabytes", b"\x30\x84\x7f\xff\xff\xff", "octets"),
    ("with a length nobody writes", b"\x30\x80\x00\x00", "breaks LDAP"),
    ("with nonsense of the right size", b"\x30\x05\x02\x01\x01\x61\xff", "breaks LDAP"),
]


@pytest.mark.parametrize(("name", "said", "reason"), ODD_SERVERS, ids=[row[0] for row in ODD_SERVERS])
def test_a_server_that_is_no_directory(name: str, said: bytes, reason: str, tmp_path: Path) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def serve() -> None:
        wire, _ = listening.accept()
        taken.append(wire)
        wire.sendall(said)

    thread = threading.Thread(target=serve)
    thread.start()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    asked = {
        "servers": [f"ldap://127.0.0.1:{listening.getsockname()[1]}"],
        "tls": "none",
        "bind-dn": "cn=x",
        "password-file": str(secret),
    }
    with pytest.raises(WorldFault, match=reason):
        list(read_source(directory(type="ldap", timeout="60s" if said else "300ms", ldap=asked)))
    thread.join()
    for wire in (*taken, listening):
        wire.close()


@pytest.mark.slow
@pytest.mark.service("postgres")
def test_recipients_of_postgresql(postgres: PostgresServer, tmp_path: Path) -> None:
    postgres.execute("CREATE TABLE mailboxes (address text, internal boolean)")
    postgres.execute(
        "INSERT INTO mailboxes SELECT 'p' || n || '@ours.example', n = 3 FROM generate_series(1, 2500) n"
    )
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    query = {
        "database": postgres.url,
        "query": "SELECT address, internal FROM mailboxes",
        "password-file": str(secret),
    }
    found = list(read_source(directory(type="sql", sql=query)))
    assert len(found) == 2500
    assert Listed("p3@ours.example", True) in found
    assert Listed("p4@ours.example") in found
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    bad = [
        ({**query, "query": "SELECT nothing FROM mailboxes"}, "does not exist"),
        ({**query, "query": "DELETE FROM mailboxes RETURNING address"}, "PostgreSQL"),
        ({**query, "query": "SELECT 1"}, "not text"),
        ({**query, "query": "SELECT 'x', pg_sleep(60)"}, "statement timeout"),
        ({**query, "password-file": str(wrong)}, "password authentication failed"),
    ]
    for sql, reason in bad:
        with pytest.raises(WorldFault, match=reason):
            list(read_source(directory(type="sql", timeout="2s", sql=sql)))
    postgres.halt()
    with pytest.raises(WorldFault, match="PostgreSQL"):
        list(read_source(directory(type="sql", timeout="2s", sql=query)))


@pytest.mark.slow
@pytest.mark.threat("F27", "F29")
@pytest.mark.service("slapd")
def test_a_gateway_knows_its_recipients_while_the_directory_is_down(
    gateway: Gateways, slapd: Callable[..., Slapd]
) -> None:
    server = slapd(people=5)
    running = gateway(
        smart_host="[127.0.0.1]:1",
        more=(
            '[directories.office]\ntype = "ldap"\nsync-interval = "1s"\n[directories.office.ldap]\n'
            f'servers = ["ldap://127.0.0.1:{server.port}"]\nca-file = "{server.ca_file}"\n'
            f'bind-dn = "{ADMIN}"\npassword-file = "{server.password_file}"\nbase = "{BASE}"\n'
        ),
    )
    wait_until(lambda: rcpt(running, "p1@ours.example") == 250)
    assert rcpt(running, "nobody@ours.example") == 550
    assert running.ask("directory", "list")[0]["recipients"] == 8
    # Somebody leaves: the next copy notices
    server.remove("p1")
    wait_until(lambda: rcpt(running, "p1@ours.example") == 550)
    # The directory is down: what was known stays known, after a restart, too
    server.halt()
    for _ in range(2):
        assert (rcpt(running, "p2@ours.example"), rcpt(running, "nobody@ours.example")) == (250, 550)
        running.stop()
        running.start()
    answers = running.ask("directory", "test", "p2@ours.example")
    assert [a["answer"] for a in answers] == ["not listed", "listed"]
    failed = running.cli("directory", "sync", "office")
    assert (failed.returncode, "no connection" in failed.stderr) == (3, True)
    # It is back without most of its people: that is not taken over unless somebody says so
    server.start()
    server.remove("p0", "p2", "p3", "p4")
    failed = running.cli("directory", "sync", "office")
    assert failed.returncode == 3
    assert "--accept-loss" in failed.stderr
    assert rcpt(running, "p2@ours.example") == 250
    assert running.cli("directory", "sync", "office", "--accept-loss").returncode == 0
    wait_until(lambda: rcpt(running, "p2@ours.example") == 550)


def rcpt(running: GatewayUnderTest, recipient: str) -> int:
    with smtplib.SMTP(running.host, running.port) as client:
        client.ehlo()
        client.mail("eve@client.example")
        return client.rcpt(recipient)[0]


def around(log: HeardLog) -> Surroundings:
    return Surroundings(
        dialer=LoopDialer(client_pump),
        resolver=None,  # type: ignore[arg-type]  # nobody is named by a name here
        randomness=SystemRandomness(),
        monotonic=SystemClock().monotonic,
        hostname="mx.ours.example",
        log=log,
        counters=Gauges(),
    )


def ask_all(settings: Directory, log: HeardLog, *recipients: str) -> tuple[list[str], CallForward]:
    """yes, no or unknown for each, asked over one caller."""

    async def ask() -> list[str]:
        said = []
        for text in recipients:
            local, _, domain = text.rpartition("@")
            try:
                said.append("yes" if (await caller.ask(Address(local, domain))).listed else "no")
            except WorldFault:
                said.append("unknown")
        caller.close()
        await asyncio.sleep(0)
        return said

    caller = CallForward("hop", settings, around(log))
    return asyncio.run(ask()), caller


@pytest.mark.slow
@pytest.mark.threat("F27", "F29", "F30", "F31")
@pytest.mark.service("postfix")
def test_a_postfix_is_asked_for_its_recipients(postfix: Postfixes) -> None:
    log = HeardLog()
    hop = postfix(mailboxes=("ann@ours.example", "bob@ours.example"), more=("mynetworks = 192.0.2.1/32",))
    settings = directory(type="smtp", **{"call-forward": {"host": f"[127.0.0.1]:{hop.port}"}})
    nobodies = [f"nobody{n}@ours.example" for n in range(12)]
    said, caller = ask_all(
        settings, log, "ann@ours.example", *nobodies, "bob@ours.example", "x@foreign.example"
    )
    # A domain that is not the next hop's: it refuses to relay, which is no word about the recipient
    assert said == ["yes", *["no"] * 12, "yes", "unknown"]
    assert hop.queue_is_empty()
    hop.stop()
    # What is remembered needs nobody; what is not is unknown

    async def again() -> list[bool]:
        return [(await caller.ask(Address(name, "ours.example"))).listed for name in ("ann", "nobody3")]

    assert asyncio.run(again()) == [True, False]
    assert ask_all(settings, log, "ann@ours.example")[0] == ["unknown"]
    assert ("error", "directory-unavailable") in log.events


@pytest.mark.slow
@pytest.mark.service("postfix")
def test_a_next_hop_that_takes_everybody_is_noticed(postfix: Postfixes) -> None:
    log = HeardLog()
    hop = postfix(mailboxes=("ann@ours.example", "@ours.example"))
    settings = directory(type="smtp", **{"call-forward": {"host": f"[127.0.0.1]:{hop.port}"}})
    assert ask_all(settings, log, "ann@ours.example", "nobody@ours.example")[0] == ["yes", "yes"]
    assert log.events == [("warning", "directory-catch-all")]


MEANINGS = [
    ("accepted", 250, "2.1.5 Ok", True),
    ("unknown", 550, "5.1.1 unknown", False),
    ("unknown, in old words", 550, "no such user", False),
    ("disabled", 550, "5.2.1 disabled", False),
    ("full", 552, "5.2.2 full", True),
    ("full for now", 452, "4.2.2 full", True),
    ("greylisted", 450, "4.2.0 come back", None),
    ("not our domain", 554, "5.7.1 relay access denied", None),
    ("a policy", 550, "5.7.1 go away", None),
    ("log in first", 530, "5.7.0 STARTTLS first", None),
    ("in old words, about something else", 554, "no", None),
]


@pytest.mark.threat("F31")
def test_what_an_answer_says_of_the_mailbox() -> None:
    for name, code, text, meaning in MEANINGS:
        assert meaning_of(PeerReply(code, (text.encode(),))) is meaning, name


@pytest.mark.slow
@pytest.mark.service("slapd")
def test_somebody_of_the_directory_logs_in(gateway: Gateways, slapd: Callable[..., Slapd]) -> None:
    server = slapd()
    running = gateway(
        smart_host="[127.0.0.1]:1",
        connector=("auth = true", 'auth-tarpit = "0s"', 'auth-mechanisms = ["PLAIN", "LOGIN"]'),
        more=(
            f'[users.ldap]\nservers = ["ldaps://127.0.0.1:{server.tls_port}"]\nca-file = "{server.ca_file}"\n'
            f'user-dn = "cn={{user}},{BASE}"\ncache-time = "0s"\n'
        ),
    )

    def log_in(password: str) -> int:
        with smtplib.SMTP(running.host, running.port) as client:
            client.starttls(context=ssl._create_unverified_context())
            client.ehlo()
            try:
                return client.login("Ann", password, initial_response_ok=True)[0]
            except smtplib.SMTPAuthenticationError as error:
                return error.smtp_code

    assert (log_in("the secret of ann"), log_in("wrong")) == (235, 535)
    server.halt()
    assert log_in("the secret of ann") == 454


@pytest.mark.slow
@pytest.mark.threat("F27", "F29")
@pytest.mark.service("postfix")
def test_a_gateway_asks_the_next_hop_at_rcpt(gateway: Gateways, postfix: Postfixes) -> None:
    hop = postfix(mailboxes=("carl@hop.example",))
    running = gateway(
        smart_host=f"[127.0.0.1]:{hop.port}",
        more=(
            '[accepted-domains."hop.example"]\n[directories.inside]\ntype = "smtp"\ndomains = ["hop.example"]\n'
            f'[directories.inside.call-forward]\nhost = "[127.0.0.1]:{hop.port}"\n'
        ),
    )
    assert (rcpt(running, "carl@hop.example"), rcpt(running, "nobody@hop.example")) == (250, 550)
    hop.stop()
    assert [rcpt(running, f"{name}@hop.example") for name in ("carl", "nobody", "eve")] == [250, 550, 451]
