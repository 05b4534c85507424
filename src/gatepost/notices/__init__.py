"""What we write about a mail to its sender, or why we keep silent."""
