"""A mail comes in here: through a door, in a conversation, until it is safe in the store or refused."""
