"""Text becomes typed settings here, once: at start and at reload."""
