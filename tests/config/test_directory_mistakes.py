"""Mistakes about directories and accounts in them are said with their line, as all others are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.mistakes import SERVER
from tests.config.test_mistakes import loaded

from gatepost.config.check_directories import parse_call_host, parse_ldap_url
from gatepost.config.errors import ConfigurationErrors

LDAP = '[directories.a]\ntype = "ldap"\n[directories.a.ldap]\nservers = ["ldaps://dc.example.com"]\nbase = "dc=x"\n'
SQL = '[directories.a]\ntype = "sql"\n[directories.a.sql]\n'
SMTP = '[directories.a]\ntype = "smtp"\n[directories.a.call-forward]\n'
OTHER = LDAP.replace('type = "ldap"\n', 'type = "ldap"\ndomains = ["other.example"]\n')
IN_URL = f'{SQL}database = "postgresql://a:b@c/d"\nquery = "SELECT 1"\n'
OPEN = f'{LDAP}bind-dn = "cn=x"\npassword-file = "/etc/passwd"\n'
MISTAKES = [
    ("no type", "[directories.a]\n", "directories.a.type"),
    ("an unknown type", '[directories.a]\ntype = "ad"\n', "file, sql, ldap, smtp"),
    ("a name that is no file's", '[directories."a/b"]\ntype = "file"\nfile = "x"\n', "its index is a file"),
    ("a domain that is not ours", OTHER, "'other.example' is no accepted domain"),
    ("a table of another type", f"{LDAP}[directories.a.sql]\n", "belongs to type = sql, and this is type = ldap"),
    ("no file", '[directories.a]\ntype = "file"\n', "must be given for type = file"),
    ("no query", f'{SQL}database = "/x.db"\n', "directories.a.sql.query: must be given"),
    ("an unknown database", f'{SQL}database = "mysql://x/y"\nquery = "SELECT 1"\n', "neither the path of an SQLite"),
    ("a password for all to see", IN_URL, "belongs into password-file"),
    ("a server that is no address", LDAP.replace("ldaps://dc.example.com", "dc.example.com"), "is not ldap://host[:port]"),
    ("a name without a password", f'{LDAP}bind-dn = "cn=x"\n', "bind-dn and password-file go together"),
    ("a password open to others", OPEN, "can be read or changed by others"),
    ("nobody to ask", '[directories.a]\ntype = "smtp"\n', "must be given for type = smtp"),
    ("a host without brackets", f'{SMTP}host = "mx.example.com"\n', 'is not "[host]" or "[host]:port"'),
    ("accounts by nothing", '[users.ldap]\nservers = ["ldaps://dc.example.com"]\n', "needs either user-dn"),
    (
        "addresses of users nobody searches for",
        '[users.ldap]\nservers = ["ldaps://dc.example.com"]\nuser-dn = "{user}@x"\naddress-attributes = ["mail"]\n',
        "needs base (and bind-dn)",
    ),
    ("everybody the same", '[users.ldap]\nservers = ["ldaps://dc.example.com"]\nuser-dn = "cn=x"\n', "has no {user}"),
]  # fmt: skip


@pytest.mark.threat("T02")
@pytest.mark.parametrize(("name", "text", "said"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigurationErrors) as caught:
        loaded(SERVER + text)
    assert said in str(caught.value), name


def test_what_is_probably_not_meant(tmp_path: Path) -> None:
    clear = LDAP.replace("ldaps", "ldap") + 'tls = "none"\n'
    assert any("changes what the directory says" in str(w) for w in loaded(SERVER + clear).warnings)
    door = '[receive-connectors.a]\nlisten = ["127.0.0.1:587"]\nauth = true\n'
    users = '[users.ldap]\nservers = ["ldaps://dc.example.com"]\nuser-dn = "{user}@example.com"\n'
    assert any("offers SCRAM" in str(w) for w in loaded(SERVER + door + users).warnings)
    plain = f'{door}auth-mechanisms = ["PLAIN", "LOGIN"]\n'
    assert not any("SCRAM" in str(w) for w in loaded(SERVER + plain + users).warnings)
    # A directory is a source: nothing is missing then
    domain = '[accepted-domains."example.com"]\n'
    assert any("lists them" in str(w) for w in loaded(SERVER + domain).warnings)
    assert not any("lists them" in str(w) for w in loaded(SERVER + domain + LDAP).warnings)


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.config.check_directories.find_spec", lambda module: None)
    with pytest.raises(ConfigurationErrors, match=r"needs sansldap: pip install 'gatepost\[ldap\]'"):
        loaded(SERVER + LDAP)


def test_addresses_of_servers() -> None:
    assert parse_ldap_url("ldaps://dc.example.com") == ("dc.example.com", 636, True)
    assert parse_ldap_url("ldap://[2001:db8::1]:3389") == ("2001:db8::1", 3389, False)
    assert parse_call_host("[192.0.2.1]") == ("192.0.2.1", 25)
    assert parse_call_host("[mx.example.com]:2525") == ("mx.example.com", 2525)
    assert parse_call_host("[2001:db8::1]:26") == ("2001:db8::1", 26)
    for wrong in ("ldap://", "ldap://x/dc=a", "ldap://u@x", "http://x", "ldap://x:port", "ldap://[x"):
        with pytest.raises(ValueError, match="is not ldap"):
            parse_ldap_url(wrong)
    for wrong in ("", "[", "[]", "[x]25", "[x]:", "[x]:0", "[x]:99999", "[1.2.3.999]"):
        with pytest.raises(ValueError, match=r"is|has|not"):
            parse_call_host(wrong)
