"""Mistakes in a configuration and exactly what is said about each."""

from __future__ import annotations

from dataclasses import dataclass

SERVER = '[server]\nhostname = "mx.example.com"\n'


@dataclass(frozen=True, slots=True)
class Mistake:
    """text: a whole file, or what follows the [server] table. said: every line of the refusal."""

    name: str
    text: str
    said: tuple[str, ...]
    whole: bool = False

    @property
    def file(self) -> str:
        return self.text if self.whole else SERVER + self.text


DOOR = '[receive-connectors.internet]\nlisten = ["0.0.0.0:25"]\n'
WAY = '[send-connectors.out]\naddress-spaces = ["*"]\n'

SHAPE = [
    Mistake("nothing at all", "", ("g.toml: server: must be given, with hostname",), whole=True),
    Mistake(
        "a misspelt setting of an agent",
        '[agents.block-list]\nlookup-timout = "3s"\n',
        (
            "g.toml:4: agents.block-list.lookup-timout: unknown setting, did you mean lookup-timeout? "
            "(accepted: enabled, connectors, lookup-timeout)",
        ),
    ),
    Mistake(
        "a misspelt table",
        "[quewe]\n",
        ("g.toml:3: quewe: unknown setting, did you mean queue?",),
    ),
    Mistake(
        "an agent that is not there",
        "[agents.block-lists]\n",
        (
            'g.toml:3: agents.block-lists: there is no agent "block-lists", did you mean block-list? '
            "(accepted: block-list)",
        ),
    ),
    Mistake(
        "a word that is not accepted",
        '[log]\nlevel = "warn"\n',
        (
            'g.toml:4: log.level: "warn" is not accepted, did you mean warning? '
            "(accepted: debug, info, warning, error)",
        ),
    ),
    Mistake(
        "a number where a text belongs",
        "[log]\nfile = 3\n",
        ("g.toml:4: log.file: must be text in quotes, not 3",),
    ),
    Mistake(
        "a text where a number belongs",
        '[queue]\nretry-factor = "2"\n',
        ('g.toml:4: queue.retry-factor: must be a number, not "2"',),
    ),
    Mistake(
        "a duration without unit",
        "[queue]\nexpiry = 5\n",
        ("g.toml:4: queue.expiry: 5 is not a duration such as 90s, 5m, 2h or 4d",),
    ),
    Mistake(
        "a size without unit",
        '[queue]\ndisk-low = "256"\n',
        ("g.toml:4: queue.disk-low: '256' is not a size such as 512B, 64KiB, 36MiB or 1GiB",),
    ),
    Mistake(
        "a duration below its limit",
        '[queue]\nfirst-retry = "10ms"\n',
        ("g.toml:4: queue.first-retry: must be at least 1s",),
    ),
    Mistake(
        "a number above its limit",
        WAY + "port = 70000\n",
        ("g.toml:5: send-connectors.out.port: must be at most 65535",),
    ),
    Mistake(
        "more workers than there may be",
        '[server]\nhostname = "mx.example.com"\nworkers = 65\n',
        ("g.toml:3: server.workers: 65 is not accepted (accepted: auto, at most 64)",),
        whole=True,
    ),
    Mistake(
        "a missing setting",
        "[receive-connectors.internet]\n",
        ("g.toml:3: receive-connectors.internet.listen: must be given",),
    ),
    Mistake(
        "several at once, in the order of the lines",
        '[log]\nlevel = "loud"\n[dns]\nservers = ["resolver"]\n[agents.nobody]\n' + WAY + "port = 0\n",
        (
            'g.toml:4: log.level: "loud" is not accepted (accepted: debug, info, warning, error)',
            "g.toml:6: dns.servers[0]: 'resolver' is not an IP address; names are not looked up here",
            'g.toml:7: agents.nobody: there is no agent "nobody" (accepted: block-list)',
            "g.toml:10: send-connectors.out.port: must be at least 1",
        ),
    ),
    Mistake("no TOML", "a = = 1\n", ("g.toml:3: not TOML: Invalid value",)),
    Mistake(
        "a name twice",
        "[log]\nfile = ''\nfile = ''\n",
        ("g.toml:5: not TOML: Cannot overwrite a value: file is there already, in line 4",),
    ),
    Mistake(
        "a table twice",
        "[log]\n[log]\n",
        (
            "g.toml:4: not TOML: Cannot declare ('log',) twice: [log] is there already, in line 3: "
            "put both together",
        ),
    ),
    Mistake("too deep", "a = " + "[" * 5000, ("g.toml: not TOML: nested too deeply",)),
]

DOORS = [
    Mistake(
        "no address to listen on",
        "[receive-connectors.a]\nlisten = []\n",
        ("g.toml:4: receive-connectors.a.listen: names no address and port to listen on",),
    ),
    Mistake(
        "no port",
        '[receive-connectors.a]\nlisten = [\n  "0.0.0.0:25",\n  "::",\n]\n',
        (
            "g.toml:6: receive-connectors.a.listen[1]: '::' is not an address and port, "
            'such as "0.0.0.0:25" or "[::]:25"',
        ),
    ),
    Mistake(
        "a port that cannot be",
        '[receive-connectors.a]\nlisten = ["0.0.0.0:65536"]\n',
        (
            "g.toml:4: receive-connectors.a.listen[0]: '0.0.0.0:65536' is not an address and port, "
            'such as "0.0.0.0:25" or "[::]:25"',
        ),
    ),
    Mistake(
        "host bits set",
        DOOR + 'remote-ranges = ["10.0.0.1/8"]\n',
        (
            "g.toml:5: receive-connectors.internet.remote-ranges[0]: '10.0.0.1/8' has host bits set: "
            "write 10.0.0.0/8 for the network or 10.0.0.1 for the host",
        ),
    ),
    Mistake(
        "a range backwards",
        DOOR + 'remote-ranges = ["10.0.0.9-10.0.0.1"]\n',
        (
            "g.toml:5: receive-connectors.internet.remote-ranges[0]: '10.0.0.9-10.0.0.1' is no address, network "
            "or range a-b: '10.0.0.9-10.0.0.1' is not a range from a lower to a higher address",
        ),
    ),
    Mistake(
        "two doors that cannot be told apart",
        DOOR + '[receive-connectors.other]\nlisten = ["0.0.0.0:25"]\nremote-ranges = ["0.0.0.0/0"]\n',
        (
            "g.toml:7: receive-connectors.other.remote-ranges: shares address, port and remote range with "
            "receive-connectors.internet: nothing tells which one serves a client",
        ),
    ),
    Mistake(
        "AUTH without TLS",
        DOOR + 'auth = true\ntls = "none"\n',
        (
            "g.toml:5: receive-connectors.internet.auth: AUTH is only ever offered under TLS, and tls = none "
            "offers no TLS (accepted: tls = optional, tls = required, tls = implicit)",
        ),
    ),
    Mistake(
        "an open relay",
        DOOR + 'anonymous-rights = ["submit", "relay"]\n',
        (
            "g.toml:5: receive-connectors.internet.anonymous-rights: relay for every address of the Internet "
            "is an open relay",
        ),
    ),
    Mistake(
        "an open relay by a named range",
        DOOR + '[receive-connectors.internet.ranges.all]\naddresses = ["::/0"]\nrights = ["relay"]\n',
        (
            "g.toml:7: receive-connectors.internet.ranges.all.rights: relay for every address of the Internet "
            "is an open relay",
        ),
    ),
    Mistake(
        "the same addresses with two kinds of rights",
        DOOR + "[receive-connectors.internet.ranges]\n"
        'a = { addresses = ["10.0.0.0/8"] }\nb = { addresses = ["10.0.0.0/8"] }\n',
        ("g.toml:7: receive-connectors.internet.ranges.b.addresses: names the same addresses as ranges.a",),
    ),
    Mistake(
        "a certificate that is not there",
        DOOR + 'certificate-file = "/nowhere/cert.pem"\n',
        (
            "g.toml:5: receive-connectors.internet.certificate-file: /nowhere/cert.pem cannot be read: "
            "No such file or directory",
        ),
    ),
    Mistake(
        "a soft limit above the hard one",
        DOOR + "limits = { errors-soft = 30 }\n",
        (
            "g.toml:5: receive-connectors.internet.limits.errors-soft: 30 is never reached: errors-hard closes "
            "the session at 20",
        ),
    ),
    Mistake(
        "a profile that is none",
        DOOR + 'profile = "submit"\n',
        (
            'g.toml:5: receive-connectors.internet.profile: "submit" is not accepted, did you mean submission? '
            "(accepted: internet, submission, submissions)",
        ),
    ),
    Mistake(
        "a profile and no listen",
        '[receive-connectors.a]\nprofile = "internet"\n',
        ("g.toml:3: receive-connectors.a.listen: must be given",),
    ),
    Mistake(
        "a submission connector without TLS",
        '[receive-connectors.a]\nprofile = "submission"\ntls = "none"\n',
        (
            "g.toml:3: receive-connectors.a.auth: AUTH is only ever offered under TLS, and tls = none "
            "offers no TLS (accepted: tls = optional, tls = required, tls = implicit)",
        ),
    ),
    Mistake(
        "two submission connectors",
        '[receive-connectors.a]\nprofile = "submission"\n[receive-connectors.b]\nprofile = "submission"\n',
        (
            "g.toml:5: receive-connectors.b.remote-ranges: shares address, port and remote range with "
            "receive-connectors.a: nothing tells which one serves a client",
        ),
    ),
    Mistake(
        "proxies that are everybody",
        DOOR + 'proxies = ["10.0.0.1", "0.0.0.0/0"]\nxclient-peers = ["::/0"]\n',
        (
            "g.toml:5: receive-connectors.internet.proxies: is everybody: any client could name any address as its own",
            "g.toml:6: receive-connectors.internet.xclient-peers: is everybody: "
            "any client could name any address as its own",
        ),
    ),
    Mistake(
        "a proxy by name",
        DOOR + 'proxies = ["haproxy"]\n',
        (
            "g.toml:5: receive-connectors.internet.proxies[0]: 'haproxy' is no address, network or range a-b: "
            "'haproxy' does not appear to be an IPv4 or IPv6 network",
        ),
    ),
    Mistake(
        "no patience with a proxy",
        DOOR + 'proxy-timeout = "0s"\n',
        ("g.toml:5: receive-connectors.internet.proxy-timeout: must be at least 0.1s",),
    ),
    Mistake(
        "metrics on a door's port",
        '[receive-connectors.a]\nlisten = ["127.0.0.1:25"]\n[metrics]\nlisten = "127.0.0.1:25"\n',
        ("g.toml:6: metrics.listen: receive-connectors.a listens there",),
    ),
]

LOGINS = [
    Mistake(
        "tokens without keys",
        DOOR + 'auth = true\nauth-mechanisms = ["XOAUTH2"]\n',
        (
            "g.toml:6: receive-connectors.internet.auth-mechanisms: offers tokens, and users.tokens names "
            "neither keys nor an issuer to check them with",
        ),
    ),
    Mistake(
        "AUTH with nothing",
        DOOR + "auth = true\nauth-mechanisms = []\n",
        ("g.toml:6: receive-connectors.internet.auth-mechanisms: is empty: nobody could authenticate",),
    ),
    Mistake(
        "a mechanism twice",
        DOOR + 'auth-mechanisms = ["PLAIN", "PLAIN"]\n',
        ("g.toml:5: receive-connectors.internet.auth-mechanisms: names a mechanism twice",),
    ),
    Mistake(
        "keys that are not there, for tokens of anybody for anything",
        '[users.tokens]\nkeys-file = "/nowhere/keys"\nalgorithms = []\n',
        (
            "g.toml:3: users.tokens.audience: must be given: a token made for another service would count here",
            "g.toml:3: users.tokens.issuer: must be given: a token made for another service would count here",
            "g.toml:4: users.tokens.keys-file: /nowhere/keys cannot be read: No such file or directory",
            "g.toml:5: users.tokens.algorithms: is empty: no token would count",
        ),
    ),
    Mistake(
        "tokens checked in two ways",
        '[users.tokens]\nissuer = "i"\naudience = "a"\nkeys-file = "/etc/passwd"\n'
        'keys-url = "http://issuer.example/keys"\n',
        (
            "g.toml:3: users.tokens: has keys-file and keys-url: a token is checked in one way",
            "g.toml:7: users.tokens.keys-url: does not begin with https://",
        ),
    ),
    Mistake(
        "an issuer that tells nobody anything",
        '[users.tokens]\naudience = "mail"\nca-file = "/etc/passwd"\n'
        'introspection = { url = "https://u:p@issuer.example/" }\n',
        (
            "g.toml:5: users.tokens.ca-file: /etc/passwd is no PEM file with certificates",
            "g.toml:6: users.tokens.introspection.client-id: must be given: issuers tell nobody else (RFC 7662)",
            "g.toml:6: users.tokens.introspection.secret-file: must be given: issuers tell nobody else (RFC 7662)",
            "g.toml:6: users.tokens.introspection.url: has a user name or a fragment",
        ),
    ),
    Mistake(
        "Kerberos without keys and NTLM without hashes",
        DOOR + 'auth = true\nauth-mechanisms = ["GSSAPI", "NTLM"]\n',
        (
            "g.toml:6: receive-connectors.internet.auth-mechanisms: offers GSSAPI, and users.gssapi.keytab-file "
            "names no keys to check it with",
            "g.toml:6: receive-connectors.internet.auth-mechanisms: offers NTLM, and users.ntlm.hashes-file "
            "names no hashes to check it with",
        ),
    ),
    Mistake(
        "Kerberos at a smart host with a token",
        '[send-connectors.out]\naddress-spaces = ["*"]\nsmart-hosts = ["smart.example"]\ntls = "required"\n'
        'user = "ann"\ntoken-file = "/nowhere/token"\nauth-mechanisms = ["GSSAPI", "XOAUTH2"]\n',
        (
            "g.toml:8: send-connectors.out.token-file: /nowhere/token cannot be read: No such file or directory",
            "g.toml:9: send-connectors.out.auth-mechanisms: has GSSAPI, which needs a password-file",
        ),
    ),
    Mistake(
        "a keytab everybody can read, for no realm",
        '[users.gssapi]\nkeytab-file = "/etc/passwd"\n[users.ntlm]\nhashes-file = "/nowhere/smbpasswd"\n',
        (
            "g.toml:3: users.gssapi.realms: must be given: nobody would be a user",
            "g.toml:4: users.gssapi.keytab-file: /etc/passwd can be read or changed by others (mode 0644): "
            "chmod 600 /etc/passwd",
            "g.toml:6: users.ntlm.hashes-file: /nowhere/smbpasswd cannot be read: No such file or directory",
        ),
    ),
    Mistake(
        "addresses of an account that are none",
        '[users.addresses]\nann = ["sales@example.com", "*@example.com", "example.com", "a@b c"]\n',
        (
            "g.toml:4: users.addresses.ann[2]: 'example.com' is neither a mail address nor *@domain or *@*.domain",
            "g.toml:4: users.addresses.ann[3]: 'a@b c' is neither a mail address nor *@domain or *@*.domain",
        ),
    ),
    Mistake(
        "a known network that is none",
        '[users.lockout]\nknown-networks = ["home"]\n',
        (
            "g.toml:4: users.lockout.known-networks[0]: 'home' is no address, network or range a-b: "
            "'home' does not appear to be an IPv4 or IPv6 network",
        ),
    ),
]

WAYS_OUT = [
    Mistake(
        "a cost that cannot be",
        '[send-connectors.out]\naddress-spaces = ["example.com", "*;200"]\n',
        ("g.toml:4: send-connectors.out.address-spaces[1]: '*;200': a cost is 1 to 100",),
    ),
    Mistake(
        "an address space that is an address",
        '[send-connectors.out]\naddress-spaces = ["192.0.2.1"]\n',
        ("g.toml:4: send-connectors.out.address-spaces[0]: '192.0.2.1': an address is not a name",),
    ),
    Mistake(
        "no address space",
        "[send-connectors.out]\naddress-spaces = []\n",
        ("g.toml:4: send-connectors.out.address-spaces: is empty: the connector would carry nothing",),
    ),
    Mistake(
        "an address without brackets",
        WAY + 'smart-hosts = ["192.0.2.1"]\n',
        (
            "g.toml:5: send-connectors.out.smart-hosts[0]: '192.0.2.1': an address stands in brackets: [192.0.2.1]",
        ),
    ),
    Mistake(
        "LMTP by DNS",
        WAY + 'delivery = "lmtp"\n',
        (
            "g.toml:3: send-connectors.out.smart-hosts: delivery = lmtp needs smart-hosts: DNS knows no LMTP servers",
        ),
    ),
    Mistake(
        "a mailbox directory that is not named",
        WAY + 'delivery = "maildir"\n',
        (
            "g.toml:3: send-connectors.out.maildir: delivery = maildir needs an absolute path "
            '(accepted: such as "/var/mail/{domain}/{local}")',
        ),
    ),
    Mistake(
        "a placeholder nobody replaces",
        WAY + 'delivery = "maildir"\nmaildir = "/mail/{user}"\n',
        ("g.toml:6: send-connectors.out.maildir: {user} is not replaced (accepted: {domain}, {local})",),
    ),
    Mistake(
        "a password in the clear",
        WAY + 'user = "us"\npassword-file = "/nowhere"\n',
        (
            "g.toml:5: send-connectors.out.user: a password is not sent with tls = opportunistic "
            "(accepted: tls = required, tls = verified, tls = fingerprint)",
            "g.toml:6: send-connectors.out.password-file: /nowhere cannot be read: No such file or directory",
        ),
    ),
    Mistake(
        "a way back to ourselves by address",
        '[receive-connectors.a]\nlisten = ["0.0.0.0:2525"]\n' + WAY + 'smart-hosts = ["[127.0.0.1]:2525"]\n',
        (
            "g.toml:7: send-connectors.out.smart-hosts[0]: [127.0.0.1]:2525 is this gateway: "
            "mail would go round in a loop",
        ),
    ),
    Mistake(
        "a way back to ourselves by name",
        DOOR + WAY + 'smart-hosts = ["MX.example.com"]\n',
        (
            "g.toml:7: send-connectors.out.smart-hosts[0]: MX.example.com is this gateway: "
            "mail would go round in a loop",
        ),
    ),
]

SCHEDULES = [
    Mistake(
        "a time that is none",
        WAY + 'schedule = ["mon-fri 18-24"]\n',
        (
            "g.toml:5: send-connectors.out.schedule: 'mon-fri 18-24' is not a time such as \"22:00-06:00\", "
            '"sat,sun" or "mon-fri 18:00-24:00" (accepted: always, never, times)',
        ),
    ),
]

VALUES = [
    Mistake(
        "a log where there is no directory",
        '[log]\nfile = "/nowhere/gatepost.log"\n',
        ("g.toml:4: log.file: /nowhere/gatepost.log cannot be written: there is no directory /nowhere",),
    ),
    Mistake(
        "a log that is a directory",
        '[log]\nfile = "/etc"\n',
        ("g.toml:4: log.file: /etc is a directory",),
    ),
    Mistake(
        "an address as our name",
        '[server]\nhostname = "192.0.2.1"\n',
        ("g.toml:2: server.hostname: '192.0.2.1': an address is not a name",),
        whole=True,
    ),
    Mistake(
        "a name with a blank",
        '[server]\nhostname = "mx example.com"\n',
        (
            "g.toml:2: server.hostname: 'mx example.com': not a domain name: labels of letters, digits and hyphens, "
            "joined by dots",
        ),
        whole=True,
    ),
    Mistake(
        "a relative state directory",
        '[server]\nhostname = "mx.example.com"\nstate-directory = "state"\n',
        ("g.toml:3: server.state-directory: must be an absolute path",),
        whole=True,
    ),
    Mistake(
        "a state directory too long for a socket",
        f'[server]\nhostname = "mx.example.com"\nstate-directory = "/{"s" * 90}"\n',
        (
            "g.toml:3: server.state-directory: is longer than 84 octets: the path of a socket in it would not fit",
        ),
        whole=True,
    ),
    Mistake(
        "an account that is not there",
        '[server]\nhostname = "mx.example.com"\nuser = "no-such-account"\n',
        ("g.toml:3: server.user: there is no account 'no-such-account'",),
        whole=True,
    ),
    Mistake(
        "a domain twice",
        '[accepted-domains."example.com"]\n[accepted-domains."Example.COM"]\n',
        ("g.toml:4: accepted-domains.\"Example.COM\": is the same domain as 'example.com'",),
    ),
    Mistake(
        "a postmaster who is no address",
        '[notices]\npostmaster = "postmaster"\n',
        ("g.toml:4: notices.postmaster: 'postmaster' is not a mail address",),
    ),
    Mistake(
        "a first wait longer than the longest",
        '[queue]\nfirst-retry = "2h"\n',
        ("g.toml:4: queue.first-retry: is longer than longest-retry",),
    ),
    Mistake(
        "points for a finding nobody has",
        "[policy.points]\nlistet = 3.0\n",
        (
            "g.toml:4: policy.points.listet: no agent has a finding of this name, did you mean listed? "
            "(accepted: listed)",
        ),
    ),
    Mistake(
        "an agent disabled that is not there",
        '[policy]\ndisabled = ["block-lst"]\n',
        (
            'g.toml:4: policy.disabled[0]: there is no agent "block-lst", did you mean block-list? '
            "(accepted: block-list)",
        ),
    ),
    Mistake(
        "an agent asked on a door that is not there",
        DOOR + '[agents.block-list]\nconnectors = ["internt"]\n',
        (
            'g.toml:6: agents.block-list.connectors[0]: there is no receive connector "internt", '
            "did you mean internet? (accepted: internet)",
        ),
    ),
    Mistake(
        "agents from a folder that is not there",
        '[policy]\nagents-directory = "/nowhere"\n',
        ("g.toml:4: policy.agents-directory: /nowhere is not a directory",),
    ),
]

NOTICES = [
    Mistake(
        "a copy to nobody",
        '[notices]\ncopies-to = "help"\n',
        ("g.toml:4: notices.copies-to: 'help' is not a mail address",),
    ),
    Mistake(
        "a code that is none",
        '[notices]\ncopy-codes = ["5.4.6", "546"]\n',
        ('g.toml:4: notices.copy-codes[1]: "546" is not a code such as "5.4.6"',),
    ),
    Mistake(
        "own words for nothing",
        '[notices.texts.de]\n"5.1" = "Nein."\nfaild = "Leider:"\n"5" = " "\n',
        (
            'g.toml:5: notices.texts.de.faild: is not a code such as "5.1.1", "5.1" or "5", did you mean failed? '
            "(accepted: failed, delayed, delivered, relayed)",
            "g.toml:6: notices.texts.de.5: must be a text of 1 to 2000 characters",
        ),
    ),
    Mistake(
        "a language that is none",
        '[notices.texts.German]\n"5" = "Nein."\n',
        ('g.toml:3: notices.texts.German: is not a language such as "de" or "pt-br"',),
    ),
    Mistake(
        "a language without words",
        '[notices]\nlanguage = "dee"\ntexts = { de = { "5" = "Nein." } }\n[remote-domains."*"]\nlanguage = "fr"\n',
        (
            'g.toml:4: notices.language: notices.texts has no table "dee", did you mean de? (accepted: de)',
            'g.toml:7: remote-domains."*".language: notices.texts has no table "fr" (accepted: de)',
        ),
    ),
    Mistake(
        "a delay told too late",
        '[notices]\ndelay-after = "5d"\n',
        ("g.toml:4: notices.delay-after: is not before queue.expiry: nobody would be told of a delay",),
    ),
    Mistake(
        "remote domains that are none, or the same",
        '[remote-domains."a b"]\n[remote-domains."a.example"]\n[remote-domains."A.Example"]\n',
        (
            'g.toml:3: remote-domains."a b": not a domain name: labels of letters, digits and hyphens, joined by dots',
            'g.toml:5: remote-domains."A.Example": is the same domain as "a.example"',
        ),
    ),
]

_LIMITS = DOOR + "[receive-connectors.internet.limits]\n"
LIMITS = [
    Mistake(
        "a session smaller than a message",
        _LIMITS + 'session-size = "1MiB"\n',
        (
            "g.toml:6: receive-connectors.internet.limits.session-size: is less than message-size: "
            "the largest message would never be taken",
        ),
    ),
    Mistake(
        "whom the rates are not for is no address",
        _LIMITS + 'unrated = ["localhost"]\n',
        (
            "g.toml:6: receive-connectors.internet.limits.unrated[0]: 'localhost' is no address, network or range a-b: "
            "'localhost' does not appear to be an IPv4 or IPv6 network",
        ),
    ),
    Mistake(
        "a stress profile that would end before it begins",
        DOOR + "[receive-connectors.internet.limits.stress]\nfrom-share = 50\nuntil-share = 50\n",
        ("g.toml:7: receive-connectors.internet.limits.stress.until-share: must be less than from-share",),
    ),
    Mistake(
        "marks of free space that do not fall",
        '[back-pressure.disk]\nmedium = "2GiB"\n',
        ("g.toml:3: back-pressure.disk: the marks of what is free must fall: normal, medium, high",),
    ),
    Mistake(
        "marks of use that do not rise",
        "[back-pressure.queue]\nmedium = 100\n",
        ("g.toml:3: back-pressure.queue: the marks of what is in use must rise: normal, medium, high",),
    ),
    Mistake(
        "a resource that is not known",
        '[back-pressure]\nwatch = ["disc"]\n',
        (
            'g.toml:4: back-pressure.watch[0]: "disc" is not accepted, did you mean disk? '
            "(accepted: disk, inodes, memory, system-memory, queue, loop-lag)",
        ),
    ),
]
