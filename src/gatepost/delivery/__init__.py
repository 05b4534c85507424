"""Mail goes out: to the next hop's hosts in turn, and every recipient gets the fate the answer gave it."""
