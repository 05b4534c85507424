"""The real gateway in a world of its own: virtual time, a network in memory, faults from a seed."""
