"""Recipients as files, databases and LDAP list them: read once from end to end, in a thread, by whoever syncs."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import apsw

from gatepost.adapters.ldap import (
    LdapConnection,
    LdapEntry,
    LdapServer,
    ldap_filter,
    tls_context,
)
from gatepost.config.check_directories import is_postgresql, parse_ldap_url
from gatepost.config.directory_settings import Directory
from gatepost.model.fault import WorldFault

_LINE_LIMIT_CHARACTERS: Final = 1024
_ROWS_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Listed:
    """One recipient as its source writes it: "ann@example.com", or "@example.com" for a whole domain."""

    text: str
    needs_authentication: bool = False


def read_source(directory: Directory) -> Iterator[Listed]:
    """Every recipient of a source of type file, sql or ldap. Raises WorldFault, at any point."""
    if directory.type == "file":
        return _file(directory.file)
    if directory.type == "sql":
        if is_postgresql(directory.sql.database):
            return _postgresql(directory)
        return _sqlite(directory)
    return _ldap(directory)


def _file(path: str) -> Iterator[Listed]:
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as file:
            while line := file.readline(_LINE_LIMIT_CHARACTERS):
                text = line.partition("#")[0].strip()
                if text:
                    yield Listed(text)
    except (OSError, ValueError) as error:
        raise WorldFault(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _sqlite(directory: Directory) -> Iterator[Listed]:
    path, timeout_s = directory.sql.database, directory.timeout_s
    try:
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise WorldFault(f"{path} cannot be opened: {error}") from error
    try:
        connection.set_busy_timeout(int(timeout_s * 1000))
        for row in connection.execute(directory.sql.query):
            yield _of_row(row)
    except apsw.Error as error:
        raise WorldFault(f"{path}: {error}") from error
    finally:
        connection.close()


def _postgresql(directory: Directory) -> Iterator[Listed]:
    try:
        psycopg = importlib.import_module("psycopg")
    except ImportError as error:
        raise WorldFault(
            "PostgreSQL needs more than was installed: pip install 'gatepost[postgres]'"
        ) from error
    sql, timeout_s = directory.sql, directory.timeout_s
    secret = {"password": secret_of(sql.password_file)} if sql.password_file else {}
    try:
        with (
            psycopg.connect(
                sql.database,
                connect_timeout=max(2, int(timeout_s)),
                options=f"-c default_transaction_read_only=on -c statement_timeout={int(timeout_s * 1000)}",
                application_name="gatepost",
                **secret,
            ) as connection,
            connection.cursor(name="recipients") as cursor,
        ):
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(sql.query)
            for row in cursor:
                yield _of_row(row)
    except psycopg.Error as error:
        raise WorldFault(f"PostgreSQL: {' '.join(str(error).split())[:300]}") from error


def _of_row(row: tuple[object, ...]) -> Listed:
    if not row or not isinstance(row[0], str):
        raise WorldFault("the query's first column is not text: it must be a mail address")
    return Listed(row[0].strip(), len(row) > 1 and _is_true(row[1]))


def _is_true(value: object) -> bool:
    """SQLite has no booleans: text that says no is a no."""
    if isinstance(value, str):
        return value.strip().lower() in ("1", "t", "true", "y", "yes")
    return bool(value)


def _ldap(directory: Directory) -> Iterator[Listed]:
    settings = directory.ldap
    try:
        wanted = ldap_filter(settings.filter)
    except ValueError as error:
        raise WorldFault(str(error)) from error
    connection = connect_to_any(
        settings.servers, tls=settings.tls, ca_file=settings.ca_file, timeout_s=directory.timeout_s
    )
    try:
        if settings.bind_dn and not connection.bind(settings.bind_dn, secret_of(settings.password_file)):
            raise WorldFault(
                f"the directory does not let {settings.bind_dn} in: wrong bind-dn or password-file"
            )
        flag = settings.authenticated_attribute
        names = (*settings.attributes, flag) if flag else settings.attributes
        found = connection.search(
            settings.base,
            wanted,
            names,
            page_entries=settings.page_entries,
            entries_limit=directory.entries,
        )
        for entry in found:
            yield from _of_entry(entry, settings.attributes, flag)
    finally:
        connection.close()


def _of_entry(entry: LdapEntry, attributes: tuple[str, ...], flag: str) -> Iterator[Listed]:
    needs = bool(flag) and b"TRUE" in (v.upper() for v in entry.attributes.get(flag.lower(), ()))
    for text in mail_addresses(entry, attributes):
        yield Listed(text, needs)


def mail_addresses(entry: LdapEntry, attributes: Iterable[str]) -> Iterator[str]:
    """The values of these attributes; of those with a scheme (SMTP:, sip:) only those of smtp."""
    for name in attributes:
        for value in entry.attributes.get(name.lower(), ()):
            text = value.decode("utf-8", "replace").strip()
            scheme, colon, rest = text.partition(":")
            if not colon or '"' in scheme or "@" in scheme:
                yield text
            elif scheme.lower() == "smtp":
                yield rest


def connect_to_any(servers: tuple[str, ...], *, tls: str, ca_file: str, timeout_s: float) -> LdapConnection:
    """The first server that can be spoken to. Raises WorldFault with the last reason when none can."""
    context = tls_context(ca_file) if tls == "verified" else None
    fault = WorldFault("no LDAP server is named")
    for text in servers:
        host, port, tls_first = parse_ldap_url(text)
        if tls_first and context is None:
            context = tls_context(ca_file)
        try:
            server = LdapServer(host=host, port=port, tls_first=tls_first, context=context)
            return LdapConnection(server, timeout_s=timeout_s)
        except WorldFault as error:
            fault = error
    raise fault


def secret_of(path: str) -> str:
    """The first line of a file. Raises WorldFault."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline(4096).rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise WorldFault(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
