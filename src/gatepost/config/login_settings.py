"""The settings of accounts: where they are kept, what a password must be, what failures lead to, whose tokens count."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Table, setting

Mechanism = Literal[
    "EXTERNAL",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "PLAIN",
    "LOGIN",
    "OAUTHBEARER",
    "XOAUTH2",
    "GSSAPI",
    "NTLM",
]
TokenAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]


class Lockout(Table):
    """[users.lockout]: failed AUTH after which nobody is asked again for a while, over all workers."""

    account_failures: int = setting(
        "Failures of one account in the window after which it is closed to clients it did not come from before",
        default=10,
        low=1,
    )
    client_failures: int = setting(
        "Failures of one IPv4 address or IPv6 /64 in the window after which it may not log in",
        default=20,
        low=1,
    )
    network_failures: int = setting(
        "Failures of one IPv4 /24 or IPv6 /56 in the window after which it may not log in", default=100, low=1
    )
    all_failures: int = setting(
        "Failures of everybody in the window that are an attack: an alarm, and the longest delay for clients "
        "an account did not come from before",
        default=1000,
        low=1,
    )
    window_s: Duration = setting(
        "How long failures count, from the first of them", default=900.0, low=1, high=86400
    )
    known_networks: tuple[str, ...] = setting(
        "Addresses, networks (CIDR) or ranges a-b that are slowed down by failures and never locked out",
        default=(),
    )


class Introspection(Table):
    """[users.tokens.introspection]: the issuer is asked about each token (RFC 7662), instead of keys."""

    url: str = setting(
        "The issuer's introspection endpoint. Empty: nobody is asked",
        default="",
        example="https://login.example.com/oauth2/introspect",
    )
    client_id: str = setting("Who we are there", default="")
    secret_file: str = setting("Our secret there, in the first line; read for each question", default="")
    cache_time_s: Duration = setting(
        "How long a yes is believed without asking again, and never after the token's `exp`; 0s: not at all. "
        "A token that was revoked counts that long",
        default=60.0,
        low=0,
        high=3600,
    )
    cache_entries: int = setting("Answers remembered, in one worker", default=10_000, low=1, high=1_000_000)
    requests_at_once: int = setting(
        "Questions on their way, from one worker; more logins wait", default=8, low=1, high=256
    )


class Tokens(Table):
    """[users.tokens]: access tokens for OAUTHBEARER and XOAUTH2, by the issuer's keys or by its word."""

    keys_file: str = setting(
        "The issuer's public keys (JWKS, RFC 7517); read again when it changes. Empty: no such file",
        default="",
    )
    keys_url: str = setting(
        "Where the issuer publishes them (its `jwks_uri`), to be fetched instead of a file. Empty: nothing is",
        default="",
        example="https://login.example.com/oauth2/keys",
    )
    keys_refresh_s: Duration = setting(
        "How often `keys-url` is fetched; once a minute while that fails", default=600.0, low=60, high=86400
    )
    keys_age_s: Duration = setting(
        "How long fetched keys are believed when they cannot be fetched again", default=86400.0, low=60
    )
    introspection: Introspection = setting("Whom to ask about a token", default=Introspection())
    ca_file: str = setting(
        "Certificates (PEM) of the authorities that `keys-url` and `introspection` are trusted by. Empty: the "
        "system's",
        default="",
    )
    timeout_s: Duration = setting(
        "How long the issuer may take to answer; then nobody is let in (454)", default=5.0, low=0.1, high=60
    )
    issuer: str = setting(
        "The `iss` a token must have", default="", example="https://login.example.com/realms/mail"
    )
    audience: str = setting("The `aud` a token must have, alone or among others", default="")
    scope: str = setting("A `scope` a token must have, alone or among others. Empty: any", default="")
    user_claim: str = setting("The claim that is the user's name here", default="email")
    algorithms: tuple[TokenAlgorithm, ...] = setting(
        "Signatures that are believed", default=("RS256", "PS256", "ES256", "EdDSA")
    )
    leeway_s: Duration = setting(
        "How far the issuer's clock may differ from ours", default=60.0, low=0, high=600
    )

    @property
    def sources(self) -> tuple[str, ...]:
        """The settings that say what a token is checked by; none: no token counts."""
        given = {
            "keys-file": self.keys_file,
            "keys-url": self.keys_url,
            "introspection": self.introspection.url,
        }
        return tuple(name for name, value in given.items() if value)


class Gssapi(Table):
    """[users.gssapi]: Kerberos, for AUTH GSSAPI. Needs the extra `gatepost[kerberos]`."""

    keytab_file: str = setting(
        "The keys of our service principals, such as smtp/mx.example.com and SMTPSVC/mx.example.com; any of "
        "them is taken. Empty: no Kerberos",
        default="",
        example="/etc/gatepost/smtp.keytab",
    )
    realms: tuple[str, ...] = setting(
        "Realms whose principals are our users, written as Kerberos writes them", default=()
    )
    keep_realm: bool = setting(
        "The user of ann@EXAMPLE.COM is ann@example.com; otherwise it is ann", default=False
    )


class Ntlm(Table):
    """[users.ntlm]: NTLMv2, for AUTH NTLM."""

    hashes_file: str = setting(
        "Accounts with NT hashes, in the format of smbpasswd(5): whoever reads it can log in. Empty: no NTLM",
        default="",
        example="/etc/gatepost/smbpasswd",
    )
    domain: str = setting(
        "The domain we say we are of; clients may put any domain before a user's name",
        default="WORKGROUP",
    )


class LdapLogins(Table):
    """[users.ldap]: PLAIN and LOGIN by a bind at a directory such as Active Directory. Needs `gatepost[ldap]`."""

    servers: tuple[str, ...] = setting(
        "ldaps://host, or ldap://host with STARTTLS; tried in turn. Empty: no directory is asked",
        default=(),
        example='["ldaps://dc1.example.com"]',
    )
    tls: Literal["verified", "none"] = setting(
        "verified: LDAPS or STARTTLS with a certificate for the server's name; none: passwords cross the network in "
        "the clear over ldap://",
        default="verified",
    )
    ca_file: str = setting(
        "PEM file with the authorities that vouch for the servers; empty: those of the system", default=""
    )
    user_dn: str = setting(
        "Who binds: a DN or an Active Directory name with {user} in the place of what the client said. Empty: the user "
        "is searched for",
        default="",
        example="{user}@example.com",
    )
    bind_dn: str = setting("Who searches: a DN or an Active Directory name; empty: nobody", default="")
    password_file: str = setting("File (mode 0600) with the password of bind-dn", default="")
    base: str = setting("Where users are searched for", default="", example="dc=example,dc=com")
    filter: str = setting(
        "Which entry is the user's, with {user}; when several fit, nobody is let in",
        default="(|(sAMAccountName={user})(userPrincipalName={user})(mail={user}))",
    )
    address_attributes: tuple[str, ...] = setting(
        "Attributes of the user's entry with addresses it may send as, whichever way it logged in; of values with a "
        "scheme such as SMTP: or sip: only those of smtp: count. Empty: the directory is not asked",
        default=(),
        example='["mail", "proxyAddresses"]',
    )
    timeout_s: Duration = setting("Patience with one answer of a server", default=5.0, low=0.1, high=60)
    connections: int = setting("Logins checked at once, in one worker", default=4, low=1, high=64)
    logins_waiting: int = setting(
        "Logins that may wait for that, in one worker; more are answered 454", default=200, low=1
    )
    cache_time_s: Duration = setting(
        "How long a good password is believed without asking again; 0s: not at all. A new password counts at once, "
        "the old one that long",
        default=60.0,
        low=0,
        high=3600,
    )
    cache_entries: int = setting("Good passwords remembered, in one worker", default=10_000, low=1)


class Users(Table):
    """[users]: who may authenticate."""

    file: str = setting(
        "Accounts made by `gatepost user add`; empty: users in the state directory", default=""
    )
    password_length: int = setting("Least characters of a new password", default=12, low=8, high=128)
    addresses: dict[str, tuple[str, ...]] = setting(
        "What an account may send as besides itself: addresses, *@domain for a domain, *@*.domain for its subdomains; "
        "what `gatepost user grant` gave comes on top",
        default={},
    )
    on_behalf_of: dict[str, tuple[str, ...]] = setting(
        "Whom an account may name in From when Sender names itself: addresses, or *@domain for all of a domain",
        default={},
    )
    recipients_per_hour: int = setting(
        "Recipients of one account in an hour after which more are answered 450; 0: no limit",
        default=2000,
        low=0,
    )
    lockout: Lockout = setting("What failures lead to", default=Lockout())
    tokens: Tokens = setting("Whose tokens count", default=Tokens())
    ldap: LdapLogins = setting("Accounts in a directory", default=LdapLogins())
    gssapi: Gssapi = setting("Kerberos", default=Gssapi())
    ntlm: Ntlm = setting("NTLM", default=Ntlm())
