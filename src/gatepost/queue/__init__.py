"""Mail we have promised to deliver waits here for its turn."""
