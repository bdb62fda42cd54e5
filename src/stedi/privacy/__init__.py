"""A person's rights: what the lakehouse knows about one person, the log of who asked, and the clock of withdrawals."""
