"""What every test may use: free ports, lab servers, a real gateway, real mail servers where installed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from tests.services.background import Background
from tests.services.dovecot import DovecotServer
from tests.services.gateway import GatewayUnderTest, gateway_in
from tests.services.postfix import PostfixServer

from gatepost.lab.dns_server import LabDns
from gatepost.lab.ports import free_port as a_free_port
from gatepost.lab.sink import Behaviour, Sink

# A machine may be slow: what a property says of time is no part of it.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")

SBIN = "/usr/sbin:/sbin:/usr/local/sbin"
# A slow machine is no failure: pytest's own timeout ends what hangs.
hypothesis.settings.register_profile("gatepost", deadline=None)
hypothesis.settings.load_profile("gatepost")
os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{SBIN}"


def missing_service(name: str) -> str:
    """Why a service cannot be used here; "" when it can."""
    if shutil.which(name) is None:
        return f"{name} is not installed (tools/services.sh installs it)"
    if name in ("postfix", "dovecot") and os.geteuid() != 0:
        return f"{name} needs root"
    return ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("service"):
        for name in marker.args:
            reason = missing_service(name)
            if reason:
                pytest.skip(reason)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    return a_free_port


@pytest.fixture
def background() -> Iterator[Background]:
    """An event loop in a thread, for lab servers."""
    made = Background()
    yield made
    made.close()


@pytest.fixture
def sink(background: Background) -> Iterator[Sink]:
    """A mailbox server that takes everything; change its `behaviour` at will."""
    made = Sink(Behaviour())
    background.run(made.start())
    yield made
    background.run(made.stop())


@pytest.fixture
def lab_dns(background: Background) -> Iterator[LabDns]:
    """A name server without names; `add` them."""
    made = LabDns("")
    background.run(made.start())
    yield made
    background.run(made.stop())


@pytest.fixture
def gateway(lab_dns: LabDns) -> Iterator[Callable[..., GatewayUnderTest]]:
    """Starts gateways: gateway(smart_host=..., connector=(...), sender=(...), more="...").

    At the end of the test each must stop cleanly. pytest's own directories have names too long
    for the path of a Unix socket, so they live beside them.
    """
    started: list[GatewayUnderTest] = []
    place = Path(tempfile.mkdtemp(prefix="gp-"))

    def start(*, smart_host: str, **wishes: Any) -> GatewayUnderTest:
        made = gateway_in(
            place / f"gateway-{len(started)}",
            smart_host=smart_host,
            **{"dns_port": lab_dns.port, **wishes},
        )
        started.append(made)
        made.start()
        return made

    yield start
    try:
        for made in started:
            if made.process.is_running:
                made.stop()
    finally:
        for made in started:
            made.process.kill()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def postfix() -> Iterator[Callable[..., PostfixServer]]:
    """Starts Postfix instances: postfix(mailboxes=("ann@ours.example",)) or postfix(relayhost="[127.0.0.1]:25")."""
    started: list[PostfixServer] = []

    def start(**wishes: Any) -> PostfixServer:
        made = PostfixServer(**wishes)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.stop()


@pytest.fixture
def dovecot() -> Iterator[Callable[..., DovecotServer]]:
    """Starts Dovecot instances: dovecot(mailboxes={"ann": "", "bob": "*:storage=1K"})."""
    started: list[DovecotServer] = []

    def start(**wishes: Any) -> DovecotServer:
        made = DovecotServer(**wishes)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.stop()
