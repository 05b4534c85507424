"""Lists of addresses and domains: feeds that are fetched, and providers that are asked over the DNS."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Size, Table, setting, size


class ListFeed(Table):
    """[list-feeds.NAME]: a list that others publish, fetched now and then and asked in memory."""

    counts_as: Literal["block", "allow", "provider"] = setting(
        "block, allow: its addresses are on that list (agents.ip-lists); provider: it only speaks where a "
        "provider names it",
        default="block",
    )
    enabled: bool = setting("Whether it is read", default=True)
    file: str = setting("Where it is: a file, read again when it changes", default="")
    url: str = setting("Where it is: https://...; fetched again when its ETag is another", default="")
    allow_internal: bool = setting(
        "Whether `url` may lead to a loopback or private address: for a list of your own. Else whoever runs its DNS "
        "could make the gateway ask machines of yours",
        default=False,
    )
    format: Literal["text", "ip4set", "ip4trie", "ip6trie", "dnset", "domains"] = setting(
        "text: an address, network or range a line; domains: a domain a line; the others are data sets of rbldnsd",
        default="text",
    )
    interval_s: Duration = setting("How often it is looked at", default=3600.0, low=1, high=604800)
    timeout_s: Duration = setting("Patience with one fetch", default=60.0, low=1, high=600)
    ca_file: str = setting(
        "PEM file with the authorities that vouch for the server; empty: the system's", default=""
    )
    size_bytes: Size = setting(
        "Size above which it is not taken", default=size(256, "MiB"), low=1, high=1 << 32
    )
    entries: int = setting(
        "Entries above which it is not taken; a million addresses take about 10 MiB, once for all workers",
        default=5_000_000,
        low=1,
        high=50_000_000,
    )


class ListProvider(Table):
    """What every provider has."""

    zone: str = setting('The zone that is asked over the DNS: "bl.example.org"', default="")
    feeds: tuple[str, ...] = setting(
        "Instead of a zone: feeds (with counts-as = provider) that are asked in memory, as if they were one zone",
        default=(),
    )
    enabled: bool = setting("Whether it is asked", default=True)
    priority: int = setting(
        "Whose words are used when several list a client: the lowest", default=100, low=0, high=10000
    )
    answers: tuple[str, ...] = setting(
        'Answers that count: addresses or networks in 127.0.0.0/8 ("127.0.0.2", "127.0.0.4/30"); with bitmask '
        "either is enough. Both empty: any answer in 127.0.0.0/8. 127.255.255.0/24 never counts",
        default=(),
    )
    bitmask: str = setting(
        'Bits that count: "127.0.0.6" matches answers 127.0.0.x in which bit 2 or bit 4 is set', default=""
    )
    weight: float = setting(
        "What a listing is worth; mail is refused when all together reach the threshold of the agent",
        default=1.0,
        low=0,
        high=1000,
    )
    timeout_s: Duration = setting(
        "Patience with it; dns-lists.deadline is for all", default=5.0, low=0.1, high=60
    )


class Provider(ListProvider):
    """[block-list-providers.NAME], [allow-list-providers.NAME]: who is asked about the client's address."""

    reply: str = setting(
        "Words of the refusal after 550 5.7.1, at most 240 characters; {ip}, {provider}, {zone}, {code} and "
        "{text} (the provider's TXT record) are replaced. Empty: those of agents.block-list-providers",
        default="",
    )
    ip_versions: tuple[Literal[4, 6], ...] = setting(
        "Versions of addresses it is asked about", default=(4, 6)
    )


DomainSource = Literal["helo", "reverse-dns", "sender", "author"]


class DomainProvider(ListProvider):
    """[domain-list-providers.NAME]: who is asked about the domains that a mail names."""

    asked: tuple[DomainSource, ...] = setting(
        "Which domains: helo, the name in the client's greeting; reverse-dns, its confirmed names; sender, that of "
        "the return path; author, those of the addresses in From",
        default=("helo", "reverse-dns", "sender", "author"),
    )
    parents: bool = setting(
        "Ask about the domains above it, too, down to two labels and at most four names in all; not needed for lists "
        "that list what is below a domain with it",
        default=True,
    )
    test_name: str = setting(
        'A name that it lists, to see that it is there; empty: "test" (RFC 5782). "invalid" must not be listed',
        default="",
    )
    reply: str = setting(
        "Words of the refusal after 550 5.7.1, at most 240 characters; {name} (the domain), {ip}, {provider}, {zone}, "
        "{code} and {text} (the provider's TXT record) are replaced. Empty: those of agents.domain-list-providers",
        default="",
    )


class DnsLists(Table):
    """[dns-lists]: how all providers are asked."""

    deadline_s: Duration = setting(
        "Patience with all providers together, from the connection on; who has not answered has no say",
        default=5.0,
        low=0.1,
        high=60,
    )
    failures: int = setting(
        "Unanswered questions in a row after which a provider rests", default=5, low=1, high=1000
    )
    rest_s: Duration = setting(
        "How long it rests; doubled each time it still does not answer, up to longest-rest",
        default=30.0,
        low=1,
    )
    longest_rest_s: Duration = setting("Longest rest", default=900.0, low=1)
    refused_rest_s: Duration = setting(
        "How long a provider rests that answers 127.255.255.x: it does not want our questions",
        default=3600.0,
        low=1,
    )
    check_interval_s: Duration = setting(
        "How often its test points are asked (RFC 5782): 127.0.0.2 must be listed, 127.0.0.1 must not",
        default=86400.0,
        low=60,
    )
