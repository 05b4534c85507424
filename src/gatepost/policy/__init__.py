"""Opinions about a mail meet here and become what happens to it, recipient by recipient."""
