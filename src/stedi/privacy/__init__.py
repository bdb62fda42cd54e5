"""A person's rights: what the lakehouse knows about one person, and the log of who asked."""
