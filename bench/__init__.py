"""How fast mail is taken in, beside Debian's Postfix on the same machine at the same time."""
