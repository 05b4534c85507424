"""What a source of recipients must not be: of two types, open to others, for domains that are not ours."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from gatepost.config.directory_settings import Directory, LdapSource, SqlSource
from gatepost.config.errors import Complaint
from gatepost.config.files import authorities_problem, open_to_others, readable_problem, secret_problem
from gatepost.config.networks import parse_binding, service_problem
from gatepost.config.settings import Settings

At = tuple[str | int, ...]
NAME_LIMIT = 64


def check_directories(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [directories]."""
    accepted = {name.lower().rstrip(".") for name in settings.accepted_domains}
    for name, directory in settings.directories.items():
        at: At = ("directories", name)
        if not _is_file_name(name):
            yield Complaint(
                at=at,
                message=f"a name has 1 to {NAME_LIMIT} letters, digits, - and _: its index is a file of that name",
            )
        for number, domain in enumerate(directory.domains):
            if domain.lower().rstrip(".") not in accepted:
                yield Complaint(at=(*at, "domains", number), message=f"{domain!r} is no accepted domain")
        yield from _tables(at, directory)
        yield from _source(at, directory)


def missing_extra(module: str, extra: str) -> str:
    """What has to be installed for it; "" when it is there."""
    return "" if find_spec(module) is not None else f"needs {module}: pip install 'gatepost[{extra}]'"


def _is_file_name(name: str) -> bool:
    return 0 < len(name) <= NAME_LIMIT and all(c.isascii() and (c.isalnum() or c in "-_") for c in name)


def _tables(at: At, directory: Directory) -> Iterator[Complaint]:
    for name, owner in (("file", "file"), ("sql", "sql"), ("ldap", "ldap"), ("call_forward", "smtp")):
        if name in directory.model_fields_set and directory.type != owner:
            yield Complaint(
                at=(*at, name.replace("_", "-")),
                message=f"belongs to type = {owner}, and this is type = {directory.type}",
            )


def _source(at: At, directory: Directory) -> Iterator[Complaint]:
    if directory.type == "file":
        yield from _file(at, directory.file)
    elif directory.type == "sql":
        yield from _sql((*at, "sql"), directory.sql)
    elif directory.type == "ldap":
        yield from _ldap((*at, "ldap"), directory.ldap)
    else:
        yield from _host((*at, "call-forward", "host"), directory.call_forward.host)


def _file(at: At, path: str) -> Iterator[Complaint]:
    if not path:
        yield Complaint(at=(*at, "file"), message="must be given for type = file")
    elif problem := readable_problem(path):
        yield Complaint(
            at=(*at, "file"),
            message=f"{path} {problem}; the last index stays in force, without one recipients are answered 451",
            is_warning=True,
        )
    elif problem := open_to_others(path):
        yield Complaint(at=(*at, "file"), message=f"{path} {problem}")


def _sql(at: At, sql: SqlSource) -> Iterator[Complaint]:
    for name, value in (("database", sql.database), ("query", sql.query)):
        if not value:
            yield Complaint(at=(*at, name), message="must be given for type = sql")
    if sql.database and not is_postgresql(sql.database):
        if "://" in sql.database:
            yield Complaint(
                at=(*at, "database"),
                message="is neither the path of an SQLite database nor a postgresql:// address",
            )
        elif problem := open_to_others(sql.database):
            yield Complaint(at=(*at, "database"), message=f"{sql.database} {problem}")
    else:
        if _password_of(sql.database):
            yield Complaint(
                at=(*at, "database"), message="has a password in it: that belongs into password-file"
            )
        if problem := missing_extra("psycopg", "postgres"):
            yield Complaint(at=(*at, "database"), message=problem)
    yield from _secret(at, sql.password_file)


def _ldap(at: At, ldap: LdapSource) -> Iterator[Complaint]:
    if not ldap.servers:
        yield Complaint(at=(*at, "servers"), message="must be given for type = ldap")
    if not ldap.base:
        yield Complaint(at=(*at, "base"), message="must be given for type = ldap")
    if not ldap.attributes:
        yield Complaint(at=(*at, "attributes"), message="is empty: nobody would be a recipient")
    yield from check_ldap_servers(at, ldap.servers, ldap.tls, ldap.ca_file)
    yield from check_ldap_login(at, ldap.bind_dn, ldap.password_file)


def check_ldap_servers(at: At, servers: tuple[str, ...], tls: str, ca_file: str) -> Iterator[Complaint]:
    """The servers of any table that speaks LDAP."""
    if servers and (problem := missing_extra("sansldap", "ldap")):
        yield Complaint(at=(*at, "servers"), message=problem)
    for number, text in enumerate(servers):
        try:
            parse_ldap_url(text)
        except ValueError as error:
            yield Complaint(at=(*at, "servers", number), message=str(error))
    if ca_file and (problem := authorities_problem(ca_file)):
        yield Complaint(at=(*at, "ca-file"), message=f"{ca_file} {problem}")
    if tls == "none" and servers:
        yield Complaint(
            at=(*at, "tls"),
            message="is none: everybody on the way reads and changes what the directory says",
            is_warning=True,
        )


def check_ldap_login(at: At, bind_dn: str, password_file: str) -> Iterator[Complaint]:
    """RFC 4513 §5.1.2: a name without a password is an anonymous login that looks like a real one."""
    if bool(bind_dn) != bool(password_file):
        missing = "password-file" if bind_dn else "bind-dn"
        yield Complaint(at=(*at, missing), message="bind-dn and password-file go together")
    yield from _secret(at, password_file)


def parse_ldap_url(text: str) -> tuple[str, int, bool]:
    """Host, port, and whether TLS comes first. Raises ValueError."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if (
        parts.scheme not in ("ldap", "ldaps")
        or not host
        or parts.path.strip("/")
        or parts.query
        or "@" in text
    ):
        raise ValueError(f"{text[:200]!r} is not ldap://host[:port] or ldaps://host[:port]")
    if problem := service_problem(host):
        raise ValueError(problem)
    is_tls = parts.scheme == "ldaps"
    return host, port or (636 if is_tls else 389), is_tls


def is_postgresql(database: str) -> bool:
    """Whether a database is named by an address and not by a path."""
    return database.startswith(("postgresql://", "postgres://"))


def _password_of(database: str) -> str:
    try:
        return urlsplit(database).password or ""
    except ValueError:
        return ""


def _host(at: At, text: str) -> Iterator[Complaint]:
    if not text:
        yield Complaint(at=at, message="must be given for type = smtp")
        return
    try:
        parse_call_host(text)
    except ValueError as error:
        yield Complaint(at=at, message=str(error))


def parse_call_host(text: str) -> tuple[str, int]:
    """Host name or address, and port. Raises ValueError."""
    inner, bracket, rest = text.removeprefix("[").partition("]")
    if not text.startswith("[") or not bracket or not inner or (rest and not rest.startswith(":")):
        raise ValueError(f'{text[:200]!r} is not "[host]" or "[host]:port"')
    port = rest[1:] if rest else "25"
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise ValueError(f"{text[:200]!r} has no port from 1 to 65535")
    if ":" in inner or inner.replace(".", "").isdigit():
        parse_binding(f"[{inner}]:{port}" if ":" in inner else f"{inner}:{port}")
    return inner, int(port)


def _secret(at: At, path: str) -> Iterator[Complaint]:
    if path and (problem := secret_problem(path)):
        yield Complaint(at=(*at, "password-file"), message=f"{path} {problem}")
