"""Joins what NTLM and GSSAPI need: the file of hashes, and Kerberos with our keytab."""

from __future__ import annotations

from functools import partial

from gatepost.adapters.kerberos import KerberosAcceptor
from gatepost.adapters.nt_hashes import NtHashesFile
from gatepost.config.login_settings import Users
from gatepost.intake.integrated import Integrated, user_of_principal


def integrated_logins(users: Users) -> Integrated | None:
    """Once a worker; None when neither is configured. Raises WorldFault when the extra is not installed."""
    gssapi, ntlm = users.gssapi, users.ntlm
    if not gssapi.keytab_file and not ntlm.hashes_file:
        return None
    return Integrated(
        nt_hashes=NtHashesFile(ntlm.hashes_file) if ntlm.hashes_file else None,
        ntlm_domain=ntlm.domain,
        gssapi=KerberosAcceptor(gssapi.keytab_file) if gssapi.keytab_file else None,
        user_of=partial(user_of_principal, realms=gssapi.realms, keep_realm=gssapi.keep_realm),
    )
