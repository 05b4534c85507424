"""Who may authenticate: a file of names and argon2id hashes, checked in a thread and remembered for a while."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import stat
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply

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


@dataclass(frozen=True, slots=True)
class Account:
    """One line of the file."""

    user: str
    hash: str
    disabled: bool = False


class AccountsFile:
    """The file itself: `user:hash` a line, mode 0600, `!` before the hash of a disabled account.

    Every method raises WorldFault when the file cannot be read or written, or is open to others.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> dict[str, Account]:
        """User name -> account; empty when there is no file yet."""
        try:
            with open(self.path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if mode & (stat.S_IRWXO | stat.S_IWGRP):
                    raise WorldFault(
                        "the accounts file is open to others: chmod 600", _UNAVAILABLE, path=self.path
                    )
                data = file.read(FILE_LIMIT_BYTES + 1)
        except FileNotFoundError:
            return {}
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
        account = Account(folded_user(user), _HASHER.hash(prepared(password)))
        self._write({**self.read(), account.user: account})

    def disable(self, user: str) -> bool:
        """Refuse its passwords from now on; False when there is no such account."""
        accounts = self.read()
        account = accounts.get(folded_user(user))
        if account is None:
            return False
        self._write({**accounts, account.user: Account(account.user, account.hash, disabled=True)})
        return True

    def remove(self, user: str) -> bool:
        """False when there is no such account."""
        accounts = self.read()
        if accounts.pop(folded_user(user), None) is None:
            return False
        self._write(accounts)
        return True

    def _write(self, accounts: Mapping[str, Account]) -> None:
        lines = [
            f"{a.user}:{_DISABLED_MARK if a.disabled else ''}{a.hash}\n"
            for a in sorted(accounts.values(), key=lambda a: a.user)
        ]
        try:
            _replace_file(self.path, "".join(lines).encode())
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
        self._seen: tuple[int, int, int] | None = None
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
            found = os.stat(self._file.path)
            there = (found.st_mtime_ns, found.st_size, found.st_ino)
        except FileNotFoundError:
            raise WorldFault(f"{self._file.path} does not exist", _UNAVAILABLE) from None
        except OSError as error:
            raise WorldFault(f"cannot read {self._file.path}: {error.strerror}", _UNAVAILABLE) from error
        if there != self._seen:
            self._accounts = self._file.read()
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


def folded_user(user: str) -> str:
    """The name an account is known by: one Unicode form, case of ASCII letters ignored."""
    text = unicodedata.normalize("NFC", user)
    return text.lower() if text.isascii() else text


def prepared(password: str) -> str:
    """One form for one password, however the keyboard composed it (RFC 8265 §4.2: NFC, blanks alike)."""
    return unicodedata.normalize(
        "NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in password)
    )


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


def _parsed(data: bytes, path: str) -> dict[str, Account]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise WorldFault(f"{path} is not UTF-8 text", _UNAVAILABLE) from None
    accounts: dict[str, Account] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, rest = line.partition(":")
        if not colon or not user:
            raise WorldFault(f"{path}:{number}: not user:hash", _UNAVAILABLE)
        mark = rest.startswith(_DISABLED_MARK)
        accounts[user] = Account(user, rest.removeprefix(_DISABLED_MARK).strip(), disabled=mark)
    return accounts


def _replace_file(path: str, data: bytes) -> None:
    """Either the old file or the new one is there, whatever happens; never readable by others."""
    beside = f"{path}.{secrets.token_hex(4)}"
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(file, "wb") as out:
            if os.path.exists(path):  # keeps the owner, so that the gateway can still read it
                owner = os.stat(path)
                os.fchown(out.fileno(), owner.st_uid, owner.st_gid)
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
