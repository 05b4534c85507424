"""Mail that an agent did not trust waits here for a person."""
