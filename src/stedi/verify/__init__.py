"""Proof that the tables equal a full rebuild and that no consent is violated."""
