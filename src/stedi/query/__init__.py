"""Read-only queries over the tables of one finished run."""
