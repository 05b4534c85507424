"""What the notices' settings must make sense of: codes, languages, addresses, domains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gatepost.config.check_delivery import domain_names
from gatepost.config.errors import Complaint, closest, quoted
from gatepost.config.networks import name_problem
from gatepost.config.settings import Settings

TEXT_LIMIT_CHARS: Final = 2000
LANGUAGES_LIMIT: Final = 50
OPENINGS: Final = ("failed", "delayed", "delivered", "relayed")
_MAILBOX: Final = re.compile(r"[^\s@<>\"\x00-\x1f]{1,64}@([^\s@]{1,253})")
_CODE: Final = re.compile(r"[245](\.[0-9]{1,3}){0,2}")
_WHOLE_CODE: Final = re.compile(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})?")


def check_notices(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [notices] and [remote-domains]."""
    yield from _addresses(settings)
    yield from _codes(settings)
    yield from _texts(settings)
    yield from _languages(settings)
    yield from domain_names("remote-domains", settings.remote_domains)
    notices, queue = settings.notices, settings.queue
    if notices.delay_after_s and notices.delay_after_s >= queue.expiry_s:
        yield Complaint(
            at=("notices", "delay-after"),
            message="is not before queue.expiry: nobody would be told of a delay",
        )
    if 0 < notices.dead_letter_age_s < queue.expiry_s:
        yield Complaint(
            at=("notices", "dead-letter-age"),
            message="is shorter than queue.expiry: mail that expires would be removed unseen",
            is_warning=True,
        )


def _addresses(settings: Settings) -> Iterator[Complaint]:
    for name in ("postmaster", "copies_to"):
        address = getattr(settings.notices, name)
        match = _MAILBOX.fullmatch(address)
        if address and (not match or name_problem(match[1])):
            yield Complaint(
                at=("notices", name.replace("_", "-")), message=f"{address!r} is not a mail address"
            )


def _codes(settings: Settings) -> Iterator[Complaint]:
    for number, code in enumerate(settings.notices.copy_codes):
        if not _WHOLE_CODE.fullmatch(code):
            yield Complaint(
                at=("notices", "copy-codes", number), message=f'{quoted(code)} is not a code such as "5.4.6"'
            )


def _texts(settings: Settings) -> Iterator[Complaint]:
    texts = settings.notices.texts
    if len(texts) > LANGUAGES_LIMIT:
        yield Complaint(at=("notices", "texts"), message=f"has more than {LANGUAGES_LIMIT} languages")
    for language, words in texts.items():
        at = ("notices", "texts", language)
        if not _LANGUAGE.fullmatch(language):
            yield Complaint(at=at, message='is not a language such as "de" or "pt-br"')
        for key, text in words.items():
            if key not in OPENINGS and not _CODE.fullmatch(key):
                yield Complaint(
                    at=(*at, key),
                    message='is not a code such as "5.1.1", "5.1" or "5"',
                    accepted=OPENINGS,
                    did_you_mean=closest(key, OPENINGS),
                )
            if not text.strip() or len(text) > TEXT_LIMIT_CHARS:
                yield Complaint(
                    at=(*at, key), message=f"must be a text of 1 to {TEXT_LIMIT_CHARS} characters"
                )


def _languages(settings: Settings) -> Iterator[Complaint]:
    texts = settings.notices.texts
    named: list[tuple[tuple[str, ...], str]] = [(("notices", "language"), settings.notices.language)]
    named += [(("remote-domains", n, "language"), d.language) for n, d in settings.remote_domains.items()]
    for at, language in named:
        if language and language not in texts:
            yield Complaint(
                at=at,
                message=f"notices.texts has no table {quoted(language)}",
                accepted=tuple(texts),
                did_you_mean=closest(language, texts),
            )
