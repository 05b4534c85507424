"""The supervisor hears whoever has something to say, however many descriptors it holds."""

from __future__ import annotations

import contextlib
import os
import resource
import socket

import pytest

from gatepost.main.ears import readable


def test_a_descriptor_beyond_those_of_select_is_heard() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("this machine allows no more descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    ours, theirs = socket.socketpair()
    high = 1500  # select() ends at 1023
    try:
        os.dup2(ours.fileno(), high)
        assert readable([high], 0.0) == frozenset()
        theirs.send(b".")
        assert readable([high], 10.0) == {high}
    finally:
        with contextlib.suppress(OSError):
            os.close(high)
        ours.close()
        theirs.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_line_that_ended_is_heard_as_well() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        assert readable([ours.fileno()], 10.0) == {ours.fileno()}
