"""What the engines hand out cannot be changed by whoever receives it, and hides secrets when shown."""

from __future__ import annotations

import dataclasses
import inspect
from types import ModuleType

import pytest
from msgspec import Struct

from gatepost.model.content import BodyForm
from gatepost.protocol import (
    data,
    esmtp_parameters,
    events,
    proxy,
    replies,
    smtp_client,
    smtp_client_commands,
    smtp_commands,
)

MODULES = (data, esmtp_parameters, events, proxy, replies, smtp_client, smtp_client_commands, smtp_commands)


def values_of(module: ModuleType) -> list[type]:
    found = [
        thing for thing in vars(module).values() if inspect.isclass(thing) and dataclasses.is_dataclass(thing)
    ]
    return [thing for thing in found if thing.__module__ == module.__name__]


VALUES = [value for module in MODULES for value in values_of(module)]


STRUCTS = [
    thing
    for module in MODULES
    for thing in vars(module).values()
    if inspect.isclass(thing) and issubclass(thing, Struct) and thing.__module__ == module.__name__
]


@pytest.mark.parametrize("value", STRUCTS, ids=lambda v: v.__name__)
def test_structs_are_frozen(value: type[Struct]) -> None:
    assert value.__struct_config__.frozen


@pytest.mark.parametrize("value", VALUES, ids=lambda v: v.__name__)
def test_values_are_frozen_and_slotted(value: type) -> None:
    assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]  # a dataclass has it
    assert "__slots__" in vars(value)
    assert not hasattr(value, "__dict__") or "__dict__" not in value.__slots__  # type: ignore[attr-defined]  # as above


@pytest.mark.parametrize(
    "event",
    [
        events.Auth("PLAIN", b"secret"),
        events.AuthResponse(b"secret"),
        events.BodyChunk(b"secret"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_secrets_and_content_are_not_shown(event: events.Event) -> None:
    assert "secret" not in repr(event)
    assert "PLAIN" in repr(event) or not isinstance(event, events.Auth)


def test_what_is_offered_and_bounded_by_default() -> None:
    # Given nothing but a name and a size; what nobody asked for is off
    offer = events.Offer(hostname="ours.example", size_bytes=1)
    assert (offer.recipients, offer.messages, offer.auth) == (1000, 0, ())
    on = (offer.pipelining, offer.eight_bit_mime, offer.smtputf8, offer.dsn, offer.chunking)
    off = (offer.starttls, offer.require_tls, offer.tls_needed, offer.normalize_newlines)
    assert (all(on), any(off)) == (True, False)
    assert offer.helo_needed
    assert offer.blank_after_colon
    limits = events.EngineLimits()
    assert (limits.command_line_bytes, limits.auth_line_bytes, limits.text_line_bytes) == (2048, 12288, 8192)


def test_what_an_event_says_when_nothing_was_said() -> None:
    end = events.EndOfData(BodyForm())
    assert (end.refusal, end.by_bdat) == (None, False)
    assert events.Other(events.Verb.NOOP).argument == ""
    assert repr(events.BodyChunk(b"secret")) == "BodyChunk()"
