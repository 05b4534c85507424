"""What can be known about a mail is found out here, once, and recorded with it."""
