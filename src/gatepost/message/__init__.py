"""What a mail carries is read here, and written where it is ours: header fields, trace, notices."""
