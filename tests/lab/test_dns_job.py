"""`gatepost lab dns`: what an operator can make a name server do, and how wrong words are told."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from gatepost.lab.dns_job import run as run_job
from gatepost.lab.dns_lies import TWISTS
from gatepost.lab.dns_server import Fault, LabDns
from gatepost.lab.ports import free_port

ZONE = "b.example MX 10 mx.b.example.\nmx.b.example A 192.0.2.20\n"


@contextmanager
def served(tmp_path: Path, *words: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    zone, port = tmp_path / "zone", free_port()
    zone.write_text(ZONE)
    command = [sys.executable, "-u", "-m", "gatepost", "lab", "dns", "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        [*command, "--zone", str(zone), *words], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            assert running.stdout.readline().strip() == f"127.0.0.1:{port}, until Ctrl-C"
            yield port, running
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 0
        finally:
            running.kill()


def test_an_operator_sees_the_questions_and_the_faults(tmp_path: Path) -> None:
    with served(tmp_path, "--fault", "mx.b.example=servfail") as (port, running):
        asked = dns.message.make_query("b.example", "MX")
        assert dns.query.udp(asked, "127.0.0.1", port=port, timeout=60).answer
        asked = dns.message.make_query("mx.b.example", "A")
        assert dns.query.tcp(asked, "127.0.0.1", port=port, timeout=60).rcode() == dns.rcode.SERVFAIL
        assert running.stdout is not None
        assert running.stdout.readline() == "b.example MX by udp\n"
        assert running.stdout.readline() == "mx.b.example A by tcp\n"


def test_faults_end_by_themselves(tmp_path: Path) -> None:
    with served(tmp_path, "--fault", ".=servfail", "--heal-after", "100ms") as (port, running):
        assert running.stdout is not None
        assert running.stdout.readline() == "healed: every answer is true from now on\n"
        asked = dns.message.make_query("mx.b.example", "A")
        assert dns.query.udp(asked, "127.0.0.1", port=port, timeout=60).rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--listen", "here"],
        ["--listen", "127.0.0.1:1", "--fault", "b.example"],
        ["--listen", "127.0.0.1:1", "--fault", "b.example=explodes"],
        ["--listen", "127.0.0.1:1", "--fault", "b.example=late"],
        ["--listen", "127.0.0.1:1", "--fault", "b.example=late:soon"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_job(arguments)
    assert ended.value.code == 2
    assert "usage: gatepost lab dns" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("zone", "complaint"),
    [(b"b.example MX", "is not a record"), (b"\xff A 192.0.2.1", "utf-8"), (None, "No such file")],
)
def test_a_zone_that_cannot_be_read_is_told(
    zone: bytes | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "zone"
    if zone is not None:
        file.write_bytes(zone)
    assert run_job(["--listen", "127.0.0.1:1", "--zone", str(file)]) == 1
    assert complaint in capsys.readouterr().out


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_job(["--listen", f"127.0.0.1:{port}"]) == 1
    assert f"127.0.0.1:{port}: " in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(set(TWISTS) - {"late", "forged-first", "truncated", "somebody-else"}))
def test_each_fault_keeps_the_truth_from_another_resolver(name: str) -> None:
    async def scene() -> None:
        server = LabDns(ZONE, {"": Fault(TWISTS[name])})
        await server.start()
        asked = dns.message.make_query("mx.b.example", "A")
        try:
            answer = await asyncio.to_thread(
                dns.query.udp, asked, "127.0.0.1", port=server.port, timeout=0.2, raise_on_truncation=True
            )
            assert not answer.answer or answer.rcode() != dns.rcode.NOERROR
        except dns.exception.DNSException:
            pass
        await server.stop()

    asyncio.run(scene())
