"""Updates signed by Kerberos, as the Windows DNS server wants them (GSS-TSIG, RFC 3645), with the extra `kerberos`."""

from __future__ import annotations

import secrets
import time
from importlib import import_module
from typing import Any, Final

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TKEY
import dns.tsig

from gatepost.adapters.dns_update import Signing, asked
from gatepost.adapters.kerberos import load_extra
from gatepost.model.fault import WorldFault

ROUNDS_LIMIT: Final = 5
"""Kerberos needs one."""
LIFETIME_S: Final = 3600
_GSS_MODE: Final = 3  # RFC 2930 §2.5
_SPNEGO: Final = "1.3.6.1.5.5.2"
_ERRORS: Final = {16: "BADSIG", 17: "BADKEY", 18: "BADTIME", 19: "BADMODE", 20: "BADNAME", 21: "BADALG"}


def gss_signing(host: str, port: int, name: str) -> Signing:
    """A security context with the server at this address, which proves to be `name`.

    Takes the ticket of whoever runs the command (kinit, or KRB5_CLIENT_KTNAME). Blocks. Raises WorldFault.
    """
    load_extra("gssapi")
    gssapi: Any = import_module("gssapi")  # not on every machine, so not known to the type checker
    try:
        return _established(host, port, name, gssapi)
    except gssapi.exceptions.GSSError as error:
        raise WorldFault(
            f"no Kerberos with DNS/{name}; is there a ticket (klist), and is that the server's own name? {error}"
        ) from error


def _established(host: str, port: int, name: str, gssapi: Any) -> Signing:
    context = _new_context(name, gssapi)
    key_name = dns.name.from_text(f"{secrets.token_hex(8)}.sig-gatepost")
    key = dns.tsig.Key(key_name, context, dns.tsig.GSS_TSIG)
    token: bytes | None = context.step()
    for _ in range(ROUNDS_LIMIT):
        question = _tkey_question(key_name, token or b"")
        # A signed answer's token is taken in before its signature is looked at.
        question.keyring = dns.tsig.GSSTSigAdapter({key_name: key})  # type: ignore[no-untyped-call]  # dnspython's
        answer = asked(question, host, port)
        said = _token_of(answer, key_name, host)
        if answer.had_tsig:
            break
        token = context.step(said)
        if context.complete and not token:
            break
    if not context.complete or not answer.had_tsig:
        raise WorldFault(f"{host} does not prove that it is {name}: it does not sign the end of the exchange")
    # Windows signs updates, and does not take questions that are signed.
    return Signing(ring={key_name: key}, name=key_name, algorithm=dns.tsig.GSS_TSIG, reads=False)


def _new_context(name: str, gssapi: Any) -> Any:
    wanted = gssapi.RequirementFlag
    return gssapi.SecurityContext(
        name=gssapi.Name(f"DNS@{name}", gssapi.NameType.hostbased_service),
        mech=gssapi.OID.from_int_seq(_SPNEGO),
        flags=wanted.mutual_authentication | wanted.replay_detection | wanted.integrity,
        usage="initiate",
    )


def _tkey_question(key_name: dns.name.Name, token: bytes) -> dns.message.QueryMessage:
    """RFC 2930 §4.3 with the mode of GSS-API."""
    question = dns.message.make_query(key_name, dns.rdatatype.TKEY, dns.rdataclass.ANY, flags=0)
    now = int(time.time())
    record = dns.rdtypes.ANY.TKEY.TKEY(  # type: ignore[no-untyped-call]  # dnspython's
        dns.rdataclass.ANY,
        dns.rdatatype.TKEY,
        dns.tsig.GSS_TSIG,
        now,
        now + LIFETIME_S,
        _GSS_MODE,
        dns.rcode.NOERROR,
        token,
    )
    rrset = question.find_rrset(
        question.additional, key_name, dns.rdataclass.ANY, dns.rdatatype.TKEY, create=True, force_unique=True
    )
    rrset.add(record)
    return question


def _token_of(answer: dns.message.Message, key_name: dns.name.Name, host: str) -> bytes:
    """Raises WorldFault when the server wants no context with us."""
    if answer.rcode() != dns.rcode.NOERROR:
        raise WorldFault(f"{host} does not take Kerberos: {dns.rcode.to_text(answer.rcode())}")
    for rrset in answer.answer:
        if rrset.name == key_name and rrset.rdtype == dns.rdatatype.TKEY:
            record: Any = rrset[0]
            if record.error:
                said = _ERRORS.get(record.error, str(record.error))
                raise WorldFault(f"{host} does not take our Kerberos ticket: {said}")
            return bytes(record.key)
    raise WorldFault(f"{host} does not take Kerberos: its answer has no TKEY record")
