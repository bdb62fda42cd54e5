"""Rotation of the pseudonym key: new pseudonyms in all tables, models and logs, and the destruction of the old key."""
