"""The web face of control: so far numbers and health, for machines that watch us."""
