"""What we call ourselves: in greetings and traces, and in Authentication-Results."""

from __future__ import annotations

from gatepost.config.settings import Settings


def own_hostnames(settings: Settings) -> tuple[str, ...]:
    """Of the server and of every receive connector, each once."""
    names = (settings.server.hostname, *(door.hostname for door in settings.receive_connectors.values()))
    return tuple(dict.fromkeys(name for name in names if name))


def own_names(settings: Settings) -> frozenset[str]:
    """The same as names are compared: in lower case, without a final dot."""
    return frozenset(name.lower().rstrip(".") for name in own_hostnames(settings))


def own_authserv_ids(settings: Settings) -> tuple[str, ...]:
    """What our Authentication-Results fields begin with: one name for all doors, or the door's own."""
    return (settings.server.authserv_id,) if settings.server.authserv_id else own_hostnames(settings)
