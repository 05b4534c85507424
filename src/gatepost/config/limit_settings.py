"""The settings that limit what clients may cost us: of each receive connector, under load, and of all together."""

from __future__ import annotations

from gatepost.config.schema import Duration, Size, Table, setting, size


class Stress(Table):
    """[receive-connectors.NAME.limits.stress]: what strangers get while the connector is nearly full."""

    from_share: int = setting(
        "Percent of `connections` in use at which the profile begins; 0: never", default=85, low=0, high=100
    )
    until_share: int = setting(
        "Percent of `connections` in use at which it ends again", default=70, low=0, high=100
    )
    greet_delay_s: Duration = setting(
        "Delay before the greeting, where there is one at all", default=2.0, low=0, high=30
    )
    command_timeout_s: Duration = setting("Patience with one command", default=10.0, low=1)
    data_timeout_s: Duration = setting("Patience with the next block of a message", default=10.0, low=1)
    handshake_timeout_s: Duration = setting("Patience with a TLS handshake", default=10.0, low=1)
    session_timeout_s: Duration = setting("Longest session", default=300.0, low=10)
    errors_soft: int = setting("Errors in a session after which every reply is delayed", default=1, low=1)
    errors_hard: int = setting("Errors in a session after which it is closed", default=1, low=1)
    junk_commands: int = setting("Idle commands after which each counts as an error", default=1, low=1)


class Limits(Table):
    """[receive-connectors.NAME.limits]: what one client may cost us."""

    message_size_bytes: Size = setting(
        "Largest message, announced with SIZE", default=size(36, "MiB"), low=65536
    )
    header_size_bytes: Size = setting("Largest header section", default=size(256, "KiB"), low=1024)
    header_fields: int = setting("Most header fields", default=1000, low=50)
    header_field_bytes: Size = setting(
        "Longest header field, folds included", default=size(64, "KiB"), low=1000
    )
    text_line_bytes: Size = setting(
        "Longest line of content that is taken (RFC 5321 asks for 1000)",
        default=size(8, "KiB"),
        low=1000,
    )
    recipients: int = setting("Most recipients of one message", default=1000, low=100, high=10000)
    command_line_bytes: Size = setting(
        "Longest MAIL, RCPT or other command line with its parameters",
        default=size(2048),
        low=512,
        high=4096,
    )
    auth_line_bytes: Size = setting("Longest AUTH response line", default=size(12288), low=512, high=65536)
    connections: int = setting("Most sessions of this connector in one worker", default=5000, low=1)
    connections_per_source: int = setting("Most sessions of one IPv4 address or IPv6 /64", default=50, low=1)
    connections_per_network: int = setting("Most sessions of one IPv4 /24 or IPv6 /56", default=100, low=1)
    connections_per_site: int = setting("Most sessions of one IPv6 /48", default=200, low=1)
    source_share: int = setting(
        "Most sessions of one source as percent of those that are still free, at least one: the fuller the "
        "connector, the less for each; 100: not used",
        default=2,
        low=1,
        high=100,
    )
    reserved_share: int = setting(
        "Percent of `connections` that only clients of spared ranges may use, where there are such ranges",
        default=5,
        low=0,
        high=90,
    )
    connection_rate: int = setting(
        "New sessions of this connector in a minute after which only sources come in that have not had an equal part "
        "of them yet; after twice as many nobody does; 0: no limit",
        default=6000,
        low=0,
    )
    connection_rate_per_source: int = setting(
        "New sessions of one source in a minute after which more are turned away; 0: no limit",
        default=300,
        low=0,
    )
    message_rate_per_source: int = setting(
        "Messages of one source in a minute after which MAIL is answered 421; 0: no limit",
        default=600,
        low=0,
    )
    recipient_rate_per_source: int = setting(
        "Recipients of one source in a minute after which RCPT is answered 450; 0: no limit",
        default=6000,
        low=0,
    )
    unknown_rate_per_source: int = setting(
        "Unknown recipients of one source in a minute after which the session is closed; 0: no limit",
        default=60,
        low=0,
    )
    unrated: tuple[str, ...] = setting(
        "Clients whose rates have no limit (addresses, networks, ranges a-b): by default the programs of this machine",
        default=("127.0.0.0/8", "::1"),
    )
    greet_delay_s: Duration = setting(
        "Delay before the greeting; a client that speaks in that time is refused", default=0.0, low=0, high=30
    )
    messages_per_session: int = setting("Most messages in one session", default=1000, low=1)
    session_size_bytes: Size = setting(
        "Most octets of content in one session; a message that would exceed it is sent to a session of its own",
        default=size(1, "GiB"),
        low=65536,
    )
    errors_soft: int = setting("Errors in a session after which every reply is delayed", default=10, low=1)
    errors_hard: int = setting("Errors in a session after which it is closed", default=20, low=1)
    error_delay_s: Duration = setting(
        "The delay of a reply after errors-soft errors", default=1.0, low=0, high=60
    )
    junk_commands: int = setting(
        "NOOP, RSET, VRFY, repeated EHLO and tiny BDAT chunks since the last MAIL after which each counts as an error",
        default=100,
        low=1,
    )
    auth_failures: int = setting("Failed AUTH in a session after which it is closed", default=3, low=1)
    tarpits: int = setting(
        "Most sessions in one worker that wait for a delayed reply; the next of networks that hold one are closed with "
        "421 instead, others are answered at once",
        default=500,
        low=0,
    )
    hop_count: int = setting("Received fields after which a mail is a loop", default=100, low=10, high=1000)
    local_hop_count: int = setting(
        "Received fields of our own after which a mail is a loop; 0: not checked",
        default=3,
        low=0,
        high=50,
    )
    command_timeout_s: Duration = setting("Patience with one command", default=300.0, low=1)
    data_timeout_s: Duration = setting("Patience with the next block of a message", default=180.0, low=1)
    handshake_timeout_s: Duration = setting("Patience with a TLS handshake", default=30.0, low=1)
    session_timeout_s: Duration = setting("Longest session", default=1800.0, low=10)
    data_rate_bytes: Size = setting(
        "Octets a second that DATA and BDAT must bring on average after the first 30 seconds",
        default=size(500),
        low=0,
    )
    stress: Stress = setting("What holds while the connector is nearly full", default=Stress())


class Intake(Table):
    """[intake]: what all receive connectors of one worker may cost together."""

    connections: int = setting("Most sessions of one worker", default=10000, low=1)
    unfinished_bytes: Size = setting(
        "Most octets of unfinished messages that one worker keeps in files; the next large one is answered 452",
        default=size(2, "GiB"),
        low=1 << 20,
    )
