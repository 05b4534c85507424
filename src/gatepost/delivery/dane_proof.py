"""Whether the chain that a next hop showed is one of those its TLSA records name; looked at before anything is sent."""

from __future__ import annotations

import datetime
from dataclasses import replace

from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkTls
from gatepost.model.session import TlsInfo
from gatepost.standards.dane import DaneFault, verify


def proven_by_dane(tls: TlsInfo, link: LinkTls, *, now: float) -> TlsInfo:
    """The same, with a peer that is proven. now: seconds since the epoch. Raises WorldFault when it is not."""
    try:
        verify(
            tls.chain,
            link.associations,
            link.names,
            now=datetime.datetime.fromtimestamp(now, tz=datetime.UTC),
        )
    except DaneFault as fault:
        raise WorldFault(f"DANE: {fault}", tls_result=fault.result) from fault
    return replace(tls, peer_is_proven=True)
