"""Logins at a directory: who is let in, what a name cannot smuggle, and what happens while nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.services.slapd import ADMIN, BASE, Slapd

from gatepost.adapters.accounts import AccountsFile, FileAccounts
from gatepost.adapters.ldap import ldap_filter
from gatepost.adapters.ldap_accounts import JoinedAccounts, LdapAccounts, bind_name, filter_text
from gatepost.adapters.ldap_addresses import LdapAddresses
from gatepost.config.login_settings import LdapLogins
from gatepost.config.schema import frozen
from gatepost.model.fault import WorldFault

PASSWORD = "the secret of ann"


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    made = Slapd(people=3)
    made.start()
    yield made
    made.stop()


def logins(server: Slapd, **wishes: Any) -> LdapLogins:
    given_settings = {
        "servers": [f"ldap://127.0.0.1:{server.port}"],
        "ca-file": str(server.ca_file),
        "bind-dn": ADMIN,
        "password-file": str(server.password_file),
        "base": BASE,
        "filter": "(|(uid={user})(mail={user}))",
        **wishes,
    }
    return LdapLogins.model_validate(frozen(given_settings))


def check(settings: LdapLogins, user: str, password: str) -> str:
    accounts = LdapAccounts(settings, monotonic=lambda: 0.0)
    try:
        return "in" if asyncio.run(accounts.check(user, password)) else "out"
    except WorldFault as fault:
        return str(fault.reply.code)


LOGINS: list[tuple[str, str, str, dict[str, Any], str]] = [
    ("good", "ann", PASSWORD, {}, "in"),
    ("by the address", "ann@ours.example", PASSWORD, {}, "in"),
    ("a wrong password", "ann", "wrong", {}, "out"),
    ("an empty password", "ann", "", {}, "out"),
    ("nobody", "carl", PASSWORD, {}, "out"),
    ("a star is no name", "*", PASSWORD, {}, "out"),
    ("a filter is no name", "ann)(uid=*", PASSWORD, {}, "out"),
    ("when several fit", "x", PASSWORD, {"filter": "(|(mail=p0*)(mail=p1*)(uid={user}))"}, "out"),
    ("by a name that binds", "Ann", PASSWORD, {"user-dn": f"cn={{user}},{BASE}", "base": ""}, "in"),
    ("which is no way to another DN", f"Ann,{BASE}", PASSWORD, {"user-dn": "cn={user}", "base": ""}, "out"),
    ("nobody by a name that binds", "carl", PASSWORD, {"user-dn": f"cn={{user}},{BASE}", "base": ""}, "out"),
    ("nobody answers", "ann", PASSWORD, {"servers": ["ldap://127.0.0.1:1"]}, "454"),
    ("our own password is wrong", "ann", PASSWORD, {"bind-dn": f"cn=Ann,{BASE}"}, "454"),
    ("a filter nobody can read", "ann", PASSWORD, {"filter": "((({user}"}, "454"),
]


@pytest.mark.slow
@pytest.mark.threat("E07", "E08")
@pytest.mark.service("slapd")
def test_who_is_let_in(server: Slapd) -> None:
    for name, user, password, wishes, then in LOGINS:
        assert check(logins(server, **wishes), user, password) == then, name
    by_ldaps = logins(server, servers=[f"ldaps://127.0.0.1:{server.tls_port}"])
    assert check(by_ldaps, "ann", PASSWORD) == "in"


@pytest.mark.slow
@pytest.mark.service("slapd")
def test_a_good_password_is_believed_for_a_while(tmp_path: Path) -> None:
    server = Slapd()
    server.start()
    now = 0.0
    accounts = LdapAccounts(logins(server, **{"cache-time": "60s"}), monotonic=lambda: now)

    async def converse() -> None:
        nonlocal now
        assert await accounts.check("ann", PASSWORD)
        server.halt()
        assert await accounts.check("ANN", PASSWORD)
        for user, password in (("ann", "wrong"), ("carl", PASSWORD)):
            with pytest.raises(WorldFault) as caught:
                await accounts.check(user, password)
            assert caught.value.reply.code == 454
        now = 61.0
        with pytest.raises(WorldFault):
            await accounts.check("ann", PASSWORD)

    try:
        asyncio.run(converse())
    finally:
        server.stop()


@pytest.mark.slow
@pytest.mark.service("slapd")
def test_the_file_comes_first_and_can_keep_somebody_out(server: Slapd, tmp_path: Path) -> None:
    path = tmp_path / "users"
    joined = JoinedAccounts(
        FileAccounts(str(path), monotonic=lambda: 0.0), LdapAccounts(logins(server), monotonic=lambda: 0.0)
    )

    async def converse() -> None:
        assert await joined.check("ann", PASSWORD)  # no file at all
        book = AccountsFile(str(path))
        book.put("ann", "another password of hers")
        assert not await joined.check("ann", PASSWORD)
        assert await joined.check("ann", "another password of hers")
        book.disable("ann")
        assert not await joined.check("ann", PASSWORD)
        assert joined.is_disabled("ann")

    asyncio.run(converse())


@pytest.mark.slow
@pytest.mark.threat("E11")
@pytest.mark.service("slapd")
def test_the_directory_knows_the_addresses_of_an_account(tmp_path: Path) -> None:
    server = Slapd()
    server.start()
    now = 0.0
    settings = logins(server, **{"cache-time": "60s", "address-attributes": ["mail", "description"]})
    addresses = LdapAddresses(settings, monotonic=lambda: now)

    async def of(user: str) -> frozenset[str]:
        found = addresses.addresses_of(user)
        return found if isinstance(found, frozenset) else await found

    async def converse() -> None:
        nonlocal now
        assert await of("ann") == {"ann@ours.example"}
        assert await of("nobody") == await of("*") == await of("ann)(uid=*") == frozenset()
        server.halt()
        # From memory for a while, by either form of the name that was asked about
        assert addresses.addresses_of("ANN") == frozenset({"ann@ours.example"})
        now = 61.0
        with pytest.raises(WorldFault):
            await of("ann")

    try:
        asyncio.run(converse())
    finally:
        server.stop()


def test_too_many_logins_are_put_off() -> None:
    settings = LdapLogins.model_validate(
        frozen({"servers": ["ldap://192.0.2.1"], "connections": 1, "logins-waiting": 1})
    )
    accounts = LdapAccounts(settings, monotonic=lambda: 0.0)
    accounts._asked = lambda user, password: True  # type: ignore[method-assign]

    async def converse() -> list[object]:
        return list(
            await asyncio.gather(
                *(accounts.check(f"u{n}", "password") for n in range(3)), return_exceptions=True
            )
        )

    found = asyncio.run(converse())
    assert found[:2] == [True, True]
    assert isinstance(found[2], WorldFault)


DN_NAMES = [
    ("plain", "ann", "cn=ann,dc=x"),
    ("a comma", "ann,dc=y", "cn=ann\\,dc\\=y,dc=x"),
    ("a quote and a backslash", 'a"\\', 'cn=a\\"\\\\,dc=x'),
    ("blanks around it", " a ", "cn=\\ a\\ ,dc=x"),
]


def test_a_name_is_only_a_value_in_a_dn() -> None:
    for name, user, dn in DN_NAMES:
        assert bind_name("cn={user},dc=x", user) == dn, name
    assert bind_name("{user}@x.example", "ann") == "ann@x.example"


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_a_name_is_only_a_value_in_a_filter(user: str) -> None:
    wanted: Any = ldap_filter(f"(uid={filter_text(user)})")
    assert (type(wanted).__name__, wanted.attribute, wanted.value) == ("FilterEquality", "uid", user.encode())
