"""What an administrator may do with a mail, as plain functions and as typed commands to the workers."""
