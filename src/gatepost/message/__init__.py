"""What a mail carries: its header section read, its trace fields written, its private fields taken off, its notices built."""
