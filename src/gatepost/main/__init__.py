"""Builds every object of a process and joins them: the only room that knows all the others."""
