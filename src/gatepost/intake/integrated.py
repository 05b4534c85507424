"""Exchange's integrated authentication: AUTH NTLM (MS-NLMP, version 2), and AUTH GSSAPI (RFC 4752) by Kerberos.

A GSSAPI client may wrap its tokens in SPNEGO, as clients of Exchange do: the acceptor knows both forms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gatepost.intake.auth_exchange import (
    CREDENTIALS_INVALID,
    MALFORMED,
    Challenge,
    GssShown,
    NtlmShown,
    Step,
    Vouched,
    challenge,
    is_name,
    no_other,
    text_of,
)
from gatepost.model.fault import PeerFault
from gatepost.ports.directory import NtHashes
from gatepost.ports.gssapi import GssAcceptor, GssContext
from gatepost.protocol import ntlm

ROUNDS_LIMIT: Final = 8
"""Of one GSSAPI login; Kerberos in SPNEGO needs four."""
OCTETS_LIMIT: Final = 128 * 1024
_NO_LAYER: Final = b"\x01\x00\x00\x00"
"""RFC 4752 §3.1: no security layer, and therefore no size. TLS is there already."""
_GO_ON: Final = "NTLM supported"
"""As Exchange says (MS-SMTPNTLM §2.2.1.2), which is no base64; swaks waits for ever for words after 334."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrated:
    """What the two need of the house: made once a worker. What is None is not offered.

    user_of: the user's name here for a principal, "" for one that is not ours.
    """

    nt_hashes: NtHashes | None = None
    ntlm_domain: str = ""
    gssapi: GssAcceptor | None = None
    user_of: Callable[[str], str] = str

    def knows(self, said: ntlm.NtlmProof, server_challenge: bytes, end_point: bytes) -> bool:
        """Whether the answer is of who knows the password. As much work for nobody (threats E07). Raises WorldFault."""
        assert self.nt_hashes is not None, "NTLM without hashes"
        nt_hash = self.nt_hashes.nt_hash(said.user)
        good = ntlm.proof_is_good(nt_hash or bytes(16), said, server_challenge)
        return good and nt_hash is not None and ntlm.is_of_channel(said, end_point)


class NtlmExchange:
    """AUTH NTLM: an opening, our challenge, the answer to it.

    server_challenge: eight octets that nobody can guess. end_point: RFC 5929 §4, or b"".
    """

    def __init__(
        self, house: Integrated, *, server_challenge: bytes, end_point: bytes, hostname: str
    ) -> None:
        self._house = house
        self._challenge = server_challenge
        self._end_point = end_point
        self._hostname = hostname
        self._is_challenged = False

    def respond(self, response: bytes | None) -> Step:
        """As Exchange.respond."""
        try:
            if response is None:
                return Challenge(_GO_ON)
            if not self._is_challenged:
                return self._begun(response)
            said = ntlm.read_authenticate(response)
        except ValueError as error:
            raise PeerFault(MALFORMED, f"AUTH NTLM: {error}") from error
        if not is_name(said.user):
            raise PeerFault(CREDENTIALS_INVALID, "AUTH NTLM with an unusable name")
        return NtlmShown(said.user, lambda: self._house.knows(said, self._challenge, self._end_point))

    def _begun(self, response: bytes) -> Challenge:
        ntlm.check_negotiate(response)
        self._is_challenged = True
        return challenge(
            ntlm.challenge(self._challenge, hostname=self._hostname, domain=self._house.ntlm_domain)
        )


class _State(Enum):
    NEGOTIATING = 1
    ESTABLISHED = 2
    """The client has our last token and owes an empty response."""
    LAYER = 3
    """It was told which security layers there are, and has to choose."""


class GssapiExchange:
    """AUTH GSSAPI. Everything that costs is done by the context, which does not hold up the loop."""

    def __init__(self, house: Integrated) -> None:
        assert house.gssapi is not None, "GSSAPI without an acceptor"
        self._context: GssContext = house.gssapi.begin()
        self._user_of = house.user_of
        self._state = _State.NEGOTIATING
        self._principal = ""
        self._rounds = 0
        self._octets = 0

    def respond(self, response: bytes | None) -> Step:
        """As Exchange.respond."""
        if response is None:
            return Challenge("")
        self._rounds += 1
        self._octets += len(response)
        if self._rounds > ROUNDS_LIMIT or self._octets > OCTETS_LIMIT:
            raise PeerFault(CREDENTIALS_INVALID, "AUTH GSSAPI does not come to an end")
        return GssShown(lambda: self._look(response))

    async def _look(self, response: bytes) -> Challenge | Vouched:
        try:
            match self._state:
                case _State.NEGOTIATING:
                    return await self._token(response)
                case _State.ESTABLISHED:
                    if response:
                        raise PeerFault(MALFORMED, "AUTH GSSAPI: a token after the last one")
                    return await self._layers()
                case _State.LAYER:
                    return self._chosen(await self._context.unwrap(response))
        except ValueError as error:
            raise PeerFault(CREDENTIALS_INVALID, f"AUTH GSSAPI: {error}") from error

    async def _token(self, token: bytes) -> Challenge:
        step = await self._context.step(token)
        if not step.principal:
            return challenge(step.answer)
        self._principal = step.principal
        if not step.answer:
            return await self._layers()
        self._state = _State.ESTABLISHED
        return challenge(step.answer)

    async def _layers(self) -> Challenge:
        self._state = _State.LAYER
        return challenge(await self._context.wrap(_NO_LAYER))

    def _chosen(self, choice: bytes) -> Vouched:
        if len(choice) < 4 or choice[:1] != _NO_LAYER[:1]:
            raise PeerFault(MALFORMED, "AUTH GSSAPI: a security layer that was not offered")
        user = self._user_of(self._principal)
        if not user:
            raise PeerFault(CREDENTIALS_INVALID, "AUTH GSSAPI: a principal that is not ours")
        identity = text_of(choice[4:])
        if identity != self._principal:
            no_other(identity, user)
        return Vouched(user)


def user_of_principal(principal: str, *, realms: tuple[str, ...], keep_realm: bool) -> str:
    """ "ann@OURS.EXAMPLE" -> "ann", or "ann@ours.example" with keep_realm; "" for another realm's or an odd one."""
    name, _, realm = principal.rpartition("@")
    if realm not in realms or not is_name(name) or "@" in name or "\\" in name:
        return ""
    return f"{name}@{realm.lower()}" if keep_realm else name
