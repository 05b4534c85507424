"""What the tables without doors and ways out must make sense of: names, files, addresses, orders of limits."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from typing import Final

from gatepost.config.check_doors import bindings_of
from gatepost.config.errors import Complaint
from gatepost.config.files import appended_problem, open_to_others, readable_problem
from gatepost.config.networks import name_problem, parse_binding
from gatepost.config.settings import Settings

STATE_PATH_LIMIT_BYTES: Final = 107 - len("/control/worker-63.sock")  # unix(7): sun_path


def check_values(settings: Settings) -> Iterator[Complaint]:
    """Every mistake outside of the connectors."""
    yield from _server(settings)
    yield from _log(settings)
    yield from _domains(settings)
    yield from _recipients(settings)
    yield from _queue(settings)
    yield from _listening(settings)
    yield from _policy(settings)


def _server(settings: Settings) -> Iterator[Complaint]:
    server = settings.server
    named = server.authserv_id
    if named and (
        problem := name_problem(named) or ("" if named.isascii() else "write its A-labels (xn--...)")
    ):
        yield Complaint(at=("server", "authserv-id"), message=f"{named!r}: {problem}")
    if problem := name_problem(server.hostname):
        yield Complaint(at=("server", "hostname"), message=f"{server.hostname!r}: {problem}")
    elif "." not in server.hostname.strip("."):
        yield Complaint(
            at=("server", "hostname"),
            message=f"{server.hostname!r} has no dot: other servers want a fully qualified name",
            is_warning=True,
        )
    if not server.state_directory.startswith("/"):
        yield Complaint(at=("server", "state-directory"), message="must be an absolute path")
    elif problem := open_to_others(server.state_directory):
        yield Complaint(at=("server", "state-directory"), message=f"{server.state_directory} {problem}")
    elif len(os.fsencode(server.state_directory)) > STATE_PATH_LIMIT_BYTES:
        yield Complaint(
            at=("server", "state-directory"),
            message=f"is longer than {STATE_PATH_LIMIT_BYTES} octets: the path of a socket in it would not fit",
        )
    if server.user:
        try:
            pwd.getpwnam(server.user)
        except (KeyError, ValueError):
            yield Complaint(at=("server", "user"), message=f"there is no account {server.user!r}")
    elif os.geteuid() == 0:
        yield Complaint(
            at=("server", "user"),
            message="is empty: started as root, the gateway stays root",
            is_warning=True,
        )


def _log(settings: Settings) -> Iterator[Complaint]:
    """What would keep a gateway from its next start."""
    path = settings.log.file
    if path and (problem := appended_problem(path)):
        yield Complaint(at=("log", "file"), message=f"{path} {problem}")


def _domains(settings: Settings) -> Iterator[Complaint]:
    if not settings.accepted_domains:
        yield Complaint(
            at=("accepted-domains",),
            message="no domain is accepted: mail is taken from clients with the relay right only",
            is_warning=True,
        )
    seen: dict[str, str] = {}
    for name, domain in settings.accepted_domains.items():
        if problem := name_problem(name.removeprefix("*.")):
            yield Complaint(at=("accepted-domains", name), message=problem)
        folded = name.lower().rstrip(".")
        if folded in seen:
            yield Complaint(at=("accepted-domains", name), message=f"is the same domain as {seen[folded]!r}")
        seen[folded] = name
        asks = domain.check_recipients == "yes" or (
            domain.check_recipients == "by-type" and domain.type == "authoritative"
        )
        if asks and not settings.recipients.file and not _has_directory(settings, folded):
            yield Complaint(
                at=("accepted-domains", name),
                message="recipients are checked, but neither recipients.file nor a table of [directories] lists them: "
                "every recipient is answered 451 until one does",
                is_warning=True,
            )


def _has_directory(settings: Settings, folded: str) -> bool:
    return any(
        not d.domains or folded in (name.lower().rstrip(".") for name in d.domains)
        for d in settings.directories.values()
    )


def _recipients(settings: Settings) -> Iterator[Complaint]:
    path = settings.recipients.file
    if path and (problem := readable_problem(path)):
        yield Complaint(
            at=("recipients", "file"),
            message=f"{path} {problem}; recipients are answered 451 until it can be read",
            is_warning=True,
        )
    elif path and (problem := open_to_others(path)):
        yield Complaint(at=("recipients", "file"), message=f"{path} {problem}")


def _queue(settings: Settings) -> Iterator[Complaint]:
    queue = settings.queue
    if queue.allow_volatile:
        yield Complaint(
            at=("queue", "allow-volatile"),
            message="mail that was answered 250 may be lost in a power cut",
            is_warning=True,
        )
    if queue.first_retry_s > queue.longest_retry_s:
        yield Complaint(at=("queue", "first-retry"), message="is longer than longest-retry")
    if queue.longest_retry_s > queue.expiry_s:
        yield Complaint(
            at=("queue", "longest-retry"),
            message="is longer than expiry: there would be one attempt",
            is_warning=True,
        )
    if queue.notice_expiry_s > queue.expiry_s:
        yield Complaint(at=("queue", "notice-expiry"), message="is longer than expiry", is_warning=True)


def _listening(settings: Settings) -> Iterator[Complaint]:
    for number, text in enumerate(settings.dns.servers):
        try:
            parse_binding(text, default_port=53)
        except ValueError as error:
            yield Complaint(at=("dns", "servers", number), message=str(error))
    if not settings.metrics.listen:
        return
    try:
        binding = parse_binding(settings.metrics.listen)
    except ValueError as error:
        yield Complaint(at=("metrics", "listen"), message=str(error))
        return
    doors = settings.receive_connectors
    if taken := [n for n, door in doors.items() if door.enabled and binding in bindings_of(door)]:
        yield Complaint(at=("metrics", "listen"), message=f"receive-connectors.{taken[0]} listens there")
    if not binding.is_loopback:
        yield Complaint(
            at=("metrics", "listen"),
            message="can be reached from other machines, and asks nobody for a password",
            is_warning=True,
        )


def _policy(settings: Settings) -> Iterator[Complaint]:
    policy = settings.policy
    if settings.spf.timeout_s >= policy.deadline_s:
        yield Complaint(
            at=("spf", "timeout"),
            message="is not below policy.deadline: a slow DNS makes the result unknown instead of temperror",
            is_warning=True,
        )
    if policy.quarantine_at < 10 and policy.reject_at <= policy.quarantine_at:
        yield Complaint(
            at=("policy", "quarantine-at"),
            message=f"is never reached: mail is refused at {policy.reject_at}",
            is_warning=True,
        )
    folder = policy.agents_directory
    if folder and not os.path.isdir(folder):
        yield Complaint(at=("policy", "agents-directory"), message=f"{folder} is not a directory")
    elif folder and (problem := open_to_others(folder)):
        yield Complaint(at=("policy", "agents-directory"), message=f"{folder} {problem}")
