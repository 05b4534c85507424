"""What limits and marks of back pressure must make sense of: the order of numbers that belong together."""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.config.errors import Complaint
from gatepost.config.limit_settings import Limits
from gatepost.config.networks import parse_range
from gatepost.config.schema import Table, file_name_of
from gatepost.config.settings import Settings

At = tuple[str | int, ...]


def check_limits(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in limits and back pressure."""
    for name, door in settings.receive_connectors.items():
        at: At = ("receive-connectors", name, "limits")
        yield from _errors(at, door.limits)
        yield from _sources(at, door.limits, settings)
        yield from _sizes(at, door.limits)
        yield from _times(at, door.limits)
        if door.limits.stress.until_share >= door.limits.stress.from_share > 0:
            yield Complaint(at=(*at, "stress", "until-share"), message="must be less than from-share")
    yield from _back_pressure(settings)


def _errors(at: At, limits: Limits) -> Iterator[Complaint]:
    if limits.errors_soft > limits.errors_hard:
        yield Complaint(
            at=(*at, "errors-soft"),
            message=f"{limits.errors_soft} is never reached: errors-hard closes the session at {limits.errors_hard}",
        )


def _sources(at: At, limits: Limits, settings: Settings) -> Iterator[Complaint]:
    for number, text in enumerate(limits.unrated):
        try:
            parse_range(text)
        except ValueError as error:
            yield Complaint(at=(*at, "unrated", number), message=str(error))
    if limits.connections_per_source > limits.connections:
        yield Complaint(
            at=(*at, "connections-per-source"),
            message=f"is more than connections ({limits.connections}): one client could take them all",
            is_warning=True,
        )
    if limits.connections_per_network < limits.connections_per_source:
        yield Complaint(
            at=(*at, "connections-per-network"),
            message=f"is less than connections-per-source ({limits.connections_per_source}), which is never reached",
            is_warning=True,
        )
    if limits.connections > settings.intake.connections:
        yield Complaint(
            at=(*at, "connections"),
            message=f"is never reached: intake.connections is {settings.intake.connections}",
            is_warning=True,
        )
    if 0 < limits.connection_rate < limits.connection_rate_per_source:
        yield Complaint(
            at=(*at, "connection-rate-per-source"),
            message=f"is never reached: connection-rate is {limits.connection_rate}",
            is_warning=True,
        )


def _sizes(at: At, limits: Limits) -> Iterator[Complaint]:
    if limits.header_size_bytes > limits.message_size_bytes:
        yield Complaint(at=(*at, "header-size"), message="is more than message-size")
    if limits.session_size_bytes < limits.message_size_bytes:
        yield Complaint(
            at=(*at, "session-size"),
            message="is less than message-size: the largest message would never be taken",
        )


def _times(at: At, limits: Limits) -> Iterator[Complaint]:
    if limits.session_timeout_s < limits.command_timeout_s:
        yield Complaint(at=(*at, "session-timeout"), message="is less than command-timeout", is_warning=True)
    if limits.command_timeout_s < 300:  # RFC 5321 §4.5.3.2.7
        yield Complaint(
            at=(*at, "command-timeout"), message="is less than the 5m that RFC 5321 asks for", is_warning=True
        )


def _back_pressure(settings: Settings) -> Iterator[Complaint]:
    """Marks out of order would make a level come and go with every reading."""
    for code_name in type(settings.back_pressure).model_fields:
        table = getattr(settings.back_pressure, code_name)
        if not isinstance(table, Table):
            continue
        at: At = ("back-pressure", file_name_of(code_name))
        normal, medium, high = (_mark(table, mark) for mark in ("normal", "medium", "high"))
        scarce = code_name in ("disk", "inodes")
        if scarce and not normal >= medium >= high:
            yield Complaint(at=at, message="the marks of what is free must fall: normal, medium, high")
        elif not scarce and not normal <= medium <= high:
            yield Complaint(at=at, message="the marks of what is in use must rise: normal, medium, high")
    if settings.back_pressure.disk.high_bytes < settings.queue.disk_low_bytes:
        yield Complaint(
            at=("back-pressure", "disk", "high"),
            message="is less than queue.disk-low: the store takes no mail before the level is high",
            is_warning=True,
        )


def _mark(table: Table, mark: str) -> float:
    """`medium`, whatever unit its name has in the code."""
    name = next(name for name in type(table).model_fields if file_name_of(name) == mark)
    return float(getattr(table, name))
