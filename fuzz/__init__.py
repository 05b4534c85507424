"""Hostile bytes for every reader: targets with oracles, a mutator, coverage guidance, and a model of the session."""
