"""Which new passwords and account names are refused: too short, too common, or made of the name (threats E06)."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import Final

_NO_GUESTS: Final = frozenset({"guest", "anonymous", "nobody", "anybody", "everyone"})
_LOOKALIKES: Final = str.maketrans("@4310$5!7|", "aaeiossiti")
_NAME_LEAST: Final = 3
_DIFFERENT_LEAST: Final = 5
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "!@#$%^&*()_+",
)

COMMON: Final = frozenset(
    """
    abc access account admin administrator alexander amanda andrea angel apple arsenal autumn baseball basketball
    batman bonjour butterfly change changeme charlie cheese chelsea chocolate company computer cookie corporate
    daniel default dolphin dragon exchange facebook family fidelity flower football forever freedom friday friend
    friends fucking gatepost geheim ginger google hallo hannah harley hello heaven helpdesk holiday hottie hunter
    iloveyou internet jennifer jessica jesus jordan joshua justin killer kennwort letmein liverpool login london
    love lovely lucky mail mailbox manager market master matrix matthew merlin michael michelle microsoft monday
    money monkey mustang nicole office ordinateur outlook pass passe passord passphrase passwd password passwort
    patrick peanut pepper pokemon postmaster princess private public purple qwerty qwertz raiders ranger rainbow
    robert root samsung samantha school secret security senha server service shadow smtp snoopy soccer spring
    sommer sprint standard star starwars student summer sunday sunshine superman support system target taylor
    temp temporary test tester testing thomas thunder tigger trustno user vacation visitor welcome whatever
    willkommen winner winter wizard work yankees zaq
    """.split()  # noqa: SIM905  # a list of 180 words is read as words
)
"""Our own small list: words that such passwords are built of. Digits and signs around them change nothing."""


def account_problem(user: str) -> str:
    """Why there may be no account of this name; "" when there may."""
    if user.partition("@")[0].casefold() in _NO_GUESTS:
        return "an account belongs to somebody: there are no guests"
    return ""


def password_problem(password: str, *, user: str, least_characters: int) -> str:
    """Why the account may not have this password; "" when it may."""
    text = unicodedata.normalize("NFC", password)
    if len(text) < least_characters:
        return f"a password has {least_characters} characters or more"
    folded = text.casefold()
    if any(part in folded for part in _parts(user)):
        return "a password does not contain the account's name"
    if len(set(folded)) < _DIFFERENT_LEAST or _is_repeated(folded):
        return "a password is not the same few characters again and again"
    if _is_a_row(folded):
        return "a password is not a row of the keyboard, the alphabet or the numbers"
    if _is_common(folded):
        return "a password is not a common word with digits and signs around it"
    return ""


def _parts(user: str) -> set[str]:
    local, _, domain = user.casefold().partition("@")
    words = [local, *re.split(r"[^\w]+", local), domain.partition(".")[0]]
    return {word for word in words if len(word) >= _NAME_LEAST}


def _is_repeated(text: str) -> bool:
    """ "abc1abc1abc1": a piece of at most half its length, over and over."""
    return text in (text + text)[1:-1]


def _is_a_row(text: str) -> bool:
    rows = [row for forward in _ROWS for row in (forward, forward[::-1])]
    plain = "".join(letter for letter, _ in groupby(text))
    return any(plain in row + row for row in rows)


def _is_common(text: str) -> bool:
    """Two of our words at most, and nothing else but what is written around words or instead of letters."""
    bare = re.sub(r"[\W\d_]+", "", text)
    inner = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", text)
    likened = re.sub(r"[\W\d_]+", "", inner.translate(_LOOKALIKES))
    return any(_of_common_words(letters) for letters in (bare, likened))


def _of_common_words(letters: str) -> bool:
    if not letters or letters in COMMON:
        return True
    return any(letters[:cut] in COMMON and letters[cut:] in COMMON for cut in range(1, len(letters)))
