"""One question over TCP: when an answer does not fit a datagram, or datagrams cannot be trusted."""

from __future__ import annotations

import asyncio
import secrets

from gatepost.adapters.dns_udp import NameServer
from gatepost.adapters.dns_wire import Answer, Kind, Malformed, Truncated, is_reply_to, query, read_reply


async def ask_by_tcp(server: NameServer, asked: bytes, kind: Kind) -> Answer:
    """Ask and wait; the caller limits the time.

    Raises OSError (refused, reset, closed early), Malformed, ServerRefusal.
    """
    reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
    try:
        return await _converse(reader, writer, server, asked, kind)
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("closed in the middle of an answer") from error
    finally:
        writer.close()


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: NameServer, asked: bytes, kind: Kind
) -> Answer:
    query_id = secrets.randbits(16)
    message = query(query_id, asked, edns=server.edns)
    writer.write(len(message).to_bytes(2, "big") + message)
    size = int.from_bytes(await reader.readexactly(2), "big")
    data = await reader.readexactly(size)
    if data[:2] != message[:2] or not is_reply_to(data, asked):
        raise Malformed("the answer belongs to another question")
    try:
        return read_reply(data, asked, kind, trust_ad=server.trust_ad)
    except Truncated as error:
        raise Malformed("truncated over TCP") from error
