"""reload, connector, clock and status, as an administrator sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal

from gatepost.control.commands import Refused
from gatepost.control.gateway import (
    Held,
    HoldConnector,
    Life,
    Mistake,
    Mistakes,
    Reload,
    Reloaded,
    Restarted,
    Workers,
)
from gatepost.model.connector_state import ConnectorState

DOORS = (
    '[receive-connectors.internet]\nlisten = ["0.0.0.0:25"]\n'
    '[receive-connectors.old]\nenabled = false\nlisten = ["0.0.0.0:26"]\n'
)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    made = Terminal(tmp_path)
    made.configure(DOORS)
    return made


def test_a_reload_says_what_became_of_each_worker(terminal: Terminal) -> None:
    terminal.gateway_says = Reloaded(
        revision="0123456789ab",
        workers=(0,),
        restarted=(Restarted(1, "it is starting"),),
        warnings=("g.toml:3: odd",),
    )
    done = terminal.type("reload")
    assert done.exit_code == 0
    assert "revision 0123456789ab is in force in 1 worker" in done.output
    assert "worker 1 restarts after its sessions: it is starting" in done.output
    assert "g.toml:3: odd (warning)" in done.output
    (order,) = terminal.orders
    assert isinstance(order, Reload)
    assert order.by
    said = json.loads(terminal.type("reload", "--json").output)
    assert (said["ok"], said["workers"], said["restarted"][0]["worker"]) == (True, [0], 1)


def test_mistakes_the_gateway_sees_are_the_callers(terminal: Terminal) -> None:
    terminal.gateway_says = Mistakes(
        mistakes=(Mistake(line=7, key="log.level", said="g.toml:7: log.level: no"),)
    )
    done = terminal.type("reload")
    assert (done.exit_code, "g.toml:7: log.level: no\ngatepost: nothing was changed" in done.output) == (
        1,
        True,
    )
    said = json.loads(terminal.type("reload", "--json").stdout)
    assert said == {
        "ok": False,
        "errors": [{"line": 7, "key": "log.level", "message": "g.toml:7: log.level: no"}],
    }


def test_what_needs_a_restart_is_said(terminal: Terminal) -> None:
    terminal.gateway_says = Refused("server.workers is another: that needs a restart")
    done = terminal.type("reload")
    assert (done.exit_code, "that needs a restart; nothing was changed" in done.output) == (1, True)


@pytest.mark.threat("T02")
def test_a_file_that_is_wrong_does_not_reach_the_gateway(terminal: Terminal) -> None:
    terminal.configure("[nonsense]\n")
    done = terminal.type("reload")
    assert (done.exit_code, terminal.orders) == (1, [])
    assert "nonsense: unknown setting" in done.output


@pytest.mark.parametrize("verb", ["pause", "resume", "drain", "stop", "start"])
def test_each_verb_is_one_order(terminal: Terminal, verb: str) -> None:
    terminal.gateway_says = Held(ConnectorState.PAUSED)
    done = terminal.type("connector", verb, "internet")
    assert (done.exit_code, done.output) == (0, "internet: paused\n")
    (order,) = terminal.orders
    assert isinstance(order, HoldConnector)
    assert (order.name, order.verb) == ("internet", verb)


def test_connectors_are_listed_with_all_workers_together(terminal: Terminal) -> None:
    terminal.workers[1].doors["internet"] = ConnectorState.DRAINING
    rows = json.loads(terminal.type("connector", "list", "--json").output)
    assert [(row["name"], row["state"], row["sessions"]) for row in rows] == [
        ("internet", "draining/running", 6),
        ("old", "disabled", 0),
    ]
    terminal.up = False
    rows = json.loads(terminal.type("connector", "list", "--json").output)
    assert [row["state"] for row in rows] == ["down", "disabled"]


def test_status_names_what_is_not_as_usual(terminal: Terminal) -> None:
    usual = terminal.type("status")
    assert (usual.exit_code, "connector" in usual.output, "clock" in usual.output) == (0, False, False)
    for worker in terminal.workers:
        worker.doors["internet"] = ConnectorState.PAUSED
    terminal.workers[0].jump_s = -864000.0
    odd = terminal.type("status")
    assert "receive connector internet is paused: new clients are answered 421" in odd.output
    assert "worker 0: the clock jumped by 10d and is not believed; `gatepost clock confirm`" in odd.output


def test_status_fails_when_a_worker_takes_no_mail(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.workers[1].store, "why_not_accepting", lambda: "disk low: 3 MiB free")
    done = terminal.type("status")
    assert (done.exit_code, "no: disk low: 3 MiB free" in done.output) == (1, True)


def test_status_fails_when_a_worker_is_missing(terminal: Terminal) -> None:
    terminal.gateway_says = Workers(
        lives=(Life(0, ready=True), Life(1, ready=True), Life(2, ready=False, deaths=3))
    )
    done = terminal.type("status")
    assert (done.exit_code, "worker 2 does not answer, and died 3 times in a row" in done.output) == (1, True)
    assert json.loads(terminal.type("status", "--json").output)["missing"] == [2]


@pytest.mark.threat("O17")
def test_the_clock_is_shown_and_confirmed(terminal: Terminal) -> None:
    terminal.workers[0].jump_s = 864000.0
    shown = terminal.type("clock", "show").output
    assert (
        "worker 0: believes 2027-01-05T08:00:00Z; the wall clock says 2027-01-15T08:00:00Z, 10d ahead of it"
        in shown
    )
    assert "worker 1: believes the wall clock" in shown
    assert json.loads(terminal.type("clock", "show", "--json").output)[0]["jump_s"] == 864000.0
    assert "2 workers believe 2027-01-15T08:00:00Z" in terminal.type("clock", "confirm").output
    assert terminal.workers[0].jump_s == 0.0
    terminal.up = False
    for words in (("clock", "show"), ("clock", "confirm")):
        done = terminal.type(*words)
        assert (done.exit_code, "the gateway does not run" in done.output) == (1, True)
