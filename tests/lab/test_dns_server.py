"""The lab's name server, asked by somebody else's resolver code."""

from __future__ import annotations

import asyncio

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from gatepost.lab.dns_server import Fault, LabDns, refuse, truncate

ZONE = """
a.example A 192.0.2.1      # a comment
b.example CNAME a.example.
*.wild.example TXT "anything"
"""


async def asked(server: LabDns, name: str, kind: str, *, by_tcp: bool = False) -> dns.message.Message:
    message = dns.message.make_query(name, kind)
    ask = dns.asyncquery.tcp if by_tcp else dns.asyncquery.udp
    return await ask(message, "127.0.0.1", port=server.port, timeout=2)


def test_answers_as_others_understand_them() -> None:
    async def scene() -> None:
        server = LabDns(ZONE, {"odd.example": Fault(refuse), "long.example": Fault(truncate)})
        await server.start()
        by_alias = await asked(server, "b.example", "A")
        assert [rrset.to_text() for rrset in by_alias.answer] == [
            "b.example. 300 IN CNAME a.example.",
            "a.example. 300 IN A 192.0.2.1",
        ]
        wild = await asked(server, "some.wild.example", "TXT", by_tcp=True)
        assert wild.answer[0].to_text().endswith('"anything"')
        assert (await asked(server, "c.example", "A")).rcode() == dns.rcode.NXDOMAIN
        assert (await asked(server, "a.example", "MX")).rcode() == dns.rcode.NOERROR
        assert (await asked(server, "x.odd.example", "A")).rcode() == dns.rcode.REFUSED
        assert (await asked(server, "long.example", "A")).flags & dns.flags.TC
        assert not (await asked(server, "long.example", "A", by_tcp=True)).flags & dns.flags.TC
        assert server.asked[0] == ("b.example", "A", "udp")
        await server.stop()

    asyncio.run(scene())


@pytest.mark.parametrize("line", ["a.example", "a.example A", "a.example A nonsense", "a.example FOO bar"])
def test_lines_that_are_no_records(line: str) -> None:
    with pytest.raises(ValueError, match="is not a record"):
        LabDns(line)
