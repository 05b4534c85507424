"""The settings of the mail we write ourselves: notices, and what each remote domain may be sent of them."""

from __future__ import annotations

from typing import Literal

from gatepost.config.networks import Networks
from gatepost.config.schema import Duration, Size, Table, setting, size


class RemoteDomain(Table):
    """[remote-domains."example.net"]: what is written there. "*.example.net" is its subdomains, "*" all others."""

    failure_notices: bool = setting("Whether failure notices (NDRs) may go there", default=True)
    delay_notices: bool = setting("Whether notices of delay may go there", default=True)
    success_notices: bool = setting("Whether reports of delivery may go there", default=True)
    automatic_replies: bool = setting(
        "Whether automatic replies (out of office) may go there; false: they are dropped, on record",
        default=True,
    )
    diagnostics: bool = setting(
        "Show the next hop's own words and the mail's trace fields in notices; false hides host names",
        default=True,
    )
    language: str = setting(
        "Language of notices there: a table of notices.texts; empty: as the mail says, else notices.language",
        default="",
    )


class Notices(Table):
    """[notices]: mail we write ourselves."""

    postmaster: str = setting(
        "From of our notices; empty: postmaster@ the first authoritative domain", default=""
    )
    to: Literal["authenticated", "everyone"] = setting(
        "Whose mail is answered by notices: authenticated: that of users and internal clients, and of strangers whose "
        "return path is proven (proofs), because any other may be forged; what fails of other mail becomes a dead "
        "letter. everyone: any mail",
        default="authenticated",
    )
    proofs: tuple[Literal["spf", "dkim"], ...] = setting(
        "What proves a stranger's return path when its mail comes in: spf: its domain's record lets the client send; "
        "dkim: a signature of its domain, or of one above it, passes; empty: nothing does",
        default=("spf", "dkim"),
    )
    proven_networks: Networks = setting(
        "Clients whose return paths are believed without a proof: addresses, networks and ranges",
        default=(),
        example='["192.0.2.0/28"]',
    )
    delay_after_s: Duration = setting(
        "Age at which the sender of a mail that still waits is told, once; 0s: never", default=0.0, low=0
    )
    return_size_bytes: Size = setting(
        "Larger mail is returned as its header section only", default=size(50, "KiB"), low=0
    )
    footer: str = setting("Text for the reader at the end of each notice", default="")
    hourly_limit: int = setting(
        "Most notices of one worker to one domain within an hour; what fails beyond it becomes a dead letter",
        default=1000,
        low=1,
    )
    hourly_limit_per_sender: int = setting(
        "Most notices of one worker to one address within an hour; what fails beyond it becomes a dead letter",
        default=200,
        low=1,
    )
    copies_to: str = setting("Address that gets a copy of notices with a code of copy-codes", default="")
    copy_codes: tuple[str, ...] = setting(
        "Enhanced codes whose failure notices are copied to copies-to",
        default=("5.1.4", "5.2.0", "5.2.4", "5.4.4", "5.4.6", "5.4.8"),
    )
    language: str = setting(
        "Language of notices where the mail does not ask for one that notices.texts has; empty: the built-in English",
        default="",
    )
    texts: dict[str, dict[str, str]] = setting(
        'Own words: a table a language, in it a text an enhanced code ("5.1.1", "5.1" or "5" for all below it) '
        "and for failed, delayed, delivered and relayed: the opening line",
        default={},
    )
    dead_letter_age_s: Duration = setting(
        "Age at which a dead letter is removed; 0s: never", default=2592000.0, low=0
    )
    dead_letter_size_bytes: Size = setting(
        "Size of all dead letters of one worker beyond which the oldest are removed before their age; 0B: no limit",
        default=size(5, "GiB"),
        low=0,
    )
