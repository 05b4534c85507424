"""The closed list of metrics: names, meanings, labels. Long because it is a table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class MetricKind(Enum):
    """How a number moves."""

    COUNTER = "counter"
    """Only grows."""
    GAUGE = "gauge"


class Together(Enum):
    """What the values of several workers come to."""

    SUM = "sum"
    HIGHEST = "highest"
    """Each of them says the same, or the worst counts."""
    LOWEST = "lowest"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. labels: names whose values come from small closed sets of ours, never from a peer (threats S05)."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: MetricKind = MetricKind.COUNTER
    together: Together = Together.SUM


_GAUGE: Final = MetricKind.GAUGE
_HIGHEST: Final = Together.HIGHEST
_LOWEST: Final = Together.LOWEST

METRICS: Final = (
    Metric("worker_up", "1 while the worker answers", ("worker",), _GAUGE),
    Metric("worker_started", "When the worker was started, in seconds since 1970", ("worker",), _GAUGE),
    Metric(
        "worker_takes_mail",
        "1 while the worker takes new mail; `gatepost status` says why not",
        ("worker",),
        _GAUGE,
    ),
    Metric("connector_running", "Workers in which the receive connector runs", ("connector",), _GAUGE),
    Metric("gateway_up", "1 while the supervisor answers", (), _GAUGE),
    Metric(
        "processes_ended", "Processes of the gateway that ended without having been told to", ("process",)
    ),
    Metric(
        "reload_refused", "1 while the last reload was refused and an older configuration goes on", (), _GAUGE
    ),
    Metric("connections", "Connections taken, by receive connector", ("connector",)),
    Metric(
        "connections_refused",
        "Connections refused before the banner, and by which limit",
        ("connector", "limit"),
    ),
    Metric("early_talkers", "Clients that spoke before the banner"),
    Metric("sessions", "Sessions that are open now", ("connector",), _GAUGE),
    Metric("sessions_closed", "Sessions we closed for a limit", ("connector", "limit")),
    Metric("commands_refused", "Commands and messages refused for a limit", ("connector", "limit")),
    Metric("harvest_delays", "Refusals of guessed recipients that were delayed further", ("connector",)),
    Metric("clients_blocked", "Clients put on the block list, and by what", ("by",)),
    Metric("rate_limited", "Times a limit of [rate-limits] was reached", ("limit", "action")),
    Metric("stress", "Workers with the stress profile in force", ("connector",), _GAUGE),
    Metric(
        "resource", "The last reading of a watched resource, of all workers together", ("resource",), _GAUGE
    ),
    Metric("resource_pressure", "Workers whose resource is at this level", ("resource", "level"), _GAUGE),
    Metric("tls_sessions", "TLS handshakes done, by version", ("version",)),
    Metric("tls_failures", "TLS handshakes that failed"),
    Metric(
        "certificate_failed",
        "1 while new certificate files cannot be used",
        ("connector", "direction"),
        _GAUGE,
        _HIGHEST,
    ),
    Metric(
        "certificate_warning",
        "1 while a certificate ends within server.certificate-warning, or has ended",
        ("connector", "direction"),
        _GAUGE,
        _HIGHEST,
    ),
    Metric(
        "certificate_expires",
        "When the first certificate ends, in seconds since 1970",
        ("connector", "direction"),
        _GAUGE,
        _LOWEST,
    ),
    Metric(
        "client_certificates",
        "Certificates that clients showed, by what we know them as",
        ("connector", "identity"),
    ),
    Metric("authentications", "AUTH attempts that succeeded, by mechanism", ("connector", "mechanism")),
    Metric("authentication_failures", "AUTH attempts that failed", ("connector",)),
    Metric("logins_stopped", "AUTH attempts refused unread, and by which limit", ("connector", "limit")),
    Metric("account_recipients_refused", "Recipients beyond an account's hourly limit", ("connector",)),
    Metric("protocol_violations", "Breaches of SMTP that the engine answered", ("connector",)),
    Metric("refusals", "Commands refused, and by which agent", ("connector", "agent")),
    Metric("mails_accepted", "Mails taken in", ("connector",)),
    Metric("mails_refused", "Mails refused at the end of data, and by which agent", ("connector", "agent")),
    Metric("mails_not_accepted", "Mails answered with a 4xx because the store does not take new mail"),
    Metric("mails_quarantined", "Mails put into quarantine, and by which agent", ("agent",)),
    Metric("mails_discarded", "Mails taken and thrown away, and by which agent", ("agent",)),
    Metric("recipients_delivered", "Recipients handed on", ("connector",)),
    Metric("recipients_deferred", "Recipients to be tried again", ("connector",)),
    Metric("recipients_failed", "Recipients given up", ("connector",)),
    Metric("delivery_connections", "Connections opened to next hops", ("connector",)),
    Metric(
        "delivery_waits",
        "Times mail waited for a limit: connections (delivery.connections) or pace (messages-per-minute)",
        ("connector", "why"),
    ),
    Metric("dkim_signed", "Mails that left with our DKIM signatures"),
    Metric("dkim_unsigned", "Mails that left without our DKIM signature, and why", ("reason",)),
    Metric("arc_sealed", "Mails of others that left with our ARC seal"),
    Metric("arc_unsealed", "Mails of others that left without our ARC seal, and why", ("reason",)),
    Metric("delivery_tls_fallbacks", "Connections opened again without TLS", ("connector",)),
    Metric(
        "delivery_tls_policy_failures",
        "Hosts that a published policy (DANE, MTA-STS) kept us from, or would have in testing",
        ("connector",),
    ),
    Metric("mta_sts_fetches", "MTA-STS policies fetched or looked for in vain, by result", ("result",)),
    Metric("dane_resolver_proven", "Workers whose resolver is shown to validate DNSSEC", (), _GAUGE),
    Metric("tls_reports", "Reports to other domains about TLS, by result", ("result",)),
    Metric(
        "dmarc_reports", "DMARC reports to other domains, by result (sent, suppressed, failed)", ("result",)
    ),
    Metric(
        "dmarc_failure_reports",
        "Reports of single mails to other domains, by result (sent, suppressed, limited, silent, failed)",
        ("result",),
    ),
    Metric(
        "reports_received",
        "Reports of others, by kind (dmarc, tls, failure, none) and result (kept, duplicate, unreadable, failed)",
        ("kind", "result"),
    ),
    Metric("dns_problems", "What is wrong with the records of our own domains", ("domain",), _GAUGE),
    Metric("dns_changes", "Changes of the records of our own domains", ("domain",)),
    Metric("notices", "Notices written, by kind", ("kind",)),
    Metric("notices_suppressed", "Notices not written, and why", ("why",)),
    Metric("queued_recipients", "Recipients in the queue, by state", ("state",), _GAUGE),
    Metric("queued_oldest", "When the oldest of them was taken, in seconds since 1970", ("state",), _GAUGE),
    Metric("store_unreadable", "Stores whose queue cannot be read", (), _GAUGE),
    Metric("store_commits", "Transactions committed"),
    Metric("store_failures", "Transactions that failed"),
    Metric(
        "single_source",
        "Workers whose last 1000 mails of strangers came from one address, or from private ones",
        (),
        _GAUGE,
    ),
    Metric(
        "dns_questions",
        "Questions sent, by zone (those of dns.watched-zones, other) and outcome (found, none, unknown)",
        ("zone", "outcome"),
    ),
    Metric("dns_wait_seconds", "Time until questions came to their end, all together", ("zone",)),
    Metric("dns_cache_hits", "Answers that were known already"),
    Metric("dns_cached_answers", "Answers kept", (), _GAUGE),
    Metric("dns_waiting_questions", "Questions on their way", (), _GAUGE),
    Metric("dns_server_answers", "Answers of a name server", ("server",)),
    Metric("dns_server_refusals", "Times a name server did not know, or was not there", ("server",)),
    Metric("dns_server_silences", "Times a name server did not answer in time", ("server",)),
    Metric("dns_silent", "1 while no name server answers", (), _GAUGE, _HIGHEST),
    Metric(
        "dns_server_usual_seconds",
        "Time a name server usually takes (smoothed)",
        ("server",),
        _GAUGE,
        _HIGHEST,
    ),
    Metric("dns_server_wait_seconds", "Time until a name server answered, all answers together", ("server",)),
    Metric("recipient_list_failed", "1 while the recipient list cannot be read", (), _GAUGE, _HIGHEST),
    Metric("directory_recipients", "Recipients in the index in force", ("directory",), _GAUGE, _HIGHEST),
    Metric(
        "directory_synced",
        "When the index in force was copied from its source, in seconds since 1970",
        ("directory",),
        _GAUGE,
        _LOWEST,
    ),
    Metric(
        "directory_failed", "1 while a directory cannot be copied or asked", ("directory",), _GAUGE, _HIGHEST
    ),
    Metric("directory_questions", "Questions to next hops about recipients", ("directory",)),
    Metric(
        "directory_catch_all", "1 while a next hop takes every recipient", ("directory",), _GAUGE, _HIGHEST
    ),
    Metric("agent_bugs", "Errors inside an agent; each is a bug to report", ("agent",)),
    Metric("scan_deaths", "Scan workers that did not live to give the opinion of an agent", ("agent",)),
    Metric("plug_ins_switched_off", "Times an agent or fact of your own was switched off", ("plug_in",)),
    Metric(
        "plug_in_off", "Workers in which an agent or fact of your own is switched off", ("plug_in",), _GAUGE
    ),
    Metric("fact_bugs", "Errors inside what gathers a fact; each is a bug to report", ("fact",)),
    Metric("bugs", "Errors of ours caught at an edge; each is a bug to report", ("place",)),
    Metric("clock_jumped", "Workers that do not believe the wall clock (gatepost clock)", (), _GAUGE),
    Metric("list_questions", "Questions to list providers, and how they ended", ("provider", "outcome")),
    Metric("list_seconds", "Time spent waiting for list providers", ("provider",)),
    Metric(
        "list_provider_distrusted",
        "Workers that do not trust a provider",
        ("provider",),
        _GAUGE,
    ),
    Metric("list_feed_entries", "Entries of a feed, of all workers together", ("feed",), _GAUGE),
    Metric("list_feed_failed", "Workers that could not fetch or read a feed", ("feed",), _GAUGE),
    Metric("shared_state_failed", "Workers that cannot use what all workers share", (), _GAUGE),
    Metric("log_lines_dropped", "Log lines lost because nothing took them"),
)
BY_NAME: Final = {metric.name: metric for metric in METRICS}
