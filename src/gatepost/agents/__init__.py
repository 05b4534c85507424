"""What is known about a mail becomes opinions here: one file an agent, pure, none knows another."""
