"""[directories.NAME]: where recipients are listed besides recipients.file: files, databases, LDAP, the next hop."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Table, setting


class SqlSource(Table):
    """[directories.NAME.sql]: a query whose rows are recipients."""

    database: str = setting(
        "The path of an SQLite database, or postgresql://user@host/name (needs the extra `gatepost[postgres]`)",
        default="",
        example="postgresql://gatepost@db.example.com/mail?sslmode=verify-full",
    )
    query: str = setting(
        "Its first column is an address (or @example.com for a whole domain); a second column that is true "
        "marks recipients that only authenticated senders may write to",
        default="",
        example="SELECT address, internal FROM mailboxes",
    )
    password_file: str = setting("File (mode 0600) with the password for PostgreSQL", default="")


class LdapSource(Table):
    """[directories.NAME.ldap]: entries of a directory such as Active Directory. Needs the extra `gatepost[ldap]`."""

    servers: tuple[str, ...] = setting(
        "ldaps://host, or ldap://host with STARTTLS; tried in turn",
        default=(),
        example='["ldaps://dc1.example.com", "ldaps://dc2.example.com"]',
    )
    tls: Literal["verified", "none"] = setting(
        "verified: LDAPS or STARTTLS with a certificate for the server's name; none: in the clear over ldap://, where "
        "everybody on the way reads the password",
        default="verified",
    )
    ca_file: str = setting(
        "PEM file with the authorities that vouch for the servers; empty: those of the system", default=""
    )
    bind_dn: str = setting(
        "Who we log in as: a DN, or user@domain for Active Directory. Empty: nobody", default=""
    )
    password_file: str = setting("File (mode 0600) with the password", default="")
    base: str = setting("Where the search begins", default="", example="dc=example,dc=com")
    filter: str = setting(
        "Which entries count; groups with an address are recipients, too",
        default="(|(proxyAddresses=*)(mail=*))",
    )
    attributes: tuple[str, ...] = setting(
        "Attributes with addresses; of values with a scheme such as SMTP: or sip: only those of smtp: count",
        default=("proxyAddresses", "mail"),
    )
    authenticated_attribute: str = setting(
        "An entry where this is TRUE takes mail of authenticated senders only; empty: none does",
        default="msExchRequireAuthToSendTo",
    )
    page_entries: int = setting("Entries asked for at once (RFC 2696)", default=500, low=1, high=100_000)


class CallForward(Table):
    """[directories.NAME.call-forward]: the next hop is asked by MAIL FROM:<> and RCPT, and gets no mail by it."""

    host: str = setting(
        'Who is asked: "[192.0.2.10]", "[192.0.2.10]:2525", "[mail.example.com]:25"; always a host you name, '
        "never one that DNS or a stranger chose",
        default="",
    )
    positive_ttl_s: Duration = setting("How long a yes is remembered", default=86400.0, low=1)
    negative_ttl_s: Duration = setting("How long a no is remembered", default=3600.0, low=1)
    cache_entries: int = setting(
        "Answers remembered, in one worker", default=100_000, low=100, high=10_000_000
    )
    questions_waiting: int = setting(
        "Questions that may wait for the connection, in one worker; more are answered 451",
        default=100,
        low=1,
        high=10_000,
    )
    questions_per_minute: int = setting("Most questions of one worker in a minute", default=600, low=1)
    catch_all_check_s: Duration = setting(
        "How often a recipient that cannot exist is asked for, to notice a next hop that takes everybody",
        default=3600.0,
        low=1,
    )


class Directory(Table):
    """[directories.NAME]: one source of recipients. Several may serve one domain: listed is who is listed by any."""

    type: Literal["file", "sql", "ldap", "smtp"] = setting(
        "file, sql and ldap are copied into a local index; smtp asks the next hop at each RCPT"
    )
    domains: tuple[str, ...] = setting(
        "Accepted domains it answers for, as accepted-domains writes them; empty: all whose recipients are "
        "looked up",
        default=(),
    )
    file: str = setting(
        "For type = file: one address a line, as in recipients.file; read when it is time to sync", default=""
    )
    sync_interval_s: Duration = setting(
        "How often the source is copied; a failure is tried again sooner", default=300.0, low=1
    )
    retry_interval_s: Duration = setting("Wait after a copy that failed", default=60.0, low=1)
    timeout_s: Duration = setting(
        "Patience with one answer of the source (a row, a page, a reply)", default=20.0, low=0.1, high=600
    )
    duration_limit_s: Duration = setting("Longest time of one whole copy", default=900.0, low=1)
    entries: int = setting(
        "Most recipients; a source with more is not taken over", default=2_000_000, low=1, high=50_000_000
    )
    drop_percent: int = setting(
        "A copy that lacks more than this share of the recipients known before is not taken over until "
        "`gatepost directory sync NAME --accept-loss`",
        default=50,
        low=0,
        high=100,
    )
    sql: SqlSource = setting("The query", default=SqlSource())
    ldap: LdapSource = setting("The search", default=LdapSource())
    call_forward: CallForward = setting("The question", default=CallForward())
