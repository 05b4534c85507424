"""Who may authenticate: a file of names, argon2id hashes and SCRAM keys, checked in a thread and remembered."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import stat
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gatepost.adapters.file_mark import FileMark, mark_of
from gatepost.adapters.replacing import replace_file
from gatepost.model.account import ScramKeys, folded_user, prepared
from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply
from gatepost.protocol.scram import MECHANISM, derive_keys

FILE_LIMIT_BYTES: Final = 64 << 20
USER_LIMIT_CHARACTERS: Final = 255
PASSWORD_LIMIT_BYTES: Final = 1024  # threats E09
CACHE_ENTRIES: Final = 10_000
CACHE_TIME_S: Final = 600.0
CHECKS_AT_ONCE: Final = 2
"""Hashes are made costly on purpose: 19 MiB and about 40 ms each."""
CHECKS_WAITING: Final = 200
_UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")

_HASHER: Final = PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)
_DISABLED_MARK: Final = "!"
SCRAM_ITERATIONS: Final = 65_536
"""Of PBKDF2-HMAC-SHA256: whoever steals the file tries passwords against the weaker of both keys (decision 0100).

Cyrus SASL, and so Postfix, takes no more than this (decision 0383).
"""
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32
_SALTS_MARK: Final = "#salts:"
_GRANTS_MARK: Final = "#send-as:"
GRANTS_LIMIT: Final = 1000
"""Addresses that one account was given."""


@dataclass(frozen=True, slots=True)
class Account:
    """One line of the file."""

    user: str
    hash: str
    disabled: bool = False
    scram: ScramKeys | None = None
    """None: its password was set before SCRAM was known."""


@dataclass(frozen=True, slots=True)
class _Book:
    """The whole file. salts: the secret that makes salts for names nobody has. granted: what users may send as."""

    accounts: dict[str, Account]
    salts: bytes
    granted: dict[str, frozenset[str]] = field(default_factory=dict)


class AccountsFile:
    """The file itself: `user:hash:SCRAM keys` a line, mode 0600, `!` before the hash of a disabled account.

    A line `#salts:` holds a secret: the SCRAM salt of an unknown name is made with it, so that all
    workers, today and after a restart, answer for nobody as they do for somebody (threats E07). Lines
    `#send-as:user:addresses` say what a user may send as, whichever way it logs in.

    Every method raises WorldFault when the file cannot be read or written, or is open to others.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> dict[str, Account]:
        """User name -> account; empty when there is no file yet."""
        return self.book().accounts

    def book(self) -> _Book:
        """The accounts, and the secret for salts."""
        try:
            with open(self.path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if mode & (stat.S_IRWXO | stat.S_IWGRP):
                    raise WorldFault(
                        "the accounts file is open to others: chmod 600", _UNAVAILABLE, path=self.path
                    )
                data = file.read(FILE_LIMIT_BYTES + 1)
        except FileNotFoundError:
            return _Book({}, b"")
        except OSError as error:
            raise WorldFault(f"cannot read {self.path}: {error.strerror}", _UNAVAILABLE) from error
        if len(data) > FILE_LIMIT_BYTES:
            raise WorldFault(f"{self.path} is too large", _UNAVAILABLE)
        return _parsed(data, self.path)

    def knows(self, user: str) -> bool:
        """Whether there is an account of this name, in any case and Unicode form."""
        return folded_user(user) in self.read()

    def put(self, user: str, password: str) -> None:
        """Add the account, or give it a new password and enable it. Raises ValueError for a bad name or password."""
        if problem := name_problem(user) or password_problem(password):
            raise ValueError(problem)
        keys = derive_keys(
            prepared(password), salt=secrets.token_bytes(_SALT_BYTES), iterations=SCRAM_ITERATIONS
        )
        self._keep(Account(folded_user(user), _HASHER.hash(prepared(password)), scram=keys))

    def disable(self, user: str) -> bool:
        """Refuse its passwords from now on; False when there is no such account."""
        return self._mark(user, disabled=True)

    def enable(self, user: str) -> bool:
        """Take its password again; False when there is no such account."""
        return self._mark(user, disabled=False)

    def remove(self, user: str) -> bool:
        """False when there is no such account."""
        book = self.book()
        if book.accounts.pop(folded_user(user), None) is None:
            return False
        book.granted.pop(folded_user(user), None)  # or the next of the name would inherit it
        self._write(book)
        return True

    def granted(self) -> dict[str, frozenset[str]]:
        """User name -> keys of addresses, or *@domain."""
        return self.book().granted

    def grant(self, user: str, keys: AbstractSet[str]) -> None:
        """Let it send as these, too. Raises ValueError for a bad name, for blanks in a key and for too many."""
        if problem := name_problem(user):
            raise ValueError(problem)
        book, name = self.book(), folded_user(user)
        wanted = book.granted.get(name, frozenset()) | keys
        if len(wanted) > GRANTS_LIMIT or any(not key.isprintable() or " " in key for key in keys):
            raise ValueError(f"an account has at most {GRANTS_LIMIT} addresses, without blanks in them")
        self._write(replace(book, granted={**book.granted, name: wanted}))

    def revoke(self, user: str, keys: AbstractSet[str]) -> frozenset[str]:
        """No longer as these. Those of them that it had not been given."""
        book, name = self.book(), folded_user(user)
        had = book.granted.get(name, frozenset())
        if had & keys:
            left = {**book.granted, name: had - keys}
            self._write(replace(book, granted={user: given for user, given in left.items() if given}))
        return frozenset(keys - had)

    def _mark(self, user: str, *, disabled: bool) -> bool:
        account = self.read().get(folded_user(user))
        if account is None:
            return False
        self._keep(replace(account, disabled=disabled))
        return True

    def _keep(self, account: Account) -> None:
        book = self.book()
        self._write(replace(book, accounts={**book.accounts, account.user: account}))

    def _write(self, book: _Book) -> None:
        salts = book.salts or secrets.token_bytes(_KEY_BYTES)
        lines = [_SALTS_MARK + salts.hex() + "\n"]
        lines += [
            f"{_GRANTS_MARK}{user}:{' '.join(sorted(keys))}\n" for user, keys in sorted(book.granted.items())
        ]
        lines += [_line(account) for account in sorted(book.accounts.values(), key=lambda a: a.user)]
        try:
            replace_file(self.path, ["".join(lines).encode()])
        except OSError as error:
            raise WorldFault(f"cannot write {self.path}: {error.strerror}", _UNAVAILABLE) from error


class FileAccounts:
    """ports.directory.Accounts over the file: bounded work, equal time for the unknown, a cache of good answers.

    clock: monotonic seconds. The file is read again when it changes, and what it says counts
    at the next check: the cache is keyed by the hash in the file.
    """

    def __init__(self, path: str, *, monotonic: Callable[[], float]) -> None:
        self._file = AccountsFile(path)
        self._monotonic = monotonic
        self._accounts: dict[str, Account] = {}
        self._salts = b""
        self._seen: FileMark | None = None
        self._good: OrderedDict[bytes, float] = OrderedDict()
        self._secret = secrets.token_bytes(32)
        self._dummy = _HASHER.hash(secrets.token_hex(16))
        self._slots = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._waiting = 0

    async def check(self, user: str, password: str) -> bool:
        """True when the password is the user's. Costs a hash for unknown and disabled users, too (E07).

        Raises WorldFault (454 4.7.0) when the file cannot be read or too many wait already (E08).
        """
        self._reread()
        if name_problem(user) or password_problem(password):
            user, password = "", "-"
        account = self._accounts.get(folded_user(user))
        usable = account is not None and not account.disabled
        wanted = account.hash if account and usable else self._dummy
        mark = self._mark(folded_user(user), password, wanted)
        if usable and self._good.get(mark, 0.0) > self._monotonic():
            return True
        good = await self._verify(wanted, prepared(password)) and usable
        if good:
            self._remember(mark)
        return good

    def scram_keys(self, user: str) -> ScramKeys:
        """The account's; for nobody, and for accounts without, keys that no password fits (E07).

        Raises WorldFault (454 4.7.0) when the file cannot be read (E08).
        """
        self._reread()
        name = folded_user(user)
        account = self._accounts.get(name)
        if account is not None and account.scram is not None and not account.disabled:
            return account.scram
        said = name.encode("utf-8", "surrogatepass")
        return ScramKeys(
            salt=hmac.digest(self._salts, said, "sha256")[:_SALT_BYTES],
            iterations=SCRAM_ITERATIONS,
            stored_key=secrets.token_bytes(_KEY_BYTES),
            server_key=secrets.token_bytes(_KEY_BYTES),
        )

    def is_disabled(self, user: str) -> bool:
        """There is such an account, and it may not come in. Without a file nobody is disabled. Raises WorldFault."""
        if not os.path.exists(self._file.path):
            return False
        self._reread()
        account = self._accounts.get(folded_user(user))
        return account is not None and account.disabled

    def has(self, user: str) -> bool:
        """There is a line for this user, disabled or not. Without a file there is none. Raises WorldFault."""
        if not os.path.exists(self._file.path):
            return False
        self._reread()
        return folded_user(user) in self._accounts

    async def _verify(self, wanted: str, password: str) -> bool:
        if self._waiting >= CHECKS_WAITING:
            raise WorldFault("too many passwords are being checked", _UNAVAILABLE)
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(_verify, wanted, password)
        finally:
            self._waiting -= 1

    def _reread(self) -> None:
        try:
            there = mark_of(self._file.path)
        except FileNotFoundError:
            raise WorldFault(f"{self._file.path} does not exist", _UNAVAILABLE) from None
        except OSError as error:
            raise WorldFault(f"cannot read {self._file.path}: {error.strerror}", _UNAVAILABLE) from error
        if there != self._seen:
            book = self._file.book()
            self._accounts, self._salts = book.accounts, book.salts
            self._seen = there

    def _mark(self, user: str, password: str, wanted: str) -> bytes:
        """Neither the password nor anything that could be tried against it off-line stays in memory."""
        said = "\0".join((user, prepared(password), wanted)).encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, said, hashlib.sha256)

    def _remember(self, mark: bytes) -> None:
        self._good[mark] = self._monotonic() + CACHE_TIME_S
        self._good.move_to_end(mark)
        while len(self._good) > CACHE_ENTRIES:
            self._good.popitem(last=False)


def name_problem(user: str) -> str:
    """Why this cannot be a user name; "" when it can."""
    if not 0 < len(user) <= USER_LIMIT_CHARACTERS:
        return f"a user name has 1 to {USER_LIMIT_CHARACTERS} characters"
    if ":" in user or not user.isprintable() or user != user.strip() or user.startswith("#"):
        return "a user name is printable, without colon and without blanks at its ends"
    return ""


def password_problem(password: str) -> str:
    """Why this cannot be a password; "" when it can."""
    try:
        length_bytes = len(password.encode("utf-8"))
    except UnicodeEncodeError:
        return "a password is Unicode text"
    if not 0 < length_bytes <= PASSWORD_LIMIT_BYTES:
        return f"a password has 1 to {PASSWORD_LIMIT_BYTES} octets"
    return "" if "\0" not in password else "a password has no NUL"


def _verify(wanted: str, password: str) -> bool:
    try:
        return _HASHER.verify(wanted, password)
    except (VerificationError, InvalidHashError):
        return False


def _parsed(data: bytes, path: str) -> _Book:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise WorldFault(f"{path} is not UTF-8 text", _UNAVAILABLE) from None
    book = _Book({}, b"")
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if line.startswith(_SALTS_MARK):
                book = replace(book, salts=bytes.fromhex(line.removeprefix(_SALTS_MARK)))
            elif line.startswith(_GRANTS_MARK):
                user, _, keys = line.removeprefix(_GRANTS_MARK).partition(":")
                book.granted[user] = frozenset(keys.split())
            elif line.strip() and not line.startswith("#"):
                account = _account(line)
                book.accounts[account.user] = account
        except ValueError as error:
            raise WorldFault(f"{path}:{number}: {error}", _UNAVAILABLE) from None
    return book


def _account(line: str) -> Account:
    """Raises ValueError."""
    user, colon, rest = line.partition(":")
    if not colon or not user:
        raise ValueError("not user:hash")
    kept, _, keys = rest.partition(":")
    return Account(
        user,
        kept.removeprefix(_DISABLED_MARK).strip(),
        disabled=kept.startswith(_DISABLED_MARK),
        scram=_keys(keys.strip()) if keys.strip() else None,
    )


def _line(account: Account) -> str:
    keys = account.scram
    mark = _DISABLED_MARK if account.disabled else ""
    if keys is None:
        return f"{account.user}:{mark}{account.hash}\n"
    words = (b64encode(part).decode() for part in (keys.salt, keys.stored_key, keys.server_key))
    return f"{account.user}:{mark}{account.hash}:{MECHANISM}${keys.iterations}${'$'.join(words)}\n"


def _keys(text: str) -> ScramKeys:
    """Raises ValueError."""
    words = text.split("$")
    if len(words) != 5 or words[0] != MECHANISM:
        raise ValueError("not the keys of SCRAM-SHA-256")
    try:
        salt, stored_key, server_key = (b64decode(word, validate=True) for word in words[2:])
    except Base64Error:
        raise ValueError("the keys of SCRAM-SHA-256 are not base64") from None
    return ScramKeys(salt=salt, iterations=int(words[1]), stored_key=stored_key, server_key=server_key)
