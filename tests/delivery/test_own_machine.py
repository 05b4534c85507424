"""A connection that ends on this machine, at a port we listen on everywhere, is not spoken over."""

from __future__ import annotations

import asyncio

import pytest
from tests.delivery.fakes import FakeDialer, FakeHost, mail_to, settings_of, yard

from gatepost.model.queued import MailState

CASES = [
    ("we listen there on every address", "is us", 25, (25,), [MailState.DEAD]),
    ("another port of this machine", "is us", 2525, (25,), []),
    ("we listen on named addresses only", "is us", 25, (), []),
    ("somebody else's machine", "well", 25, (25,), []),
]


@pytest.mark.threat("L02")
@pytest.mark.parametrize(
    ("state", "port", "wildcard_ports", "left"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_our_own_address_behind_a_wildcard(
    state: str, port: int, wildcard_ports: tuple[int, ...], left: list[MailState]
) -> None:
    async def run() -> None:
        # Given a smart host whose address no configuration showed to be ours
        dialer = FakeDialer({"192.0.2.10": FakeHost(state)})
        settings = settings_of({"smart-hosts": [f"[192.0.2.10]:{port}"]})
        made = yard(settings, dialer=dialer, wildcard_ports=wildcard_ports)
        made.scheduler.start()
        made.put(mail_to("b@b.example"))
        # When the mail is sent
        await made.settle(lambda: made.notices == [(1, ("b@b.example",))] or made.store.mail(1) is None)
        await made.scheduler.stop(1)
        # Then it fails as a loop where it would come back, and is delivered elsewhere
        mail = made.store.mail(1)
        assert [r.state for r in mail.recipients] == left if mail else left == []
        assert all("5.4.6" in r.last_reply for r in (mail.recipients if mail else ()))
        assert dialer.hosts["192.0.2.10"].connections == 0

    asyncio.run(run())
