"""Every setting of the gateway but the agents' own, which stand beside each agent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gatepost.config.back_pressure_settings import BackPressure
from gatepost.config.delivery_settings import Delivery, Destination
from gatepost.config.directory_settings import Directory
from gatepost.config.dkim_settings import Arc, Dkim, DkimSigning
from gatepost.config.dmarc_report_settings import DmarcReports
from gatepost.config.dns_monitor_settings import DnsMonitor
from gatepost.config.dns_settings import Dns
from gatepost.config.guard_settings import Harvest, RateLimit
from gatepost.config.limit_settings import Intake, Limits
from gatepost.config.list_settings import DnsLists, DomainProvider, ListFeed, Provider
from gatepost.config.log_settings import Log, Records, WireLogs
from gatepost.config.login_settings import Mechanism, Users
from gatepost.config.networks import Networks
from gatepost.config.notice_settings import Notices, RemoteDomain
from gatepost.config.outbound_tls_settings import OutboundTls
from gatepost.config.profiles import DomainKind, Profile, with_profile
from gatepost.config.report_settings import Reports
from gatepost.config.return_path_settings import Batv, Srs, SrsRule
from gatepost.config.rights import Right
from gatepost.config.scan_settings import Faults, ScanWorkers
from gatepost.config.schema import Duration, Size, Table, setting, size
from gatepost.config.spf_settings import Spf
from gatepost.config.structure_settings import MailStructure
from gatepost.config.tls_settings import Certificate, ClientCertificates, OutgoingTls, TlsDomain, TlsVersion

WorkerCount = Annotated[int, Field(ge=1, le=64)]
"""The limits stand at the number, because "auto" cannot be compared with one."""


class Server(Table):
    """[server]: who we are and where we keep things."""

    hostname: str = setting(
        "Our name in the banner, in EHLO, in Received and in notices; a fully qualified domain name",
        example="mx.example.com",
    )
    authserv_id: str = setting(
        "Our name in Authentication-Results: fields that bear it and come from others are taken off. Empty: the "
        "hostname; several gateways of one organisation may share one",
        default="",
    )
    state_directory: str = setting(
        "Where queue, records and quarantine are kept; a local file system",
        default="/var/lib/gatepost",
    )
    workers: Literal["auto"] | WorkerCount = setting(
        "Processes that receive and deliver; auto is one for each core, 16 at most", default="auto"
    )
    user: str = setting(
        "The account to become after the ports are bound, when started as root; empty: stay",
        default="",
    )
    event_loop: Literal["uvloop", "asyncio"] = setting(
        "The event loop; asyncio is for places where uvloop does not build", default="uvloop"
    )
    stop_timeout_s: Duration = setting(
        "How long sessions and deliveries may finish after a stop was asked for",
        default=30.0,
        low=0,
        high=3600,
    )
    silence_limit_s: Duration = setting(
        "How long a worker may stand still (its event loop does not turn) before it is killed and started anew; "
        "0s: for ever",
        default=120.0,
        low=0,
        high=3600,
    )
    certificate_warning_s: Duration = setting(
        "How long before a certificate of ours ends the log, the metrics and `gatepost status` begin to say so",
        default=1814400.0,
        low=86400,
        high=31536000,
    )
    internal_relays: Networks = setting(
        "Hosts of ours, or of a provider, that take mail for us before we do: addresses, networks or ranges a-b. "
        "Of what they bring, the origin is read from its Received fields",
        default=(),
        example='["10.0.0.0/8", "198.51.100.7"]',
    )


class AcceptedDomain(Table):
    """[accepted-domains."example.com"]: a domain we take mail for. "*.example.com" is its subdomains."""

    type: Literal["authoritative", "internal-relay", "external-relay"] = setting(
        "authoritative: unknown recipients are refused; internal-relay: unknown recipients go on to "
        "another system of ours; external-relay: everything goes on to somebody else's system",
        default="authoritative",
    )
    check_recipients: Literal["by-type", "yes", "no"] = setting(
        "Ask the recipient source; by-type: for authoritative domains only", default="by-type"
    )


class Recipients(Table):
    """[recipients]: where the known recipients are listed."""

    file: str = setting(
        "A text file, one address a line, # begins a comment, @example.com accepts a whole domain; "
        "read again when it changes. Empty: there is no source, and authoritative domains answer 451",
        default="",
    )


class NamedRange(Table):
    """[receive-connectors.NAME.ranges.WHO]: addresses that have rights of their own."""

    addresses: tuple[str, ...] = setting("Addresses, networks (CIDR) or ranges a-b", example='["10.0.0.0/8"]')
    rights: tuple[Right, ...] = setting(
        "What these clients may do, instead of the anonymous rights",
        default=("submit", "any-sender", "own-domain-sender", "routing-headers"),
    )
    bare_newlines: Literal["refuse", "normalize"] = setting(
        "normalize: a bare LF in the text of these clients becomes CR LF instead of ending the session; "
        "the end of a message is still only CR LF . CR LF",
        default="refuse",
    )
    spared: bool = setting(
        "Spare these clients what is meant for strangers: limits by source and network, rates, greet-delay, the stress "
        "profile, back pressure at medium; and keep reserved-share of the connections for them",
        default=True,
    )


class ReceiveConnector(Table):
    """[receive-connectors.NAME]: a door: addresses we listen on, clients it serves, what they may do."""

    profile: Profile = setting(
        "What it is for, which sets other defaults: internet: those of this table; submission: port 587 for "
        "accounts, TLS demanded, AUTH offered, anonymous clients may nothing; submissions: the same on port 465 with "
        "TLS from the first byte",
        default="internet",
    )
    listen: tuple[str, ...] = setting(
        'Addresses and ports, "0.0.0.0:25", "[::]:25"; several connectors may share one: the most '
        "specific remote range that contains the client wins. A submission profile has its own",
        example='["0.0.0.0:25", "[::]:25"]',
    )
    enabled: bool = setting("Whether the connector listens", default=True)
    remote_ranges: tuple[str, ...] = setting(
        "Clients this connector serves: addresses, networks (CIDR) or ranges a-b",
        default=("0.0.0.0/0", "::/0"),
    )
    proxies: tuple[str, ...] = setting(
        "Addresses, networks (CIDR) or ranges a-b whose connections must begin with a PROXY header (version 1 "
        "or 2), which says who the client is; a header of anybody else ends the session",
        default=(),
    )
    proxy_timeout_s: Duration = setting("Patience with a PROXY header", default=5.0, low=0.1, high=60)
    xclient_peers: tuple[str, ...] = setting(
        "Addresses, networks (CIDR) or ranges a-b that may say by XCLIENT who the client is",
        default=(),
    )
    internal_clients_by_proxy: bool = setting(
        "Believe a proxy or an XCLIENT peer that a client has a loopback, private or link-local address, with "
        "the rights of that address; false: such clients are not served",
        default=False,
    )
    hostname: str = setting("Our name on this connector; empty: server.hostname", default="")
    banner: str = setting("Text behind the name in the 220 greeting", default="ESMTP Gatepost")
    tls: Literal["none", "optional", "required", "implicit"] = setting(
        "STARTTLS not offered, offered, demanded before MAIL; or TLS from the first byte",
        default="optional",
    )
    certificate_file: str = setting(
        "PEM file with the certificate chain; empty: one made by ourselves, kept in the state directory",
        default="",
    )
    key_file: str = setting("PEM file with the private key; empty: it is in certificate-file", default="")
    tls_minimum: TlsVersion = setting("The oldest TLS that is spoken", default="1.2")
    certificates: dict[str, Certificate] = setting("Certificates for other names of ours", default={})
    client_certificates: ClientCertificates = setting(
        "Certificates that clients show", default=ClientCertificates()
    )
    auth: bool = setting("Offer AUTH (only ever under TLS)", default=False)
    auth_mechanisms: tuple[Mechanism, ...] = setting(
        "What AUTH may be done with, in the order it is announced; OAUTHBEARER and XOAUTH2 need users.tokens, "
        "GSSAPI needs users.gssapi, NTLM users.ntlm, EXTERNAL is offered to clients whose certificate is mapped to an "
        "account",
        default=("EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"),
    )
    auth_tarpit_s: Duration = setting(
        "Delay of the answer to a failed AUTH; doubled by each failure before it, up to a minute",
        default=5.0,
        low=0,
        high=60,
    )
    anonymous_rights: tuple[Right, ...] = setting(
        "What clients may do that are neither authenticated nor in a named range",
        default=("submit", "any-sender", "own-domain-sender", "routing-headers"),
    )
    authenticated_rights: tuple[Right, ...] = setting(
        "What authenticated clients may do",
        default=("submit", "relay", "bypass-filters", "routing-headers", "internal"),
    )
    ranges: dict[str, NamedRange] = setting("Clients with rights of their own", default={})
    authenticated_bare_newlines: Literal["refuse", "normalize"] = setting(
        "normalize: a bare LF in the text of authenticated clients becomes CR LF instead of ending the session; "
        "submission profiles do so, because programs that send by a library often write one",
        default="refuse",
    )
    send_connector: str = setting(
        "Send connector by which all mail leaves that comes in here, whatever address spaces say; empty: as routing "
        "chooses",
        default="",
    )
    require_helo: bool = setting("MAIL needs EHLO or HELO first", default=True)
    pipelining: bool = setting("Announce PIPELINING", default=True)
    chunking: bool = setting("Announce CHUNKING", default=True)
    binary_mime: bool = setting(
        "Announce BINARYMIME where CHUNKING is announced; false: senders of binary content convert it, "
        "as next hops such as Postfix, Exim and Dovecot need",
        default=True,
    )
    eight_bit_mime: bool = setting("Announce 8BITMIME", default=True)
    smtputf8: bool = setting("Announce SMTPUTF8", default=True)
    dsn: bool = setting("Announce DSN", default=True)
    require_tls_extension: bool = setting("Announce REQUIRETLS under TLS (RFC 8689)", default=True)
    blank_after_colon: bool = setting(
        "Tolerate a blank in `MAIL FROM: <a@b>` and `RCPT TO: <a@b>`", default=True
    )
    refused_recipient_domains: tuple[DomainKind, ...] = setting(
        "Domains nobody may send to, accepted domains excepted: single-label: without a dot; reserved-top-level: "
        ".test, .example, .invalid, .localhost; reserved-second-level: example.com, .net and .org (RFC 2606)",
        default=(),
    )
    tarpit_s: Duration = setting(
        "Delay of a refusal of an unknown recipient or a relay attempt of an anonymous client",
        default=5.0,
        low=0,
        high=60,
    )
    protocol_log: bool = setting(
        "Write every command and reply into the protocol log (RECV files of [wire-logs])", default=False
    )
    limits: Limits = setting("Limits of the connector", default=Limits())

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, table: Any) -> Any:
        return with_profile(table)


class SendConnector(Table):
    """[send-connectors.NAME]: a way out: for which domains, to where, how safely."""

    address_spaces: tuple[str, ...] = setting(
        'Domains this connector carries: "example.com", "*.example.com" (its subdomains), "*" (all), '
        '"--" (all accepted domains); ";n" behind one is its cost, 1 to 100',
        example='["example.com", "*;10"]',
    )
    message_size_bytes: Size = setting(
        "Largest mail it carries: larger mail takes the next best connector that carries its domain, or is returned "
        "(5.3.4) when there is none; 0B: any size",
        default=size(0, "B"),
        low=0,
    )
    enabled: bool = setting("Whether routing may choose it", default=True)
    suspended: bool = setting("Mail for it is queued and not sent", default=False)
    schedule: tuple[str, ...] = setting(
        'When it sends, in UTC: "always", "never" (until an administrator retries), or times such as '
        '"22:00-06:00", "sat,sun", "mon-fri 18:00-24:00"; other mail waits for the next of them',
        default=("always",),
    )
    delivery: Literal["smtp", "lmtp", "maildir"] = setting("How the next hop is spoken to", default="smtp")
    smart_hosts: tuple[str, ...] = setting(
        'Next hops instead of MX: "[192.0.2.10]", "[192.0.2.10]:2525", "mail.example.com" (its MX or address), '
        '"[mail.example.com]:24" (its address only), "unix:/run/dovecot/lmtp" (a socket); tried in turn',
        default=(),
    )
    maildir: str = setting(
        "Directory for delivery = maildir; {domain} and {local} are replaced, made safe for file names",
        default="",
    )
    port: int = setting("Port of next hops that do not name one", default=25, low=1, high=65535)
    hostname: str = setting("Our name in EHLO; empty: server.hostname", default="")
    force_helo: bool = setting(
        "Say HELO, for hosts that stumble over EHLO: no TLS, no AUTH, no extension is used then",
        default=False,
    )
    source_addresses: tuple[str, ...] = setting(
        "Addresses to send from, IPv4 and IPv6; hosts of a family that is not here are not tried; 0.0.0.0 and :: "
        "leave one of the family to the system. Empty: the system chooses",
        default=(),
    )
    source_choice: Literal["by-destination", "round-robin"] = setting(
        "Which of several source-addresses: one next hop always sees the same (good for greylisting), or each "
        "connection takes the next",
        default="by-destination",
    )
    tls: OutgoingTls = setting(
        "none: never; opportunistic: where offered, any certificate; required: any certificate; "
        "verified: a certificate for the next hop's name; fingerprint: one of fingerprints",
        default="opportunistic",
    )
    tls_minimum: TlsVersion = setting("The oldest TLS that is spoken", default="1.2")
    tls_domains: dict[str, TlsDomain] = setting("TLS towards single domains", default={})
    fingerprints: tuple[str, ...] = setting(
        "For tls = fingerprint: SHA-256 of the certificates or public keys that count, in hex", default=()
    )
    certificate_names: tuple[str, ...] = setting(
        "For tls = verified: names one of which the certificate must be for, instead of the next hop's; "
        '"*.example.com" is all names below',
        default=(),
    )
    ca_file: str = setting(
        "PEM file with the authorities that vouch for next hops; empty: those of the system", default=""
    )
    certificate_file: str = setting(
        "PEM file with the certificate we show to next hops; empty: none", default=""
    )
    key_file: str = setting("PEM file with its private key; empty: it is in certificate-file", default="")
    user: str = setting(
        "Name for AUTH at the smart host; needs tls required, verified or fingerprint", default=""
    )
    password_file: str = setting("File (mode 0600) with the password for AUTH", default="")
    token_file: str = setting(
        "File (mode 0600) with an access token for OAUTHBEARER and XOAUTH2 instead of a password; read for "
        "each login",
        default="",
    )
    auth_mechanisms: tuple[Mechanism, ...] = setting(
        "What to log in with: the first of these that the smart host offers and the secret is good for",
        default=(
            "EXTERNAL",
            "SCRAM-SHA-256-PLUS",
            "SCRAM-SHA-256",
            "PLAIN",
            "LOGIN",
            "OAUTHBEARER",
            "XOAUTH2",
        ),
    )
    connections: int = setting(
        "Most connections to one next hop; workers that serve it share them", default=20, low=1, high=1000
    )
    messages_per_minute: int = setting(
        "Most messages a minute to one next hop, evenly spaced; 0: no limit", default=0, low=0
    )
    messages_per_connection: int = setting("Messages after which a connection is closed", default=100, low=1)
    idle_timeout_s: Duration = setting("How long an unused connection is kept open", default=10.0, low=0)
    longest_rest_s: Duration = setting(
        "Longest wait before a next hop that could not be reached is tried again; 0s: queue.longest-retry",
        default=0.0,
        low=0,
    )
    connect_timeout_s: Duration = setting("Patience with connecting to one address", default=30.0, low=1)
    command_timeout_s: Duration = setting("Patience with one reply", default=300.0, low=1)
    data_timeout_s: Duration = setting("Patience with the reply to the end of data", default=600.0, low=1)
    srs: SrsRule = setting(
        "With [srs], return paths of others are rewritten: forwarded: of mail to domains that are not ours; always: of "
        "all mail that goes this way; never",
        default="forwarded",
    )
    when_no_8bitmime: Literal["send", "fail"] = setting(
        "What happens to 8-bit mail when the next hop does not announce 8BITMIME", default="send"
    )
    protocol_log: bool = setting(
        "Write every command and reply into the protocol log (SEND files of [wire-logs])", default=False
    )
    allow_loopback: bool = setting(
        "Deliver to loopback, private and link-local addresses that DNS gave; smart hosts written as "
        "addresses are always allowed",
        default=False,
    )


class Queue(Table):
    """[queue]: how long and how often we try, and what the store may take."""

    first_retry_s: Duration = setting(
        "Wait after the first answer that puts a mail off; greylisting wants five minutes",
        default=300.0,
        low=1,
    )
    retry_factor: float = setting("Each wait is this many times the last", default=1.7, low=1, high=10)
    longest_retry_s: Duration = setting("Longest wait between attempts", default=4000.0, low=1)
    expiry_s: Duration = setting("Age at which a mail is given up", default=432000.0, low=5, high=7776000)
    notice_expiry_s: Duration = setting("Age at which a notice of ours is given up", default=86400.0, low=5)
    active_mails: int = setting("Most mails a worker holds in memory for delivery", default=10000, low=10)
    active_memory_bytes: Size = setting(
        "Most octets of content a worker holds in memory for delivery",
        default=size(64, "MiB"),
        low=1 << 20,
    )
    memory_body_bytes: Size = setting(
        "Bodies above this size go to a file of their own", default=size(80, "KiB")
    )
    disk_low_bytes: Size = setting(
        "Free space below which new mail is answered 452", default=size(256, "MiB")
    )
    reserve_bytes: Size = setting(
        "Size of the reserve file that is given up to drain the queue of a full disk",
        default=size(16, "MiB"),
    )
    resume_margin_bytes: Size = setting(
        "Free space above disk-low at which accepting resumes", default=size(16, "MiB")
    )
    allow_volatile: bool = setting(
        "Keep mail on a file system in memory, where a power cut loses it: for tests only", default=False
    )
    batch_mails: int = setting("Most changes in one transaction", default=256, low=1, high=10000)
    crash_limit: int = setting(
        "Worker deaths after which a mail is held as poison", default=3, low=1, high=10
    )


class Metrics(Table):
    """[metrics]: numbers for Prometheus."""

    listen: str = setting(
        "Address and port of /metrics, /healthz and /readyz; empty: none", default="127.0.0.1:9925"
    )


class Policy(Table):
    """[policy]: how findings become a level and a level becomes an action."""

    points: dict[str, float] = setting("Points of a finding, by its name, instead of its own", default={})
    reject_at: int = setting("SCL from which mail is refused; 10: never", default=10, low=0, high=10)
    quarantine_at: int = setting("SCL from which mail is quarantined; 10: never", default=10, low=0, high=10)
    tag_at: int = setting(
        "SCL from which X-Gatepost-SCL is marked as spam; 10: never", default=5, low=0, high=10
    )
    deadline_s: Duration = setting("Patience with all facts of one stage", default=20.0, low=0.1, high=120)
    disabled: tuple[str, ...] = setting("Agents that are not asked", default=())
    agents_directory: str = setting("Folder with agents and facts of your own, one file each", default="")
    faults: Faults = setting("When an agent or fact of your own is switched off", default=Faults())


class Settings(Table):
    """The whole file."""

    server: Server = setting("Who we are")
    accepted_domains: dict[str, AcceptedDomain] = setting("Domains we take mail for", default={})
    recipients: Recipients = setting("Where recipients are listed", default=Recipients())
    directories: dict[str, Directory] = setting("Other sources of recipients", default={})
    receive_connectors: dict[str, ReceiveConnector] = setting("The doors in", default={})
    intake: Intake = setting("Limits of all doors together", default=Intake())
    harvest: Harvest = setting("Clients that guess recipients or passwords", default=Harvest())
    rate_limits: dict[str, RateLimit] = setting("How much of one kind may come in a time", default={})
    back_pressure: BackPressure = setting("What happens when resources run out", default=BackPressure())
    send_connectors: dict[str, SendConnector] = setting("The ways out", default={})
    delivery: Delivery = setting("How mail leaves", default=Delivery())
    destinations: dict[str, Destination] = setting("Limits of single domains", default={})
    outbound_tls: OutboundTls = setting("MTA-STS and DANE", default=OutboundTls())
    dmarc_reports: DmarcReports = setting("DMARC reports to other domains", default=DmarcReports())
    reports: Reports = setting("Reports of others", default=Reports())
    queue: Queue = setting("Retries, expiry, disk", default=Queue())
    notices: Notices = setting("Mail we write", default=Notices())
    remote_domains: dict[str, RemoteDomain] = setting("What notices may go where", default={})
    records: Records = setting("What is kept", default=Records())
    log: Log = setting("What is written", default=Log())
    wire_logs: WireLogs = setting("What is said on connections", default=WireLogs())
    metrics: Metrics = setting("Numbers", default=Metrics())
    dns: Dns = setting("Resolvers", default=Dns())
    list_feeds: dict[str, ListFeed] = setting("Lists that others publish", default={})
    block_list_providers: dict[str, Provider] = setting("Who lists spam sources", default={})
    allow_list_providers: dict[str, Provider] = setting("Who lists good senders", default={})
    domain_list_providers: dict[str, DomainProvider] = setting("Who lists domains of spam", default={})
    dns_lists: DnsLists = setting("How providers are asked", default=DnsLists())
    srs: Srs = setting("Return paths of forwarded mail", default=Srs())
    batv: Batv = setting("Tags in return paths of our own", default=Batv())
    spf: Spf = setting("Evaluation of SPF records", default=Spf())
    structure: MailStructure = setting("How far a mail's parts are read", default=MailStructure())
    dns_monitor: DnsMonitor = setting("Own records, looked at daily", default=DnsMonitor())
    scan_workers: ScanWorkers = setting("Processes for agents of your own", default=ScanWorkers())
    policy: Policy = setting("From findings to actions", default=Policy())
    users: Users = setting("Accounts", default=Users())
    dkim: Dkim = setting("Signatures that are checked", default=Dkim())
    arc: Arc = setting("What others sealed", default=Arc())
    dkim_signing: DkimSigning = setting("Signatures that we make", default=DkimSigning())
    agents: dict[str, Any] = setting("One table an agent, under its name", default={})
