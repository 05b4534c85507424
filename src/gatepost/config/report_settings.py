"""The settings of reports that others send us: where they come to, what becomes of them, how many are kept."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Size, Table, setting, size


class Reports(Table):
    """[reports]: DMARC and TLS reports of others, read as they arrive."""

    addresses: tuple[str, ...] = setting(
        "Addresses that your DMARC (rua) and TLS-RPT records name: mail to them is read for reports. Empty: none",
        default=(),
        example='["dmarc@example.com", "tls-reports@example.com"]',
    )
    afterwards: Literal["deliver", "consume"] = setting(
        "What becomes of the mail once its report is kept: deliver: it goes on to its mailbox; consume: it ends here, "
        "and the address needs no mailbox. Mail without a report that can be read goes on in either case",
        default="deliver",
    )
    domains: tuple[str, ...] = setting(
        "Domains of ours besides the accepted ones and those of [dns-monitor], with all below them; reports about "
        "others are kept and count for nothing",
        default=(),
        example='["example.net"]',
    )
    names: bool = setting("Look up the names of addresses that reports tell of (PTR)", default=True)
    document_limit_bytes: Size = setting(
        "Largest report, unpacked; a larger one is not read",
        default=size(10, "MiB"),
        low=64 << 10,
        high=50 << 20,
    )
    reading_limit_s: Duration = setting(
        "How much of the processor's time the reading of one mail may take, in a thread beside the mail flow",
        default=30.0,
        low=1,
        high=300,
    )
    age_s: Duration = setting("How long reports are kept", default=400 * 86400.0, low=86400)
    size_bytes: Size = setting(
        "Size of all kept reports, beyond which those go that count for nothing, then the oldest",
        default=size(256, "MiB"),
        low=16 << 20,
    )
