"""Gatepost, the mail gateway: follow a mail from `intake` to `records`."""

__version__ = "0.1.0"
