"""The hostile bytes of `make fuzz`, in small; and that its oracles notice what is planted."""

from __future__ import annotations

from itertools import islice

import pytest
from fuzz.mutation import mutants
from fuzz.oracles import Broken
from fuzz.reference import BROKEN, framed
from fuzz.targets import TARGETS, Target

from fuzz import session, targets
from gatepost.protocol import smtp_states
from gatepost.protocol.data import DataFramer
from gatepost.protocol.events import Verb
from gatepost.protocol.smtp_server import ServerEngine
from gatepost.protocol.smtp_states import State


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_was_found_once_holds(target: Target) -> None:
    seeds = target.seeds()
    assert seeds, "a target begins from well-formed inputs"
    for data in islice(mutants(seeds, target.words, seed=7), len(seeds) + 30):
        target.run(data)


def test_any_conversation_is_the_model_s() -> None:
    wrong = [session.play(seed) for seed in range(300)]
    assert not any(wrong)


@pytest.mark.parametrize("planted", ["a sender may change", "TLS is not remembered"])
def test_a_session_that_is_wrong_is_found(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an engine with a fault
    if planted == "TLS is not remembered":
        real = ServerEngine.tls_started

        def forgets(engine: ServerEngine) -> None:
            real(engine)
            engine._tls = False

        monkeypatch.setattr(ServerEngine, "tls_started", forgets)
    else:
        monkeypatch.setitem(smtp_states.CELLS, (State.RCPT, Verb.MAIL), State.RCPT)
    # Then a conversation shows it, and says which
    found = next(filter(None, map(session.play, range(3000))), "")
    assert "by the model" in found


def test_a_framer_that_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a framer that lets a line of a dot and NUL pass (A09)
    monkeypatch.setattr(DataFramer, "_refuse_nul_dot", lambda *_: None)
    with pytest.raises(Broken):
        targets.framing(b"x\r\n\0.\r\n.\r\n")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\r\n.\r\nQUIT\r\n", (b"a\r\n", b"QUIT\r\n")),
        (b"..\r\n.\r\n", (b".\r\n", b"")),
        (b"a\r\n", None),
        (b"a\n.\r\n", BROKEN),
        (b"a\r", None),
        (b"\0.\r\n", BROKEN),
    ],
)
def test_the_reference(data: bytes, expected: object) -> None:
    assert framed(data) == expected
