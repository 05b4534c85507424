"""Bytes become events and replies become bytes here; no socket, no clock, no opinion."""
