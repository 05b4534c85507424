"""Arguments that the lab's tools share, for argparse."""

from __future__ import annotations

import argparse

from gatepost.config.networks import Binding, parse_binding
from gatepost.config.schema import parse_duration


def binding(text: str) -> Binding:
    """An address and a port. Raises ArgumentTypeError."""
    try:
        return parse_binding(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def duration(text: str) -> float:
    """Seconds of "200ms" or "5s". Raises ArgumentTypeError."""
    try:
        return float(str(parse_duration(text)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
