"""Proof that the tables equal a rebuild and that consent holds."""
