"""From the name a client gives after AUTH to the exchange that speaks it."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.intake.auth_exchange import Exchange
from gatepost.intake.integrated import GssapiExchange, Integrated, NtlmExchange
from gatepost.intake.sasl import BearerExchange, ExternalExchange, LoginExchange, PlainExchange, ScramExchange
from gatepost.model.fault import PeerFault
from gatepost.model.reply import Reply
from gatepost.protocol import ntlm, scram


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What an exchange needs to know of the session, and of the house.

    nonce: hexadecimal digits that nobody can guess. offered: the mechanisms. end_point: RFC 5929
    §4, or b"". hostname: ours at this door.
    """

    nonce: str
    end_point: bytes
    offered: tuple[str, ...]
    vouched_user: str = ""
    """Whom the client's certificate lets it be; "" for nobody."""
    hostname: str = ""
    integrated: Integrated | None = None
    """None: neither NTLM nor GSSAPI."""


def exchange_for(mechanism: str, around: Circumstances) -> Exchange:
    """A new exchange. The engine lets only offered mechanisms through; others raise PeerFault (504)."""
    match mechanism.upper():
        case "PLAIN":
            return PlainExchange()
        case "LOGIN":
            return LoginExchange()
        case scram.MECHANISM | scram.MECHANISM_PLUS as name:
            return ScramExchange(
                nonce=around.nonce,
                bound_to=around.end_point if name == scram.MECHANISM_PLUS else b"",
                plus_offered=scram.MECHANISM_PLUS in around.offered,
            )
        case "OAUTHBEARER" | "XOAUTH2" as name:
            return BearerExchange(is_google=name == "XOAUTH2")
        case "EXTERNAL" if around.vouched_user:
            return ExternalExchange(around.vouched_user)
        case "NTLM" if around.integrated is not None:
            return NtlmExchange(
                around.integrated,
                server_challenge=bytes.fromhex(around.nonce)[: ntlm.CHALLENGE_BYTES],
                end_point=around.end_point,
                hostname=around.hostname,
            )
        case "GSSAPI" if around.integrated is not None:
            return GssapiExchange(around.integrated)
        case _:
            raise PeerFault(Reply(504, "5.5.4", "Mechanism not offered"), "AUTH mechanism not offered")
