"""Commands that are about a worker itself: its configuration, its connectors, its clock."""

from __future__ import annotations

import asyncio

import pytest
from tests.control.mailroom import Worker
from tests.fakes import FakeClock

from gatepost.control.commands import (
    AskStatus,
    Changed,
    ConfirmClock,
    Refused,
    SetConnector,
    TakeConfiguration,
    WorkerStatus,
)
from gatepost.control.gateway import HoldConnector, Reload, decode_command, decode_reply, encode
from gatepost.model.connector_state import ConnectorState
from gatepost.queue.schedule import QueueClock


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_connector_takes_the_state_it_is_told(worker: Worker) -> None:
    assert worker.ask(SetConnector(name="internet", state=ConnectorState.PAUSED)) == Changed()
    status = worker.ask(AskStatus())
    assert isinstance(status, WorkerStatus)
    assert [(d.name, d.state, d.sessions) for d in status.connectors] == [("internet", "paused", 3)]
    refused = worker.ask(SetConnector(name="intranet", state=ConnectorState.PAUSED))
    assert refused == Refused("there is no receive connector 'intranet'")


def test_a_configuration_is_taken_or_it_is_said_why_not(worker: Worker) -> None:
    assert worker.ask(TakeConfiguration(path="g.toml", text="[server]")) == Changed()
    assert worker.ask(TakeConfiguration(path="g.toml", text="")) == Refused("g.toml is empty")


def test_a_store_without_its_worker_takes_no_configuration() -> None:
    down = Worker(running=False)
    assert down.ask(TakeConfiguration(path="g.toml", text="[server]")) == Refused(
        "the gateway is down: it reads the file when it starts"
    )


@pytest.mark.threat("O17")
def test_a_confirmed_clock_is_believed_and_the_queue_looked_at(worker: Worker) -> None:
    worker.jump_s = 864000.0
    status = worker.ask(AskStatus())
    assert isinstance(status, WorkerStatus)
    assert status.clock_jump_s == 864000.0
    assert worker.ask(ConfirmClock()) == Changed()
    assert worker.jump_s == 0.0
    assert len(worker.deliveries.retried) == 1


@pytest.mark.threat("O17", "O18")
@pytest.mark.parametrize("jump_s", [-864000.0, -7200.0, 7200.0, 864000.0, -1.8e9], ids=lambda s: f"{s:g} s")
def test_a_jump_is_told_until_it_is_confirmed_or_gone(jump_s: float) -> None:
    beneath = FakeClock(1_800_000_000.0)
    clock = QueueClock(beneath)
    before = clock.now()
    beneath.wall += jump_s
    assert clock.jump_s == jump_s
    assert clock.now() == before
    beneath.wall -= jump_s
    assert clock.jump_s == 0.0
    beneath.wall += jump_s
    clock.confirm()
    assert (clock.jump_s, clock.now()) == (0.0, beneath.wall)


@pytest.mark.threat("Q11")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        encode(Reload())[:-1],
        encode(Reload()) + b"x",
        encode(Reload()).replace(b"reload", b"unload"),
    ],
    ids=["nothing", "no msgpack", "half of it", "more than it", "an unknown verb"],
)
def test_what_is_no_order_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not understood"):
        decode_command(data)
    with pytest.raises(ValueError, match="not understood"):
        decode_reply(data)


def test_a_verb_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not understood"):
        decode_command(encode(HoldConnector(name="x", verb="pause")).replace(b"pause", b"erase"))


def test_asking_a_worker_is_awaited(worker: Worker) -> None:
    """The command line's link runs the same coroutine that the socket's server awaits."""
    assert (
        asyncio.run(worker.commands.obey(SetConnector(name="internet", state=ConnectorState.RUNNING)))
        == Changed()
    )
